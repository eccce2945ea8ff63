"""Who is told what was found, as the configuration names them."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator

from agent.errors import BadConfig
from agent.tree import TopicName, Tree

# What Prometheus takes as the name of a label.
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]
_OURS = frozenset({"alertname", "severity"})


class Alerts(Tree):
    """Where findings are told besides `/metrics` and `vedette findings`."""

    # Addresses that take Alertmanager's array (`http://alertmanager:9093/api/v2/alerts`); each may
    # hold a secret.
    webhook: SecretStr | tuple[SecretStr, ...] = ()
    # A file with one such address a line.
    webhook_file: Path | None = None
    # Each change of a finding, once, by the brokers of `kafka`.
    topic: TopicName | None = None
    # Where the pages are: a finding's is `findings#<its key>` below it.
    link: str | None = Field(default=None, pattern=r"^https?://[^\s\x00-\x1f]+$", max_length=512)
    # Alertmanager calls resolved what it has not heard of for 5 minutes.
    resend_s: float = Field(default=60.0, gt=0, le=240)
    # How long a webhook may take.
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    # Added to every alert.
    labels: dict[LabelName, Annotated[str, StringConstraints(max_length=128)]] = Field(
        default_factory=dict
    )

    @field_validator("webhook", mode="before")
    @classmethod
    def _are_addresses(cls, webhook: object) -> object:
        some = webhook if isinstance(webhook, list | tuple) else (webhook,)
        plain = (one.get_secret_value() if isinstance(one, SecretStr) else one for one in some)
        if not all(isinstance(one, str) and _is_address(one) for one in plain):
            raise ValueError("must be an http:// or https:// address or a list of them")
        return webhook

    @field_validator("labels")
    @classmethod
    def _leave_ours(cls, labels: dict[str, str]) -> dict[str, str]:
        if _OURS & labels.keys():
            raise ValueError("alertname and severity are the finding's own")
        return labels

    def addresses(self) -> list[str]:
        """Every webhook, secrets included; raises BadConfig for a file that names none."""
        some = (self.webhook,) if isinstance(self.webhook, SecretStr) else self.webhook
        found = [one.get_secret_value() for one in some]
        if self.webhook_file is not None:
            try:
                lines = self.webhook_file.read_text(encoding="utf-8").split()
            except (OSError, UnicodeDecodeError) as error:
                why = f"cannot be read ({type(error).__name__})"
                raise BadConfig("alerts.webhook_file", why) from None
            if not lines or not all(map(_is_address, lines)):
                raise BadConfig("alerts.webhook_file", "must hold http:// or https:// addresses")
            found += lines
        return found


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False

"""Where the server listens, who may ask it for what, and how much of it."""

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from agent.tree import Name, Tree

# `read` opens pages and evaluation, `ingest` takes logs in, `admin` opens all.
Role = Literal["read", "ingest", "admin"]
# Where what is taken in goes: the table that this process reads itself, or an input topic.
Way = Literal["inbox", "kafka", "off"]
_SECRET_CHARS = 16


def check_secret(secret: str) -> None:
    """Raise ValueError for a secret that can be guessed, or that no header can carry."""
    if len(secret) < _SECRET_CHARS:
        raise ValueError(f"its secret must have {_SECRET_CHARS} characters or more")
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise ValueError("its secret must be printable ASCII without spaces")


def is_loopback(host: str) -> bool:
    """Whether only this machine can call this host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Token(Tree):
    """What a bearer token opens; the secret stands here, in the environment or in a file."""

    # `read` opens pages and evaluation, `ingest` takes logs in, `admin` opens all.
    role: Role
    # 16 characters or more; better in a file.
    secret: SecretStr | None = None
    # A file that holds it.
    secret_file: Path | None = None

    @model_validator(mode="after")
    def _has_one_secret(self) -> "Token":
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("needs a secret or a secret_file")
        if self.secret is not None:
            check_secret(self.secret.get_secret_value())
        return self


class Server(Tree):
    """The HTTP server; tokens are required off loopback."""

    # Off loopback `tokens` are required.
    host: str = "127.0.0.1"
    # 0 takes a free one.
    port: int = Field(default=8080, ge=0, le=65535)
    # Host names that it is called by besides its own, as behind a proxy.
    names: tuple[str, ...] = ()
    # Addresses or networks of proxies whose word is taken for who asks and whether by TLS.
    proxies: tuple[str, ...] = ()
    # Bearer tokens by the name that the audit shows.
    tokens: dict[Name, Token] = Field(default_factory=dict)
    # With `key_file` the server speaks TLS.
    cert_file: Path | None = None
    # The key of the certificate.
    key_file: Path | None = None
    # Where what is posted goes: the inbox of this process, a topic, or nowhere.
    ingest: Way = "inbox"
    # Of a body as it is sent.
    body_bytes: int = Field(default=16 << 20, ge=1024)
    # Of a body once it is unpacked.
    unpacked_bytes: int = Field(default=64 << 20, ge=1024)
    # Records that wait to be scored beyond which the inbox takes no more.
    waiting_records: int = Field(default=1_000_000, ge=1)
    # Bytes of such records beyond which it takes no more either.
    inbox_bytes: int = Field(default=4 << 30, ge=1024)
    # Requests of one client in a second.
    requests_per_s: float = Field(default=200.0, gt=0)
    # Requests of one client at once after a pause.
    burst: int = Field(default=400, ge=1)
    # Calls that may wait to be evaluated.
    evaluate_calls: int = Field(default=512, ge=1)
    # How long an evaluation is remembered.
    evaluate_cached_s: float = Field(default=3600.0, ge=0)
    # How old what a page shows may be; every reader in between gets the same copy.
    # A page asks for itself as often; a shorter time makes it anew for readers who came between.
    refresh_s: float = Field(default=5.0, ge=0)

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for one in proxies:
            ipaddress.ip_network(one)  # its ValueError names it
        return proxies

    @model_validator(mode="after")
    def _is_whole(self) -> "Server":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        if self.inbox_bytes < self.unpacked_bytes:
            raise ValueError("inbox_bytes is less than unpacked_bytes: a body must fit in")
        return self

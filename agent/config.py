"""One typed tree from YAML and environment; an unknown key is an error, a secret is never printed.

The environment wins over the file: `VEDETTE_STORE__URL` sets `store.url`.
"""

import os
import re
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from agent.agreement import check
from agent.alerts import Alerts
from agent.broker import Kafka, Topic
from agent.drift import Drift
from agent.errors import BadConfig
from agent.experiments import Experiment
from agent.fairness import Fairness
from agent.serving import Server
from agent.shadows import Shadow
from agent.sla import Objective
from agent.tree import Name, Tree, Word, read_yaml, refusal

# What Kubernetes tells the pods beside a Service `vedette` or `vedette-...`; only the address tells
# its VEDETTE_SERVER_PORT from a mistyped VEDETTE_SERVER__PORT.
_OF_A_SERVICE = re.compile(
    r"VEDETTE_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=|"
    r"VEDETTE_(\w+_)?PORT=(tcp|udp|sctp)://"
)


class Store(Tree):
    """The database and how long it keeps what."""

    # `sqlite:///FILE` or `postgresql://...`; `sqlite:///vedette.db` unless set.
    url: SecretStr = SecretStr("sqlite:///vedette.db")
    # False: only `vedette migrate` makes tables; who needs newer ones waits for them.
    migrate: bool = True
    # A repeated id is recognised for this long; a replay of older records counts again.
    seen_days: float = Field(default=7.0, gt=0)
    # How long the row of a call is kept; closed panes stay.
    calls_days: float = Field(default=30.0, gt=0)
    # 0 keeps no text at all; above, redacted text is kept that long.
    text_days: float = Field(default=0.0, ge=0)
    # How long what could not be read is kept, with its bytes.
    dead_letter_days: float = Field(default=14.0, gt=0)
    # Beyond so many the oldest dead letters go, those first that were replayed.
    dead_letter_bytes: int = Field(default=1 << 30, ge=1 << 20)
    # What was found and is over: thirteen months.
    finding_days: float = Field(default=400.0, gt=0)
    # What people did by hand.
    audit_days: float = Field(default=400.0, gt=0)


class Panes(Tree):
    """The slices of request-start time."""

    # A divisor of a minute.
    width_s: int = Field(default=10, ge=1, le=60)
    # After this no call is waited for: a pane closes this and 60 s after its end.
    request_timeout_s: float = Field(default=600.0, ge=0)
    # Instead of `request_timeout_s` + 60: a call that arrives later is late.
    lateness_s: float | None = Field(default=None, ge=0)
    # How long closed panes of `width_s` are kept before they are minutes.
    fine_hours: float = Field(default=1.0, ge=0)
    # How long minutes are kept before they are hours.
    minute_hours: float = Field(default=48.0, ge=0)
    # How long hours are kept.
    hour_days: float = Field(default=400.0, ge=1)
    # Groups (service, model, variant, segment) beyond this many fold into "other".
    groups_max: int = Field(default=500, ge=1)

    @field_validator("width_s")
    @classmethod
    def _fits(cls, width_s: int) -> int:
        if 60 % width_s:  # panes roll up to minutes
            raise ValueError("must divide a minute")
        return width_s

    @property
    def allowed_lateness_s(self) -> float:
        """Seconds after a pane's end at which its calls stop being on time."""
        return self.request_timeout_s + 60.0 if self.lateness_s is None else self.lateness_s


class ScorerOptions(Tree):
    """One scorer: on or off, its model, and the share of calls that it scores."""

    # False: it does not run.
    enabled: bool = True
    # The share of the calls that it scores, drawn by the call's id.
    rate: float = Field(default=1.0, ge=0, le=1)
    # A folder or a name in the local model cache, instead of the shipped one.
    model: str | None = Field(default=None, min_length=1)
    # The sha256 that the model's file of weights must have.
    sha256: str | None = None
    # `auto`, `cpu`, `cuda` or one of several, `cuda:1`.
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    # Of novelty: what `vedette score --baseline-to` wrote.
    baseline: str | None = None
    # False: its model stays as it is where `int8` is set.
    int8: bool = True


class Exporter(Tree):
    """The metrics and health endpoint."""

    # Where `vedette run` and `vedette shadow` listen.
    host: str = "127.0.0.1"
    # 0 takes a free one.
    port: int = Field(default=9464, ge=0, le=65535)
    # Distinct values of one label beyond this become "other".
    label_values_max: int = Field(default=200, ge=1)


class Limits(Tree):
    """Bounds that keep one hostile record cheap."""

    # A larger record is a dead letter.
    record_bytes: int = Field(default=4 << 20, ge=1024)
    # A longer text is cut, and says so.
    text_chars: int = Field(default=200_000, ge=100)
    # A record that is nested deeper is a dead letter.
    depth: int = Field(default=64, ge=4)
    # The clock of a producer may run ahead of the broker's by this much.
    clock_skew_s: float = Field(default=300.0, ge=0)
    # A record that ends the process so often is set aside.
    attempts: int = Field(default=3, ge=1)
    # No completed step for this long while records wait: the process ends for its supervisor.
    stall_s: float = Field(default=120.0, gt=1)


class Intake(Tree):
    """Which calls are taken in."""

    # The share of the calls that is taken in, drawn by id; the rest is counted.
    sample_rate: float = Field(default=1.0, ge=0, le=1)
    # Only calls of these models; the rest is counted as filtered. None named: all.
    models: tuple[str, ...] = ()
    # Model groups that are LiteLLM silent twins: their calls become `shadow:<group>`.
    silent_models: tuple[str, ...] = ()
    # Where the variant is read from, first hit wins: a LiteLLM tag "variant:x" or a header.
    variant_headers: tuple[str, ...] = ("x-experiment-variant", "x-variant")
    # How long a span waits for its log events (and they for it).
    join_wait_s: float = Field(default=30.0, ge=0)


class Config(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix="VEDETTE_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    # The name of calls that carry none.
    service: str = Field(default="default", pattern=r"^[^\x00-\x1f]{1,128}$")
    kafka: Kafka = Kafka()
    store: Store = Store()
    panes: Panes = Panes()
    # How what is taken in without a broker is read.
    inbox: Topic = Topic()
    # Names of sources whose records are history: their watermark is what was read, not the clock.
    backfill: tuple[str, ...] = ("backfill",)
    # Keys of records' segments; `language` is told from the prompt where a record does not say.
    segments: tuple[str, ...] = ()
    # False: scorers that run a model stay off unless `scorers` names them.
    models: bool = True
    # What `vedette score --int8-to` wrote: OpenVINO runs every model but bertscore's, on a CPU.
    int8: Path | None = None
    # True: a CPU runs models in bfloat16, as a GPU always does; it must have AMX.
    bfloat16: bool = False
    # By the scorer's name, such as `toxicity`.
    scorers: dict[str, ScorerOptions] = Field(default_factory=dict)
    # Objectives by name; each adds the metric `slo_<name>`.
    slo: dict[Word, Objective] = Field(default_factory=dict)
    # Comparisons by name.
    experiments: dict[Name, Experiment] = Field(default_factory=dict)
    # Off unless it stands in the configuration; `drift: {}` is enough.
    drift: Drift | None = None
    alerts: Alerts = Alerts()
    # Off unless it stands in the configuration; `fairness: {}` is enough where `segments` are.
    fairness: Fairness | None = None
    # Off unless it stands in the configuration.
    shadow: Shadow | None = None
    intake: Intake = Intake()
    exporter: Exporter = Exporter()
    server: Server = Server()
    limits: Limits = Limits()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (env_settings, init_settings)


def load_config(path: Path | None = None, **overrides: Any) -> Config:
    """Read the configuration; raises BadConfig with one line that names the key."""
    tree = read_yaml(path) if path else {}
    _refuse_unknown_environment()
    for key in ("drift", "fairness"):
        if key in tree and tree[key] is None:
            raise BadConfig(key, "holds nothing: {} takes the defaults, no key leaves it off")
    try:
        config = Config(**_merge(tree, overrides))
    except ValidationError as error:
        raise refusal(error, "configuration") from None
    except SettingsError:
        problem = "a list or a mapping stands in the environment as JSON"
        raise BadConfig(_no_json(), problem) from None
    config = _with_answers(config)
    check(config)
    return config


def _no_json() -> str:
    """The variable that should hold JSON and does not."""
    source = EnvSettingsSource(Config)
    for name, value in os.environ.items():
        if name.upper().startswith("VEDETTE_"):
            source.env_vars = {name.lower(): value}
            try:
                source()
            except SettingsError:
                return name
    return "VEDETTE_"


def _with_answers(config: Config) -> Config:
    """Answers of candidates are an input, and a source of their own: a candidate's backlog must
    not hold back the panes of production."""
    if config.shadow is None or config.shadow.answers in config.kafka.topics:
        return config
    answers = {config.shadow.answers: Topic(format="native", source="shadow")}
    kafka = config.kafka.model_copy(update={"topics": config.kafka.topics | answers})
    return config.model_copy(update={"kafka": kafka})


def _merge(tree: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = dict(tree)
    for key, value in overrides.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merge(old, value)
        merged[key] = value
    return merged


def _refuse_unknown_environment() -> None:
    known = set(Config.model_fields)
    for name, value in os.environ.items():
        if name.startswith("VEDETTE_"):
            key = name.removeprefix("VEDETTE_").lower().split("__")[0]
            if key not in known and not _OF_A_SERVICE.match(f"{name}={value}"):
                raise BadConfig(name, "unknown key in the environment")

"""What is read from which topics, and how the broker is reached."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from agent.tree import TopicName, Tree

# A name, an IPv4 address or an IPv6 address in brackets, and its port.
_BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
Format = Literal["auto", "native", "litellm", "otlp"]


class Topic(Tree):
    """One input topic."""

    # How its records are read; `auto` tells from each record.
    format: Format = "auto"
    # All topics of a source share one watermark; a backfill never closes by the wall clock.
    source: str = "live"


class Security(Tree):
    """How the broker is reached; clear text off loopback needs `insecure`."""

    # `SSL` and `SASL_SSL` speak TLS.
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    # Needed with SASL.
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    # Needed with SASL.
    username: str | None = None
    # Better in a file or the environment than here.
    password: SecretStr | None = None
    # Read anew at each start; spaces around are cut off.
    password_file: Path | None = None
    # Whom to trust, as PEM; else what the system trusts.
    ca_file: Path | None = None
    # The certificate of this client, where the broker wants one.
    cert_file: Path | None = None
    # The key of that certificate.
    key_file: Path | None = None
    # True: clear text to a broker on another machine is not refused.
    insecure: bool = False

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> "Security":
        if self.protocol.startswith("SASL"):
            secret = self.password or self.password_file
            if not (self.mechanism and self.username and secret):
                raise ValueError(f"{self.protocol} needs mechanism, username and a password")
        return self


class Kafka(Tree):
    """The broker and what is read from it."""

    # HOST:PORT of some brokers; the others are told by them.
    brokers: tuple[str, ...] = Field(default=("localhost:9092",), min_length=1)
    # The consumer group; workers of one group share the partitions.
    group: str = Field(default="vedette", min_length=1)
    # What is read, each with its options; `llm-calls` unless others are named.
    topics: dict[TopicName, Topic] = Field(
        default_factory=lambda: {"llm-calls": Topic()}, min_length=1
    )
    security: Security = Security()
    # Where a partition without a stored offset starts; later partitions always start at the head.
    start: Literal["earliest", "latest"] = "earliest"
    # A poll above this many records only grows the queue; below 100 the client's overhead shows.
    poll_records: int = Field(default=2000, ge=1, le=50_000)
    # Records that wait in a worker; above it partitions are paused, and resume at half.
    queue_records: int = Field(default=8000, ge=1)
    # Bytes that wait in a worker, likewise.
    queue_bytes: int = Field(default=64 << 20, ge=1 << 20)
    # A worker that is silent for this long loses its partitions.
    session_timeout_s: float = Field(default=30.0, gt=0)
    # How often a worker says that it lives.
    heartbeat_s: float = Field(default=3.0, gt=0)
    # How soon new partitions are seen.
    metadata_max_age_s: float = Field(default=60.0, gt=0)
    # Where what cannot be read is put, besides the store.
    dead_letters: TopicName | None = None
    # Where every scored call is put.
    scored: TopicName | None = None

    @field_validator("brokers")
    @classmethod
    def _are_addresses(cls, brokers: tuple[str, ...]) -> tuple[str, ...]:
        for one in brokers:
            found = _BROKER.fullmatch(one)
            if not found or int(found[1] or 9092) not in range(1, 65536):
                raise ValueError(f"{one!r} is no HOST:PORT")
        return brokers

    @model_validator(mode="after")
    def _is_no_circle(self) -> "Kafka":
        for key, name in (("dead_letters", self.dead_letters), ("scored", self.scored)):
            if name in self.topics:
                raise ValueError(f"{key} is {name}, which is an input: it would never end")
        if self.heartbeat_s >= self.session_timeout_s:
            raise ValueError("heartbeat_s must be shorter than session_timeout_s")
        return self

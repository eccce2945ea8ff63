"""OTLP spans and log records as plain values, alike from protobuf and from JSON."""

from dataclasses import dataclass, field
from typing import Any

SERVER = 2
STATUS_ERROR = 2
# An AnyValue may nest; a list of lists deeper than this is no message of ours.
VALUE_DEPTH = 64

Attributes = dict[str, Any]

# Never read, and large: schemas of tools, vectors, and the traces and messages of errors. Their
# keys stay, without a value.
_UNREAD = (
    "gen_ai.tool.definitions",
    "exception.stacktrace",
    "exception.message",
    "llm.tools.",
    "embedding.",
)


@dataclass(frozen=True, slots=True)
class Event:
    """A span event."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Span:
    """One span; ids are lower-case hex, times are as they came."""

    trace_id: str
    span_id: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    scope: str
    attributes: Attributes
    resource: Attributes
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One log record."""

    trace_id: str
    span_id: str
    name: str
    time_ns: int
    body: Any
    attributes: Attributes
    resource: Attributes


@dataclass(slots=True)
class Batch:
    """What one OTLP message holds; of metrics only the fact that there were some."""

    spans: list[Span] = field(default_factory=list)
    logs: list[LogEvent] = field(default_factory=list)
    metrics: bool = False


def is_read(key: str) -> bool:
    """Whether an attribute is worth converting."""
    return not key.startswith(_UNREAD)

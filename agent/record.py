"""The frozen types that cross folders."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "error", "timeout"]
Origin = Literal["production", "shadow", "dataset"]
# The flag of a call whose record had fields that nobody reads.
UNKNOWN_FIELDS = "unknown_fields"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model and its answer.

    `at` is the request start in epoch seconds. `prompt` is the text that the user wrote last and
    what prompt scorers read; `messages` is the whole conversation where the source had one.
    `None` means that the source did not say; it is never replaced by a number or a text.
    """

    id: str
    at: float
    model: str
    service: str = "default"
    variant: str = "production"
    unit: str | None = None
    session: str | None = None
    segment: tuple[tuple[str, str], ...] = ()
    prompt: str | None = None
    messages: tuple[Message, ...] = ()
    response: str | None = None
    contexts: tuple[str, ...] = ()
    reference: str | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    status: Status = "ok"
    error: str | None = None
    finish: str | None = None
    origin: Origin = "production"
    pair: str | None = None
    feedback: float | None = None
    flags: tuple[str, ...] = ()
    # Sampling parameters of the request (`temperature`, `seed`, ...) as JSON values.
    parameters: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """What a candidate is asked, and the ticket that allows it.

    A judge is asked about the call with its answer, any other candidate what the call asked.
    """

    ticket: bytes
    candidate: str
    call: Call
    judge: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a candidate said, or how it failed; tokens and cost as it reported them."""

    status: Status
    text: str | None = None
    error: str | None = None
    finish: str | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Half:
    """One side of an OTLP call: the span or its log events, to be joined by `key`.

    `call` holds what this side knows; `side` says which one it is. A log side may have no
    model and no times of its own: then `model` is "" and `at` is the event's time.
    """

    key: str
    side: Literal["span", "log"]
    call: Call


# What a judge may be called: its name stands in that of its metric.
JUDGE = re.compile(r"[a-z][a-z0-9_]{0,47}")


@dataclass(frozen=True, slots=True)
class Feedback:
    """A later judgement of a call, -1 to 1: a person's, or that of the judge of this name."""

    call_id: str
    at: float
    value: float
    judge: str = ""

    @property
    def metric(self) -> str:
        """The series that it is kept in."""
        return f"judge_{self.judge}" if self.judge else "feedback"


@dataclass(frozen=True, slots=True)
class Reject:
    """A record, or one call in it, that could not be read; `scope` says which of the two."""

    reason: str
    detail: str = ""
    scope: Literal["record", "call"] = "call"


@dataclass(frozen=True, slots=True)
class Filtered:
    """A call that was read and is none of ours (an embedding, a health check)."""

    reason: str


Item = Call | Half | Feedback | Reject | Filtered


@dataclass(frozen=True, slots=True)
class Score:
    """What one scorer says of one call; `value` is None unless `status` is "ok".

    `axes` are bins of [0, 1]: where the text lies along the axes of a baseline, if it has one.
    """

    value: float | None
    status: Literal["ok", "unscored", "invalid"] = "ok"
    why: str | None = None
    axes: tuple[int, ...] = ()


# The reason of a score that calls of its kind never have: none is missing, and none is counted.
NOT_MEANT = "not_meant"
# And that of what was left unasked.
UNASKED = "not_asked"


def unscored(why: str) -> Score:
    """A score that could not be taken; `why` is a short word that ends up as a label."""
    return Score(None, "unscored", why)


# A topic and the number of a partition of it.
Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record of a source as it came, before anything is read from it."""

    topic: str
    partition: int
    offset: int
    arrival: float
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A run of offsets that the client library could not decode."""

    topic: str
    partition: int
    first: int
    last: int
    arrival: float
    why: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was set aside, with its reason and its original bytes."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    arrival: float
    value: bytes | None = None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    last_offset: int | None = None
    attempts: int = field(default=1)

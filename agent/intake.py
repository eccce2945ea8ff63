"""From what a batch of records held to the work to be done, and the account of the rest."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from agent.buckets import event_key
from agent.config import Intake
from agent.halves import join, merge_logs
from agent.record import (
    Call,
    DeadLetter,
    Feedback,
    Filtered,
    Half,
    Item,
    Message,
    RawRecord,
    Reject,
    Score,
    Unreadable,
)
from agent.redact import redact
from agent.store.writes import Position


@dataclass(frozen=True, slots=True)
class Entry:
    """One record and what was read out of it; `quarantined` says why it is not to be worked on,
    which was `tried` so often."""

    record: RawRecord | Unreadable
    items: tuple[Item, ...] = ()
    quarantined: str = ""
    tried: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """A run of records of one partition: it stands at `position` and is to move on to `to`."""

    position: Position
    to: int
    entries: tuple[Entry, ...] = ()

    @property
    def through(self) -> float | None:
        """The latest arrival in it."""
        return max((entry.record.arrival for entry in self.entries), default=None)


# What a text was before it was redacted to wait in the store: its hash and its length.
Originals = Mapping[str, tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class Work:
    """One call to be scored and folded, or one half that goes on waiting (`waits`)."""

    call: Call
    part: int
    offset: int
    arrival: float
    key: bytes
    taken: Mapping[str, Score] = field(default_factory=dict)
    waits: Half | None = None
    was: Originals = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """What a batch comes to; one ledger for each reading."""

    work: list[Work]
    ledgers: list[Counter[str]]
    letters: list[DeadLetter]
    feedback: list[tuple[int, RawRecord, Feedback]]
    held: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A half as the store holds it: redacted, with the scores that were taken before."""

    half: Half
    scores: Mapping[str, Score]
    was: Originals
    topic: str
    partition: int
    offset: int
    arrival: float
    body: bytes


def share_of(call: Call) -> float:
    """A uniform number in [0, 1) that a call and its shadow have in common (rule 8)."""
    return int.from_bytes(event_key(call.pair or call.id)[:8], "little") / 2.0**64


def identity(call: Call) -> bytes:
    """What makes a call itself: service, variant and id."""
    return event_key(call.service, call.variant, call.id)


def half_keys(readings: Sequence[Reading]) -> list[str]:
    """The keys of all halves in a batch."""
    items = (item for reading in readings for entry in reading.entries for item in entry.items)
    return sorted({item.key for item in items if isinstance(item, Half)})


def make_plan(
    readings: Sequence[Reading],
    waiting: Mapping[str, Waiting],
    expired: Sequence[tuple[int, Waiting]],
    rules: Intake,
) -> Plan:
    """Sort a batch into work, ledgers, dead letters and feedback."""
    plan = Plan([], [Counter() for _ in readings], [], [], {k: w.body for k, w in waiting.items()})
    halves: dict[str, list[tuple[int, RawRecord, Half]]] = {}
    for part, reading in enumerate(readings):
        for entry in reading.entries:
            _account(plan, part, entry, rules, halves)
    for key, sides in halves.items():
        _meet(plan, sides, waiting.get(key))
    for part, old in expired:
        plan.held[old.half.key] = old.body
        call = replace(old.half.call, flags=(*old.half.call.flags, "half"))
        if not call.model:
            call = replace(call, model="unknown")
        own = identity(call)
        plan.work.append(Work(call, part, old.offset, old.arrival, own, old.scores, was=old.was))
    return plan


def _account(
    plan: Plan,
    part: int,
    entry: Entry,
    rules: Intake,
    halves: dict[str, list[tuple[int, RawRecord, Half]]],
) -> None:
    ledger, record = plan.ledgers[part], entry.record
    if isinstance(record, Unreadable):
        n = record.last - record.first + 1
        ledger["received"] += n
        ledger["unreadable_records"] += n
        plan.letters.append(letter(record, "undecodable", record.why))
        return
    ledger["received"] += 1
    if entry.quarantined:
        ledger["quarantined"] += 1
        plan.letters.append(letter(record, entry.quarantined, "", entry.tried))
    elif record.value is None:
        ledger["skipped"] += 1
    elif (whole := _whole_reject(entry.items)) is not None:
        ledger["unreadable_records"] += 1
        plan.letters.append(letter(record, whole.reason, whole.detail))
    else:
        ledger["parsed"] += 1
        ledger["found"] += len(entry.items)
        for item in entry.items:
            if isinstance(item, Half):
                halves.setdefault(item.key, []).append((part, record, item))
            else:
                _take(plan, part, record, item, rules)


def _whole_reject(items: Sequence[Item]) -> Reject | None:
    one = items[0] if len(items) == 1 else None
    return one if isinstance(one, Reject) and one.scope == "record" else None


def _take(
    plan: Plan,
    part: int,
    record: RawRecord,
    item: Call | Feedback | Reject | Filtered,
    rules: Intake,
) -> None:
    ledger = plan.ledgers[part]
    if isinstance(item, Call):
        if rules.models and item.model not in rules.models:
            ledger["filtered"] += 1
        elif rules.sample_rate < 1 and share_of(item) >= rules.sample_rate:
            ledger["sampled_out"] += 1
        else:
            plan.work.append(Work(item, part, record.offset, record.arrival, identity(item)))
    elif isinstance(item, Feedback):
        plan.feedback.append((part, record, item))
    elif isinstance(item, Filtered):
        ledger["filtered"] += 1
    else:
        ledger["invalid"] += 1
        plan.letters.append(letter(record, item.reason, item.detail))


def _meet(
    plan: Plan, sides: Sequence[tuple[int, RawRecord, Half]], waiting: Waiting | None
) -> None:
    """Join what belongs together: a batch's halves of one key, and the one that waits for them."""
    span = waiting.half if waiting and waiting.half.side == "span" else None
    log = waiting.half if waiting and waiting.half.side == "log" else None
    met = 1 if waiting else 0
    for part, _, half in sides:
        if half.side == "span" and span is not None:
            plan.ledgers[part]["duplicate"] += 1
            continue
        met += 1
        if met > 1:
            plan.ledgers[part]["joined"] += 1
        if half.side == "span":
            span = half
        else:
            log = merge_logs(log, half) if log else half
    part, record, _ = sides[-1]
    taken, was = (waiting.scores, waiting.was) if waiting else ({}, {})
    if span is not None and log is not None:
        call = join(span, log)
        key = identity(call)
        work = Work(call, part, record.offset, record.arrival, key, taken, was=was)
    else:
        held = span or log
        assert held is not None
        work = Work(held.call, part, record.offset, record.arrival, b"", taken, held, was)
    plan.work.append(work)


def letter(
    record: RawRecord | Unreadable, reason: str, detail: str, attempts: int = 1
) -> DeadLetter:
    """A record set aside, with its original bytes where the client could read them."""
    if isinstance(record, Unreadable):
        return DeadLetter(
            record.topic, record.partition, record.first, reason, detail, record.arrival,
            last_offset=record.last,
        )  # fmt: skip
    return DeadLetter(
        record.topic, record.partition, record.offset, reason, detail, record.arrival,
        record.value, record.key, record.headers, attempts=attempts,
    )  # fmt: skip


def original(text: str, was: Originals) -> tuple[bytes, int]:
    """The hash and the length of a text as it came."""
    return was.get(text) or (event_key(text), len(text))


def pack_half(half: Half, scores: Mapping[str, Score], was: Originals) -> bytes:
    """A waiting half as it is stored: its texts redacted, scores and hashes taken before that."""
    call, texts = asdict(half.call), [half.call.prompt, half.call.response]
    asked = _asked(asdict(half.call))
    came = {redact(text): original(text, was) for text in texts if text is not None}
    for name in ("prompt", "response", "reference"):
        if call[name] is not None:
            call[name] = redact(call[name])
    call["contexts"] = [redact(text) for text in call["contexts"]]
    for message in call["messages"]:
        message["content"] = redact(message["content"])
    call["parameters"] = _redacted(call["parameters"])
    if _asked(call) != asked:
        call["flags"] = sorted({*call["flags"], "prompt_redacted"})
    held = {name: [s.value, s.status, s.why, s.axes] for name, s in scores.items()}
    hashes = {text: [key.hex(), chars] for text, (key, chars) in came.items()}
    body = {"key": half.key, "side": half.side, "call": call, "scores": held, "was": hashes}
    return json.dumps(body, separators=(",", ":")).encode()


def _asked(call: Mapping[str, Any]) -> list[Any]:
    """What a candidate would be asked."""
    return [call[name] for name in ("prompt", "messages", "parameters")]


def _redacted(value: Any) -> Any:
    """A JSON value with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(each) for key, each in value.items()}
    return type(value)(map(_redacted, value)) if isinstance(value, list | tuple) else value


def unpack_half(row: Any) -> Waiting:
    """Read a row of the table of halves."""
    body = json.loads(bytes(row.body))
    call = body["call"]
    for name in ("contexts", "flags"):
        call[name] = tuple(call[name])
    for name in ("segment", "parameters"):
        # A half that the release before stored has no parameters.
        call[name] = tuple((key, value) for key, value in call.get(name, ()))
    call["messages"] = tuple(Message(**message) for message in call["messages"])
    half = Half(body["key"], body["side"], Call(**call))
    scores = {n: Score(*parts[:3], *map(tuple, parts[3:])) for n, parts in body["scores"].items()}
    was = {text: (bytes.fromhex(key), chars) for text, (key, chars) in body["was"].items()}
    place = row.topic, row.partition, row.offset, row.arrival
    return Waiting(half, scores, was, *place, bytes(row.body))

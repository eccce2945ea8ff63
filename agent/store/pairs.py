"""Pairs are made when the pane of their production call closes, from the rows of both calls.

2026-11-24: folding a pair when its second call arrives needs a lock between workers and takes
pairs in the order of completion, which biases a slow candidate (statistics.md 3.4). At closing
both rows are there or late, one process looks, and the order is that of the requests.

A ticket says that its pair is one whatever the answer's own time is, in which rows it counts, and
that the candidate failed where no answer came. A twin without one was mirrored by somebody else.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from agent.buckets import event_key
from agent.catalog import metric_named
from agent.columns import FAILURES
from agent.experiments import PAIRED, SHADOW
from agent.pairs import LATE, REPEATED, UNMATCHED, Outcome, Pair, paired_row
from agent.panes import Group, Row, RowKey, is_late, pane_of
from agent.store.experiments import enter
from agent.store.tables import calls, offsets
from agent.store.ticket_tables import tickets
from agent.store.tickets import SETTLED, answer_id, ticket_key, ticket_of

_DAY_S = 86_400
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Span:
    """What is being closed: panes of a source in [start, end), and the declared segments."""

    source: str
    start: float
    end: float
    width_s: int
    lateness_s: float
    segments: Sequence[str]


def are_there(tx: Connection) -> bool:
    """Whether any call may be one of a pair."""
    twins = select(calls.c.key).where(calls.c.pair.is_not(None)).limit(1)
    asked = select(tickets.c.key).limit(1)
    return tx.scalar(twins) is not None or tx.scalar(asked) is not None


def close_pairs(tx: Connection, span: Span, now: float) -> dict[RowKey, Row]:
    """The rows of every pair whose production call lies in the span, and counts of lost twins."""
    groups: dict[RowKey, list[Pair]] = defaultdict(list)
    made: dict[RowKey, Row] = {}
    found = list(tx.execute(_twins(span)))
    asked = _tickets_of(tx, [row.id for row in found])
    mirrored = [row for row in found if row.id not in asked and not _is_late(row, span)]
    traces, taken = _traces(tx, mirrored), _ticketed_calls(tx, mirrored)
    whole = [row for row in mirrored if row.pair == row.control_id or traces[_trace(row)] == 1]
    for row in whole:
        if _ticket(row) in taken:
            key = RowKey(pane_of(row.control_at, span.width_s), _groups(row, ())[0])
            made.setdefault(key, Row()).calls.add(REPEATED)
    whole = [row for row in whole if _ticket(row) not in taken]
    fresh = _first_of_their_day(tx, whole, now)
    for row in whole:
        for group in _groups(row, span.segments):
            key = RowKey(pane_of(row.control_at, span.width_s), group)
            if row.key in fresh:
                groups[key].append(_mirrored(row))
            else:
                made.setdefault(key, Row()).calls.add(REPEATED)
    for key, pair in _ticketed(tx, span):
        groups[key].append(pair)
    for key, pairs in groups.items():
        made.setdefault(key, Row()).merge(paired_row(pairs, key.group.variant))
    _count_lost(tx, span, made)
    return made


def _twins(span: Span) -> Any:
    control, twin = calls.alias("control"), calls.alias("twin")
    # A mirror that cannot know the call's id says the trace that both have.
    meets = (twin.c.pair == control.c.id) | (twin.c.pair == control.c.pair)
    return (
        select(
            *(twin.c.key, twin.c.id, twin.c.pair, twin.c.service, twin.c.model, twin.c.variant),
            *(twin.c.status, twin.c.scores, twin.c.arrival, control.c.at.label("control_at")),
            *(control.c.id.label("control_id"), control.c.unit, control.c.segment),
            *(control.c.status.label("control_status"), control.c.scores.label("control_scores")),
            control.c.arrival.label("control_arrival"),
        )
        .join(twin, meets & (twin.c.service == control.c.service))
        .join(offsets, _in_source(control, span.source))
        .where(control.c.at >= span.start, control.c.at < span.end)
        .where(control.c.origin == "production", twin.c.variant.startswith(SHADOW))
        .order_by(control.c.at, control.c.id, twin.c.key)
    )


def _in_source(alias: Any, source: str) -> Any:
    here = (alias.c.topic == offsets.c.topic) & (alias.c.partition == offsets.c.partition)
    return here & (offsets.c.source == source)


def _is_late(row: Any, span: Span) -> bool:
    # Of both records alone, so that no restart changes it.
    arrival = max(row.arrival, row.control_arrival)
    return is_late(row.control_at, arrival, span.width_s, span.lateness_s)


def _trace(row: Any) -> tuple[str, str, str]:
    return row.service, row.pair, row.variant


def _traces(tx: Connection, rows: Sequence[Any]) -> Counter[tuple[str, str, str]]:
    """How many meetings are possible in each trace: in one with several calls nobody knows whose
    answer a twin is."""
    wanted = sorted({row.pair for row in rows if row.pair != row.control_id})
    columns = calls.c.service, calls.c.pair, calls.c.origin, calls.c.variant
    made: Counter[tuple[str, str, str]] = Counter()
    for at in range(0, len(wanted), _CHUNK):
        query = select(*columns).where(calls.c.pair.in_(wanted[at : at + _CHUNK]))
        made.update(
            (row.service, row.pair, "" if row.origin == "production" else row.variant)
            for row in tx.execute(query)
        )
    return Counter({key: made[key] * made[(*key[:2], "")] for key in made if key[2]})


def _ticket(row: Any) -> bytes:
    """The key of the ticket that a twin's production call would have for a candidate so named."""
    return ticket_key(row.variant.removeprefix(SHADOW), row.service, row.control_id)


def _ticketed_calls(tx: Connection, rows: Sequence[Any]) -> set[bytes]:
    """Who was drawn for a candidate makes its pair with it, and none with a mirror so named."""
    wanted, found = sorted({_ticket(row) for row in rows}), set[bytes]()
    for at in range(0, len(wanted), _CHUNK):
        query = select(tickets.c.key).where(tickets.c.key.in_(wanted[at : at + _CHUNK]))
        found.update(bytes(key) for key in tx.scalars(query))
    return found


def _first_of_their_day(tx: Connection, found: Sequence[Any], now: float) -> set[bytes]:
    """One pair a unit, candidate and day: ten calls of a session are not ten pairs."""
    first: dict[bytes, bytes] = {}
    free = set()
    for row in found:
        if row.unit is None:
            free.add(row.key)
        else:
            day = str(int(row.control_at // _DAY_S))
            first.setdefault(event_key("unit", row.service, row.variant, row.unit, day), row.key)
    new = enter(tx, list(first), now)
    return free | {key for unit, key in first.items() if unit in new}


def _groups(row: Any, segments: Sequence[str]) -> list[Group]:
    main = Group(row.service, row.model, PAIRED + row.variant.removeprefix(SHADOW))
    held = json.loads(row.segment) if segments else {}
    return [main] + [main._replace(segment=f"{k}={held[k]}") for k in segments if k in held]


def _mirrored(row: Any) -> Pair:
    control = _outcome(row.control_status, row.control_scores)
    return Pair(bytes(row.key), control, _outcome(row.status, row.scores))


def _outcome(status: str, scores: str) -> Outcome:
    values = json.loads(scores)
    why = values.pop("why", {})
    return Outcome(status, values, why) if status not in FAILURES else _failed(status, values, why)


def _failed(status: str, values: dict[str, float], why: dict[str, str]) -> Outcome:
    """A side that did not answer: what was asked scores as it does, all else failed. A call that
    is refused at once has a short latency, which must not win."""
    kept = {name: value for name, value in values.items() if _is_asked(name)}
    reasons = {name: reason for name, reason in why.items() if _is_asked(name)}
    return Outcome(status, kept | {"error": 1.0}, reasons)


def _is_asked(metric: str) -> bool:
    return metric_named(metric).text in ("prompt", "contexts")


def _ticketed(tx: Connection, span: Span) -> Iterator[tuple[RowKey, Pair]]:
    """The pairs of the span's tickets, once for each row that they count in."""
    here = tickets.c.source == span.source, tickets.c.at >= span.start, tickets.c.at < span.end
    query = select(tickets).where(*here, tickets.c.probe == "", tickets.c.state.in_(SETTLED))
    rows = list(tx.execute(query.order_by(tickets.c.at, tickets.c.key)))
    for at in range(0, len(rows), _CHUNK):
        part = rows[at : at + _CHUNK]
        known = _outcomes(tx, [key for row in part for key in (bytes(row.call_key), _answer(row))])
        for row in part:
            control, answer = known.get(bytes(row.call_key)), known.get(_answer(row))
            if row.state == "expired" and control is not None:
                answer = unanswered(control)
            if control is None or answer is None:
                continue  # somebody was forgotten
            pane = pane_of(row.at, span.width_s)
            group = Group(row.service, row.model, PAIRED + row.candidate)
            for segment in json.loads(row.counts_in):
                key = RowKey(pane, group._replace(segment=segment))
                yield key, Pair(bytes(row.key), control, answer)


def _answer(ticket: Any) -> bytes:
    """The identity of its candidate's answer: others may use the id."""
    return event_key(ticket.service, SHADOW + ticket.candidate, answer_id(bytes(ticket.key)))


def _outcomes(tx: Connection, keys: Sequence[bytes]) -> dict[bytes, Outcome]:
    query = select(calls.c.key, calls.c.status, calls.c.scores).where(calls.c.key.in_(keys))
    return {bytes(key): _outcome(status, scores) for key, status, scores in tx.execute(query)}


def unanswered(control: Outcome) -> Outcome:
    """A candidate that did not answer in time: what was asked scores as on the other side."""
    return _failed("timeout", control.values, {})


def _count_lost(tx: Connection, span: Span, made: dict[RowKey, Row]) -> None:
    """Twins of this span whose production call is unknown, or whose pane they came too late for."""
    control = calls.alias("control")
    query = (
        select(calls.c.key, calls.c.id, calls.c.at, calls.c.service, calls.c.model, calls.c.variant,
               calls.c.arrival, control.c.at.label("control_at"),
               control.c.arrival.label("control_arrival"))
        .outerjoin(control, ((control.c.id == calls.c.pair) | (control.c.pair == calls.c.pair))
                   & (control.c.service == calls.c.service) & (control.c.origin == "production"))
        .join(offsets, _in_source(calls, span.source))
        .where(calls.c.at >= span.start, calls.c.at < span.end, calls.c.pair.is_not(None))
        .where(calls.c.variant.startswith(SHADOW))
    )  # fmt: skip
    rows = list({row.key: row for row in tx.execute(query)}.values())
    states = _tickets_of(tx, [row.id for row in rows])
    rows = [row for row in rows if states.get(row.id) not in ("answered", "failed")]
    matched = [row for row in rows if row.control_at is not None]
    _add(made, span, UNMATCHED, (row for row in rows if row.control_at is None))
    late = (row for row in matched if row.id in states or _is_late(row, span))
    _add(made, span, LATE, late)


def _tickets_of(tx: Connection, ids: Iterable[str]) -> dict[str, str]:
    """The states of the tickets that calls with these ids answer."""
    wanted = {key: one for one in ids if (key := ticket_of(one)) is not None}
    keys, found = sorted(wanted), {}
    for at in range(0, len(keys), _CHUNK):
        query = select(tickets.c.key, tickets.c.state)
        for key, state in tx.execute(query.where(tickets.c.key.in_(keys[at : at + _CHUNK]))):
            found[wanted[bytes(key)]] = state
    return found


def _add(made: dict[RowKey, Row], span: Span, outcome: str, rows: Iterable[Any]) -> None:
    for row in rows:
        group = Group(row.service, row.model, PAIRED + row.variant.removeprefix(SHADOW))
        key = RowKey(pane_of(row.at, span.width_s), group)
        made.setdefault(key, Row()).calls.add(outcome)

"""Pairs are made when the pane of their production call closes, from the rows of both calls.

2026-11-24: folding a pair when its second call arrives needs a lock between workers and takes
pairs in the order of completion, which biases a slow candidate (statistics.md 3.4). At closing
both rows are there or late, one process looks, and the order is that of the requests.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from agent.buckets import event_key
from agent.experiments import PAIRED, SHADOW
from agent.pairs import LATE, REPEATED, UNMATCHED, Outcome, Pair, paired_row
from agent.panes import Group, Row, RowKey, is_late, pane_of
from agent.store.experiments import enter
from agent.store.tables import calls, offsets

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Span:
    """What is being closed: panes of a source in [start, end), and the declared segments."""

    source: str
    start: float
    end: float
    width_s: int
    lateness_s: float
    segments: Sequence[str]


def close_pairs(tx: Connection, span: Span, now: float) -> dict[RowKey, Row]:
    """The rows of every pair whose production call lies in the span, and counts of lost twins."""
    if tx.scalar(select(calls.c.key).where(calls.c.pair.is_not(None)).limit(1)) is None:
        return {}
    found = [row for row in tx.execute(_twins(span)) if not _is_late(row, span)]
    fresh = _first_of_their_day(tx, found, now)
    groups: dict[tuple[RowKey, str], list[Any]] = defaultdict(list)
    for row in found:
        at = pane_of(row.control_at, span.width_s)
        for group in _groups(row, span.segments):
            groups[RowKey(at, group), "" if row.key in fresh else REPEATED].append(row)
    made: dict[RowKey, Row] = {}
    for (key, outcome), rows in groups.items():
        if outcome:
            made.setdefault(key, Row()).calls.add(outcome, len(rows))
        else:
            made.setdefault(key, Row()).merge(_folded(rows, key.group.variant))
    _count_lost(tx, span, made)
    return made


def _twins(span: Span) -> Any:
    control, twin = calls.alias("control"), calls.alias("twin")
    return (
        select(
            *(twin.c.key, twin.c.service, twin.c.model, twin.c.variant, twin.c.status),
            *(twin.c.scores, twin.c.arrival, control.c.at.label("control_at"), control.c.unit),
            *(control.c.segment, control.c.status.label("control_status")),
            *(control.c.scores.label("control_scores"), control.c.arrival.label("control_arrival")),
        )
        .join(twin, (twin.c.pair == control.c.id) & (twin.c.service == control.c.service))
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


def _folded(rows: Sequence[Any], variant: str) -> Row:
    pairs = [
        Pair(bytes(row.key), _outcome(row.control_status, row.control_scores),
             _outcome(row.status, row.scores))
        for row in rows
    ]  # fmt: skip
    return paired_row(pairs, variant)


def _outcome(status: str, scores: str) -> Outcome:
    values = json.loads(scores)
    why = values.pop("why", {})
    return Outcome(status, values, why)


def _count_lost(tx: Connection, span: Span, made: dict[RowKey, Row]) -> None:
    """Twins of this span whose production call is unknown, or whose pane they came too late for."""
    control = calls.alias("control")
    query = (
        select(calls.c.at, calls.c.service, calls.c.model, calls.c.variant, calls.c.arrival,
               control.c.at.label("control_at"), control.c.arrival.label("control_arrival"))
        .outerjoin(control, (control.c.id == calls.c.pair) & (control.c.service == calls.c.service)
                   & (control.c.origin == "production"))
        .join(offsets, _in_source(calls, span.source))
        .where(calls.c.at >= span.start, calls.c.at < span.end, calls.c.pair.is_not(None))
        .where(calls.c.variant.startswith(SHADOW))
    )  # fmt: skip
    rows = list(tx.execute(query))
    matched = [row for row in rows if row.control_at is not None]
    _add(made, span, UNMATCHED, (row for row in rows if row.control_at is None))
    _add(made, span, LATE, (row for row in matched if _is_late(row, span)))


def _add(made: dict[RowKey, Row], span: Span, outcome: str, rows: Iterable[Any]) -> None:
    for row in rows:
        group = Group(row.service, row.model, PAIRED + row.variant.removeprefix(SHADOW))
        key = RowKey(pane_of(row.at, span.width_s), group)
        made.setdefault(key, Row()).calls.add(outcome)

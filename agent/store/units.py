"""Sessions and users as the units of a comparison: each enters once, as its mean.

A unit stands in the pane of its first call and is the mean over a fixed horizon from there;
entering when it ends would be completion-order bias again (statistics.md 3.4).
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, select

from agent.buckets import dither_keys, event_key
from agent.catalog import metric_named
from agent.columns import FAILURES, TAKEN_AWAY
from agent.pairs import beside
from agent.panes import Group, Row, RowKey, is_late, pane_of
from agent.store.experiments import enter, known
from agent.store.tables import calls, offsets
from agent.summaries import LogHistogram

UNIT, CROSSED = "unit", "crossed"


@dataclass(frozen=True, slots=True)
class UnitSpan:
    """Whose first calls are looked for: in [start, end) of a source, in these variants.

    `name` is the experiment's; `low` are the metrics whose good end is low, for failures; in those
    of `void` what a failed call has does not count.
    """

    name: str
    source: str
    service: str
    variants: tuple[str, ...]
    kind: Literal["session", "user"]
    start: float
    end: float
    width_s: int
    lateness_s: float
    horizon_s: float
    segments: Sequence[str]
    low: frozenset[str]
    void: frozenset[str] = frozenset()


def unit_rows(tx: Connection, span: UnitSpan, now: float, *, entering: bool) -> dict[RowKey, Row]:
    """The rows of the units that began in the span; with `entering` they cannot begin again."""
    by: dict[str, list[Any]] = defaultdict(list)
    for row in tx.execute(_calls(span)):
        if not is_late(row.at, row.arrival, span.width_s, span.lateness_s):
            by[row.subject].append(row)
    begun = {unit: rows for unit, rows in by.items() if rows[0].at < span.end}
    keys = {unit: event_key("experiment", span.name, span.service, unit) for unit in begun}
    before = known(tx, sorted(keys.values()))
    if entering:
        enter(tx, list(keys.values()), now)
    made: dict[RowKey, list[_Unit]] = defaultdict(list)
    for unit, rows in begun.items():
        if keys[unit] not in before:
            for key, one in _units(rows, keys[unit], span):
                made[key].append(one)
    return {key: _folded(units) for key, units in made.items()}


def _calls(span: UnitSpan) -> Any:
    subject = calls.c.session if span.kind == "session" else calls.c.unit
    return (
        select(
            *(calls.c.at, calls.c.arrival, calls.c.model, calls.c.variant, calls.c.status),
            *(calls.c.scores, calls.c.segment, subject.label("subject")),
        )
        .join(
            offsets,
            (calls.c.topic == offsets.c.topic) & (calls.c.partition == offsets.c.partition),
        )
        .where(calls.c.at >= span.start, calls.c.at < span.end + span.horizon_s)
        .where(offsets.c.source == span.source, calls.c.service == span.service)
        .where(calls.c.variant.in_(span.variants), subject.is_not(None))
        .where(calls.c.origin == "production")
        .order_by(calls.c.at, calls.c.id)
    )


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit's means with failures at the worst and at the best end, and its missing reasons."""

    key: int
    crossed: bool
    worst: dict[str, float]
    best: dict[str, float]
    why: dict[str, str]


def _units(rows: Sequence[Any], key: bytes, span: UnitSpan) -> Iterable[tuple[RowKey, _Unit]]:
    first = rows[0]
    within = [row for row in rows if row.at < first.at + span.horizon_s]
    mine = [row for row in within if row.variant == first.variant]
    worst, best, why = _means(mine, span.low, span.void)
    number = int.from_bytes(key[:8], "little")
    unit = _Unit(number, len(mine) < len(within), worst, best, why)
    group = Group(span.service, first.model, first.variant)
    at = pane_of(first.at, span.width_s)
    yield RowKey(at, group), unit
    held = json.loads(first.segment) if span.segments else {}
    for name in span.segments:
        if name in held:
            yield RowKey(at, group._replace(segment=f"{name}={held[name]}")), unit


def _means(
    rows: Sequence[Any], low: frozenset[str], void: frozenset[str]
) -> tuple[dict[str, float], dict[str, float], dict[str, str]]:
    given: dict[str, list[float]] = defaultdict(list)
    failed: dict[str, int] = defaultdict(int)
    why: dict[str, str] = {}
    for row in rows:
        values = json.loads(row.scores)
        reasons = values.pop("why", {})
        lost = void if row.status in FAILURES else ()
        for metric in lost:
            failed[metric] += 1
        for metric, value in values.items():
            if metric not in lost:
                given[metric].append(value)
        for metric, reason in reasons.items():
            if row.status in FAILURES and reason in TAKEN_AWAY:
                failed[metric] += 1
            why[metric] = reason
    means = []
    for end in (1.0, 0.0):
        fill = {metric: end if metric in low else 1 - end for metric in failed}
        means.append({
            metric: math.fsum([*given[metric], failed[metric] * fill.get(metric, 0.0)])
            / (len(given[metric]) + failed[metric])
            for metric in sorted({*given, *failed})
        })  # fmt: skip
    worst, best = means
    return worst, best, {metric: reason for metric, reason in why.items() if metric not in worst}


def _folded(units: Sequence[_Unit]) -> Row:
    row = Row()
    row.calls.add(UNIT, len(units))
    if crossed := sum(unit.crossed for unit in units):
        row.calls.add(CROSSED, crossed)
        row.calls.add(UNIT, -crossed)
    keys = np.array([unit.key for unit in units], np.uint64)
    for metric in sorted({name for unit in units for name in unit.worst} - {"feedback"}):
        there = [at for at, unit in enumerate(units) if metric in unit.worst]
        worst = [units[at].worst[metric] for at in there]
        if metric_named(metric).kind == "amount":
            amounts = row.summaries.setdefault(metric, LogHistogram())
            assert isinstance(amounts, LogHistogram)
            amounts.update(worst)
            continue
        mine = dither_keys(keys[there], metric)
        row.bounded(metric, 0.0, 1.0).update(worst, mine)
        best = [units[at].best[metric] for at in there]
        row.bounded(beside(metric, "best"), 0.0, 1.0).update(best, mine)
    for unit in units:
        _count_missing(row, unit.why)
    return row


def _count_missing(row: Row, why: Mapping[str, str]) -> None:
    for metric, reason in why.items():
        if metric_named(metric).kind != "amount":
            row.bounded(metric, 0.0, 1.0).missing.add(reason)

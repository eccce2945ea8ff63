"""What people and pages ask of the store; every function takes an open transaction."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from agent.experiments import ASIDE, PAIRED
from agent.panes import HOUR_S, Group, Row
from agent.record import Call
from agent.store.tables import (
    LEDGER,
    calls,
    closing,
    examples,
    halves,
    offsets,
    panes,
    texts,
)

_CHUNK = 500


def calls_by_id(tx: Connection, ids: Sequence[str]) -> dict[str, Call]:
    """Stored calls by id, for what is said of them later; production first where ids repeat."""
    found: dict[str, Call] = {}
    wanted = sorted(set(ids))
    for i in range(0, len(wanted), _CHUNK):
        query = select(calls).where(calls.c.id.in_(wanted[i : i + _CHUNK]))
        for row in tx.execute(query.order_by(calls.c.origin == "production")):
            segment = tuple(sorted(json.loads(row.segment).items()))
            found[row.id] = Call(
                row.id, row.at, row.model, row.service, row.variant, segment=segment
            )
    return found


@dataclass(frozen=True, slots=True)
class Ledger:
    """What became of everything that was received; `waiting` halves are between two ends."""

    counts: dict[str, int]
    waiting: int

    @property
    def received(self) -> int:
        """Calls found, and records that no call could be found in."""
        counts = self.counts
        return counts["received"] - counts["parsed"] + counts["found"]

    @property
    def terms(self) -> dict[str, int]:
        """The ends that `received` is the sum of."""
        counts = self.counts
        return {
            "scored": counts["scored"],
            "invalid": counts["invalid"],
            "filtered": counts["filtered"] + counts["skipped"],
            "sampled_out": counts["sampled_out"],
            "shed": counts["shed"],
            "failed": counts["failed"] + counts["quarantined"],
            "duplicate": counts["duplicate"],
            "unreadable": counts["unreadable_records"],
            "joined": counts["joined"],
            "feedback": counts["feedback"],
            "waiting": self.waiting,
        }

    @property
    def gap(self) -> int:
        """What is missing between `received` and its ends; negative where too much was counted."""
        return self.received - sum(self.terms.values())

    @property
    def sums(self) -> bool:
        """Whether nothing was lost or invented on the way."""
        return self.gap == 0


def ledger(tx: Connection) -> Ledger:
    """The two ledgers over all partitions."""
    # One statement sees one moment: with two, what another worker joins between them is a gap.
    waiting = select(func.count()).select_from(halves).scalar_subquery()
    row = tx.execute(select(*(func.sum(offsets.c[name]) for name in LEDGER), waiting)).one()
    *sums, waits = (int(n or 0) for n in row)
    return Ledger(dict(zip(LEDGER, sums, strict=True)), waits)


def partitions(tx: Connection) -> list[dict[str, Any]]:
    """Where every partition stands."""
    query = select(offsets).order_by(offsets.c.topic, offsets.c.partition)
    return [dict(row._mapping) for row in tx.execute(query)]


def closed_times(tx: Connection) -> dict[str, float]:
    """How far each source is closed."""
    return {row.source: row.closed_through for row in tx.execute(select(closing))}


def _outside(prefix: str) -> ColumnElement[bool]:
    return func.substr(panes.c.variant, 1, len(prefix)) != prefix


def pane_rows(
    tx: Connection, start: float, end: float, level_s: int, *, late: bool = False
) -> list[tuple[int, str, Group, Row]]:
    """Closed panes of one level within [start, end): (pane, source, group, row), in order."""
    here = and_(panes.c.level_s == level_s, panes.c.late == int(late))
    query = select(panes).where(here, panes.c.pane >= start, panes.c.pane + level_s <= end)
    found = [
        (
            row.pane,
            row.source,
            Group(row.service, row.model, row.variant, row.segment),
            Row.from_bytes(bytes(row.summaries)),
        )
        for row in tx.execute(query)
    ]
    return sorted(found, key=lambda item: item[:3])


def all_hours(tx: Connection) -> Iterator[tuple[str, str, str, bytes]]:
    """The packed rows of every closed hour and of the calls that came late for it, in no order:
    (service, model, variant, row), segments and pairs left out."""
    names = panes.c.service, panes.c.model, panes.c.variant
    here = panes.c.level_s == HOUR_S, panes.c.segment == "", _outside(PAIRED)
    for service, model, variant, blob in tx.execute(select(*names, panes.c.summaries).where(*here)):
        yield service, model, variant, bytes(blob)


def kept_texts(tx: Connection, most: int = 10_000) -> Iterator[str]:
    """The newest texts of calls that are kept, and the examples: all were redacted before."""
    newest = select(texts.c.prompt, texts.c.response).order_by(texts.c.stored_at.desc())
    shown = select(examples.c.text).order_by(examples.c.stored_at.desc())
    for query in (newest, shown):
        for row in tx.execute(query.limit(most)):
            yield from (text for text in row if text)


@dataclass(frozen=True, slots=True)
class StoredPane:
    """One closed pane row as it is stored, and how long its pane is."""

    pane: int
    level_s: int
    group: Group
    blob: bytes


# A readout reads the finest panes that there are, unless they are more than this.
_FINE_PANES = 2_000


def stored_panes(
    tx: Connection,
    source: str,
    start: float,
    end: float,
    service: str | None = None,
    variants: Sequence[str] = (),
    fine_panes: float = _FINE_PANES,
) -> list[StoredPane]:
    """The rows of closed panes that tile [start, end) once, of all services unless one is named;
    the finest that are still there unless they are more than `fine_panes`.

    A pane that only its roll-up is left of counts when all of the roll-up lies within.
    """
    here = [
        and_(panes.c.source == source, panes.c.late == 0),
        and_(panes.c.pane >= start, panes.c.pane + panes.c.level_s <= end),
        panes.c.pane < end,  # for the index: a backlog after it is not looked at
    ]
    if service is not None:
        here.append(and_(panes.c.service == service, panes.c.variant.in_(variants)))
    query = select(panes.c.level_s, panes.c.pane, func.sum(panes.c.calls)).where(*here)
    sizes = {
        (level, pane): int(calls)
        for level, pane, calls in tx.execute(query.group_by(panes.c.level_s, panes.c.pane))
    }
    fine = len({pane for level, pane in sizes if level < HOUR_S}) <= fine_panes
    chosen = _tiles(sizes, fine)
    columns = (panes.c.level_s, panes.c.pane, *(panes.c[name] for name in Group._fields))
    found = [
        StoredPane(row.pane, row.level_s, Group(*row[2:6]), bytes(row.summaries))
        for row in tx.execute(select(*columns, panes.c.summaries).where(*here)).all()
        if (row.level_s, row.pane) in chosen
    ]
    return sorted(found, key=lambda one: (one.pane, one.group))


# Calls that users made.
_SEEN = and_(*map(_outside, ASIDE))


# Of one level: with `late` as it is SQLite takes the index by start, in which all levels lie, and
# 30 days took 1.6 times as long, the first pane of a level 30 ms.
ON_TIME = panes.c.late + 0 == 0


def service_panes(
    tx: Connection, source: str, level_s: int, start: float, end: float
) -> list[tuple[int, str, bytes]]:
    """Closed panes of one level that begin within [start, end), of all calls that users saw:
    (pane, service, packed row), one for each model and variant, in order."""
    here = panes.c.source == source, ON_TIME, panes.c.level_s == level_s
    there = panes.c.pane >= start, panes.c.pane < end, panes.c.segment == ""
    order = panes.c.pane, panes.c.service, panes.c.model, panes.c.variant
    query = select(panes.c.pane, panes.c.service, panes.c.summaries).where(*here, *there, _SEEN)
    return [(row[0], row[1], bytes(row[2])) for row in tx.execute(query.order_by(*order))]


def first_of_level(
    tx: Connection, source: str | None, level_s: int, since: float = 0.0
) -> int | None:
    """The start of the first closed pane of one level, of a source or of all, that begins then or
    later."""
    here = ON_TIME, panes.c.level_s == level_s
    query = select(func.min(panes.c.pane)).where(*here, panes.c.pane >= since)
    if source is not None:
        query = query.where(panes.c.source == source)
    found: int | None = tx.scalar(query)
    return found


def hour_panes(
    tx: Connection, source: str, span: tuple[float, float], keys: Sequence[str]
) -> list[StoredPane]:
    """The closed hours of a source within [start, end) of all calls that users made, that are of a
    value of these segment keys, in order."""
    here = [_SEEN, panes.c.level_s == HOUR_S, panes.c.late == 0, panes.c.source == source]
    here += [panes.c.pane >= span[0], panes.c.pane + HOUR_S <= span[1]]
    here += [or_(*(panes.c.segment.startswith(f"{key}=", autoescape=True) for key in keys))]
    columns = (panes.c.pane, *(panes.c[name] for name in Group._fields), panes.c.summaries)
    found = [
        StoredPane(row.pane, HOUR_S, Group(*row[1:5]), bytes(row.summaries))
        for row in tx.execute(select(*columns).where(*here))
    ]
    return sorted(found, key=lambda one: (one.pane, one.group))


def first_pane(tx: Connection, source: str, since: float) -> int | None:
    """The start of the first closed pane of a source that begins then or later."""
    here = panes.c.source == source, panes.c.late == 0, panes.c.pane >= since
    found: int | None = tx.scalar(select(func.min(panes.c.pane)).where(*here))
    return found


def late_calls(
    tx: Connection, start: float, service: str, variants: Sequence[str]
) -> dict[tuple[str, str], int]:
    """Calls that came too late for their pane by variant and model, from the hour of `start` on."""
    query = (
        select(panes.c.variant, panes.c.model, func.sum(panes.c.calls))
        .where(panes.c.late == 1, panes.c.pane >= start // HOUR_S * HOUR_S)
        .where(panes.c.service == service, panes.c.variant.in_(variants), panes.c.segment == "")
        .group_by(panes.c.variant, panes.c.model)
    )
    return {(variant, model): int(calls) for variant, model, calls in tx.execute(query)}


def _tiles(sizes: Mapping[tuple[int, int], int], fine: bool) -> set[tuple[int, int]]:
    """The panes (level, start) that cover all of them once: the parts of a roll-up where they
    hold all of its calls and `fine` is asked for, else the roll-up."""
    levels = sorted({level for level, _ in sizes})
    chosen = {key for key in sizes if key[0] == levels[0]} if levels else set()
    for level in levels[1:]:
        parts = defaultdict(set)
        for key in chosen:
            parts[key[1] // level * level].add(key)
        for pane in (pane for one, pane in sizes if one == level):
            held = sum(sizes[key] for key in parts[pane])
            if not fine or held < sizes[level, pane]:
                chosen -= parts[pane]
                chosen.add((level, pane))
    return chosen

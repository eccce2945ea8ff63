"""Closing panes, in order, by one process at a time; roll-up with it."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, func, select, update

from agent.config import Config
from agent.experiments import PAIRED
from agent.panes import HOUR_S, MINUTE_S, pane_of
from agent.store import pairs, tickets
from agent.store.pairs import Span
from agent.store.positions import progress_of, read_to
from agent.store.tables import (
    calls,
    closing,
    open_panes,
    panes,
)
from agent.store.writes import upsert
from agent.sums import merged
from agent.watermark import closable_through

# One transaction merges at most this many panes that have rows, so that flushes never wait long.
_PANES_AT_ONCE = 360
# Or makes the pairs of so many calls.
_CALLS_AT_ONCE = 20_000
# So many rows are merged before the next statement: the store hangs up on who thinks for long.
_ROWS_AT_ONCE = 100
_GROUP = ("service", "model", "variant", "segment")


def close_panes(
    tx: Connection, source: str, config: Config, now: float, part: float = 1.0
) -> float | None:
    """Close what may be closed of a source, and make its pairs as far as no ticket is out.

    It takes this part of the most that one transaction takes. How far the source is closed now;
    None when nothing moved.
    """
    old = tx.scalar(
        select(closing.c.closed_through).where(closing.c.source == source).with_for_update()
    )
    if old is None:
        return None
    width, lateness = config.panes.width_s, config.panes.allowed_lateness_s
    target = closable_through(progress_of(tx, source), source in config.backfill, width, lateness)
    start, through = tickets.paired_times(tx)[source], float(old)
    if target is not None and target > old:
        through = _advance(tx, source, through, target, config, now, part)
    answers = math.inf if config.shadow is None else read_to(tx, config.shadow.answers)
    tickets.expire(tx, now, read_to=answers)
    end = _pair(tx, source, (start, through), config, now, part)
    if end == start and through == old:
        return None
    tickets.set_paired(tx, source, end)
    return through


def finish_source(tx: Connection, source: str, config: Config, now: float) -> float | None:
    """Close all of a source that has come to its end, whole hours at a time; what candidates have
    not answered by now they do not answer."""
    old = tx.scalar(
        select(closing.c.closed_through).where(closing.c.source == source).with_for_update()
    )
    last = tx.scalar(select(func.max(open_panes.c.pane)).where(open_panes.c.source == source))
    if old is None:
        return None
    start, through = tickets.paired_times(tx)[source], float(old)
    end = through if last is None else float((last // HOUR_S + 1) * HOUR_S)
    while through < end:
        through = _advance(tx, source, through, end, config, now)
    while tickets.expire(tx, now, source):
        pass
    end = start
    while (reached := _pair(tx, source, (end, through), config, now)) > end:
        end = reached
    tickets.set_paired(tx, source, end)
    return through if end > start or through > old else None


def _advance(
    tx: Connection, source: str, old: float, target: float, config: Config, now: float,
    part: float = 1.0,
) -> float:  # fmt: skip
    width, most = config.panes.width_s, max(1, int(part * _PANES_AT_ONCE))
    here = open_panes.c.source == source
    starts = select(open_panes.c.pane).where(here, open_panes.c.pane <= target - width)
    ready = list(tx.scalars(starts.distinct().order_by(open_panes.c.pane).limit(most)))
    through = float(ready[-1] + width) if len(ready) == most else target
    if ready:
        closed = here, open_panes.c.pane <= through - width
        _write(tx, source, width, tx.execute(select(open_panes).where(*closed)), width, now)
        tx.execute(delete(open_panes).where(*closed))
    _roll_up(tx, source, width, (old, through), now)
    tx.execute(
        update(closing)
        .where(closing.c.source == source, closing.c.closed_through == old)
        .values(closed_through=through)
    )
    return through


def _pair(
    tx: Connection, source: str, span: tuple[float, float], config: Config, now: float,
    part: float = 1.0,
) -> float:  # fmt: skip
    """Make the pairs of these closed panes, before the first whose ticket is out; how far.

    Production panes do not wait for this, so what is made here is rolled up by itself.
    """
    (start, through), width = span, config.panes.width_s
    out = tickets.first_out(tx, source, start)
    end = max(start, through if out is None else min(through, float(pane_of(out, width))))
    if end > start and pairs.are_there(tx):
        end = _within(tx, start, end, width, max(1, int(part * _CALLS_AT_ONCE)))
        lateness, segments = config.panes.allowed_lateness_s, config.segments
        made = pairs.close_pairs(tx, Span(source, start, end, width, lateness, segments), now)
        same = {"level_s": width, "source": source, "late": 0, "closed_at": now}
        rows = [
            {**same, "pane": key.pane, **key.group._asdict()}
            | {"calls": row.calls.total(), "summaries": row.to_bytes()}
            for key, row in sorted(made.items(), key=lambda item: item[0])
        ]
        upsert(tx, panes, rows)
        _roll_up(tx, source, width, (start, end), now, paired=True)
    return end


def _within(tx: Connection, start: float, end: float, width_s: int, most: int) -> float:
    """As much of a span as has no more calls than this, one pane at least."""
    there = select(calls.c.at).where(calls.c.at >= start, calls.c.at < end).order_by(calls.c.at)
    at = tx.scalar(there.offset(most).limit(1))
    return end if at is None else max(float(pane_of(at, width_s)), start + width_s)


def _roll_up(
    tx: Connection,
    source: str,
    width: int,
    moved: tuple[float, float],
    now: float,
    paired: bool = False,
) -> None:
    """Merge the panes that were closed into minutes and hours, those of pairs or all others."""
    mine = panes.c.variant.startswith(PAIRED)
    for level, finer in ((MINUTE_S, width), (HOUR_S, MINUTE_S)):
        first, last = (int(edge // level) * level for edge in moved)
        if finer == level or last <= first:
            continue
        rows = select(panes).where(
            and_(panes.c.level_s == finer, panes.c.source == source, panes.c.late == 0),
            and_(panes.c.pane >= first, panes.c.pane < last, mine if paired else ~mine),
        )
        _write(tx, source, level, tx.execute(rows), level, now)


def _write(
    tx: Connection, source: str, level: int, rows: Iterable[Any], floor_s: int, now: float
) -> None:
    parts: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for row in rows:
        start = row.pane // floor_s * floor_s
        parts[(start, *(getattr(row, name) for name in _GROUP))].append(row)
    keys = sorted(parts)
    for at in range(0, len(keys), _ROWS_AT_ONCE):
        some = keys[at : at + _ROWS_AT_ONCE]
        upsert(tx, panes, [_merged_row(key, parts[key], source, level, now) for key in some])


def _merged_row(
    key: Sequence[Any], rows: Sequence[Any], source: str, level: int, now: float
) -> dict[str, Any]:
    blobs = [bytes(row.summaries) for row in rows]
    return {
        "level_s": level,
        "pane": key[0],
        "source": source,
        **dict(zip(_GROUP, key[1:], strict=True)),
        "late": 0,
        "calls": sum(row.calls for row in rows),
        "summaries": blobs[0] if len(blobs) == 1 else merged(blobs),
        "closed_at": now,
    }

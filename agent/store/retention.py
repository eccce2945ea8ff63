"""Retention: what is deleted, and when. docs/operations/retention.md has every table."""

from collections.abc import Iterator

from sqlalchemy import Column, Connection, Table, and_, delete, func, literal, select

from agent.config import Config
from agent.panes import HOUR_S, MINUTE_S
from agent.store import tickets
from agent.store.audit import audit
from agent.store.judgements import judgements
from agent.store.tables import (
    calls,
    dead_letters,
    entered,
    examples,
    findings,
    inbox,
    offsets,
    panes,
    rebaselines,
    seen,
    texts,
)
from agent.store.ticket_tables import quotas, spent
from agent.store.ticket_tables import tickets as asked

_DAY_S = 86_400.0
# One transaction deletes at most so many rows of a table, well within what a statement may take.
_ROWS_AT_ONCE = 5000
_LETTERS_AT_ONCE = 20_000
# What a dead letter takes besides the record that it holds: its row, its reason, its indices.
_ROW_BYTES = 500
_LETTER = literal(_ROW_BYTES) + func.coalesce(func.length(dead_letters.c.value), 0)
for _name in ("record_key", "headers"):
    _LETTER += func.coalesce(func.length(dead_letters.c[_name]), 0)
# What may still change is not old, however long ago it began.
_GOES_ON = ("pending", "firing")


def prune(tx: Connection, config: Config, now: float) -> bool:
    """Delete what is older than the configuration keeps; whether there may be more of it."""
    full = False
    for table, stored_at, days in _kept(config):
        key = next(iter(table.primary_key))
        old = select(key).where(stored_at < now - days * _DAY_S).limit(_ROWS_AT_ONCE)
        # More than so many where a call has been judged by more than one.
        full |= tx.execute(delete(table).where(key.in_(old))).rowcount >= _ROWS_AT_ONCE
    over = findings.c.state.not_in(_GOES_ON)
    old_finding = findings.c.stored_at < now - config.store.finding_days * _DAY_S
    tx.execute(delete(findings).where(over, old_finding))
    # Pairs of panes that were rolled up meanwhile are still to be rolled up, beside their calls.
    for source, through in tickets.paired_times(tx).items():
        full |= _prune_panes(tx, source, through, config, now)
    oldest = now - config.store.calls_days * _DAY_S
    tx.execute(delete(spent).where(spent.c.hour >= 0, spent.c.hour < oldest))
    tx.execute(delete(quotas).where(quotas.c.stored_at < oldest))
    read = select(func.min(offsets.c.next)).where(offsets.c.topic == "inbox", offsets.c.next >= 0)
    tx.execute(delete(inbox).where(inbox.c.id < read.scalar_subquery()))
    return full


def letter_bytes(tx: Connection) -> int:
    """What all dead letters take."""
    return int(tx.scalar(select(func.coalesce(func.sum(_LETTER), 0))) or 0)


def drop_letters(tx: Connection, surplus_bytes: int) -> tuple[int, int]:
    """Delete so many bytes of dead letters, those first that were replayed, then the oldest; how
    many letters went, and their bytes. There may be more than one transaction deletes."""
    order = dead_letters.c.replayed_at.is_(None), dead_letters.c.id
    rows = tx.execute(select(dead_letters.c.id, _LETTER).order_by(*order).limit(_LETTERS_AT_ONCE))
    found, dropped = list[int](), 0
    for letter, size in rows:
        if dropped >= surplus_bytes:
            break
        found.append(letter)
        dropped += size
    for first in range(0, len(found), _ROWS_AT_ONCE):
        some = found[first : first + _ROWS_AT_ONCE]
        tx.execute(delete(dead_letters).where(dead_letters.c.id.in_(some)))
    return len(found), dropped


def _kept(config: Config) -> Iterator[tuple[Table, Column[float], float]]:
    """What ends with its age: the table, the column that tells it, and the days."""
    keep = config.store
    shown = config.drift.examples if config.drift is not None else None
    for table, days in (
        (seen, keep.seen_days),
        (calls, keep.calls_days),
        (texts, keep.text_days),
        (examples, 0.0 if shown is None else shown.days),
        (dead_letters, keep.dead_letter_days),
        (entered, keep.calls_days),
        (asked, keep.calls_days),
        (judgements, keep.calls_days),
        (rebaselines, keep.audit_days),
    ):
        yield table, table.c.stored_at, days
    yield audit, audit.c.at, keep.audit_days


def _prune_panes(tx: Connection, source: str, through: float, config: Config, now: float) -> bool:
    width, keep = config.panes.width_s, config.panes
    here, full = panes.c.source == source, False
    for level, coarser, hours in (
        (width, MINUTE_S, keep.fine_hours),
        (MINUTE_S, HOUR_S, keep.minute_hours),
    ):
        if level < coarser:
            # What the coarser row was not yet made of must stay, however old it is.
            rolled_up = panes.c.pane < int(through // coarser) * coarser
            mine = and_(panes.c.level_s == level, here, panes.c.late == 0)
            old = panes.c.closed_at < now - hours * HOUR_S
            tx.execute(delete(panes).where(mine, rolled_up, old))
    # By the key first: of a year of hours only those are looked at that may be old.
    oldest = now - keep.hour_days * _DAY_S
    old_hours = and_(panes.c.level_s == HOUR_S, panes.c.pane < oldest, panes.c.closed_at < oldest)
    starts = select(panes.c.pane).where(here, old_hours).order_by(panes.c.pane)
    last = tx.scalar(starts.offset(_ROWS_AT_ONCE).limit(1))
    if last is not None:
        old_hours, full = and_(old_hours, panes.c.pane <= last), True
    tx.execute(delete(panes).where(here, old_hours))
    return full

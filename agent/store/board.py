"""What pages read of closed panes."""

from operator import itemgetter

from sqlalchemy import ColumnElement, Connection, and_, func, select

from agent.experiments import PAIRED, PROBE
from agent.panes import Group
from agent.store.reads import ON_TIME
from agent.store.tables import closing, findings, panes, runs, watches
from agent.store.ticket_tables import paired

# Of calls, which pairs are not.
_CALLED = and_(*(func.substr(panes.c.variant, 1, len(one)) != one for one in (PAIRED, PROBE)))


def stamp(tx: Connection) -> tuple[tuple[object, ...], ...]:
    """What moves when anything moves that closed panes are asked for: equal until then."""
    asked = (
        select(closing.c.source, closing.c.closed_through),
        select(paired.c.source, paired.c.paired_through),
        select(watches.c.source, watches.c.version),
        select(runs.c.experiment, runs.c.run, runs.c.version),
        select(func.count(), func.max(findings.c.stored_at)),
    )
    return tuple(tuple(row) for query in asked for row in tx.execute(query))


def group_panes(
    tx: Connection, source: str, level_s: int, start: int, end: int
) -> list[tuple[int, Group, int, bytes]]:
    """Closed panes of one level that begin within [start, end), of calls and not of pairs or of
    parts of calls: (pane, group, calls, packed row), in no order."""
    return _closed(tx, source, level_s, (start, end), panes.c.segment == "")


def panes_of(
    tx: Connection, source: str, level_s: int, span: tuple[int, int], service: str
) -> list[tuple[int, Group, int, bytes]]:
    """Closed panes of one level of a service that begin within [start, end), parts of calls as
    well: (pane, group, calls, packed row), by time."""
    found = _closed(tx, source, level_s, span, panes.c.service == service)
    return sorted(found, key=itemgetter(0))


def _closed(
    tx: Connection, source: str, level_s: int, span: tuple[int, int], only: ColumnElement[bool]
) -> list[tuple[int, Group, int, bytes]]:
    here = panes.c.source == source, ON_TIME, panes.c.level_s == level_s
    there = panes.c.pane >= span[0], panes.c.pane < span[1], only
    columns = (panes.c.pane, *(panes.c[name] for name in Group._fields))
    query = select(*columns, panes.c.calls, panes.c.summaries).where(*here, *there, _CALLED)
    return [(row[0], Group(*row[1:5]), row[5], row[6]) for row in tx.execute(query)]


def span_of_panes(tx: Connection) -> tuple[int, int] | None:
    """Where the oldest closed pane of all sources begins, and where the newest ends."""
    ends = (func.min(panes.c.pane), func.max(panes.c.pane))
    # One by one each is a look at an end of an index; SQLite reads all of it for both at once.
    first, last = (tx.scalar(select(one).where(panes.c.late == 0)) for one in ends)
    if last is None:
        return None
    here = panes.c.late == 0, panes.c.pane == last
    level_s = tx.scalar(select(func.min(panes.c.level_s)).where(*here)) or 0
    return int(first), int(last) + int(level_s)

"""What the watch keeps: its state by source."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from agent.store.tables import watches
from agent.store.writes import move_on


@dataclass(frozen=True, slots=True)
class StoredWatch:
    """The watch over a source as it is stored; `version` guards its next change."""

    version: int
    body: bytes


def load_watch(tx: Connection, source: str) -> StoredWatch | None:
    """The watch over a source."""
    row = tx.execute(select(watches).where(watches.c.source == source)).first()
    return None if row is None else StoredWatch(row.version, bytes(row.body))


def series_elsewhere(tx: Connection, source: str) -> int:
    """How many series of other sources are watched."""
    query = select(func.sum(watches.c.series)).where(watches.c.source != source)
    return int(tx.scalar(query) or 0)


def save_watch(
    tx: Connection, source: str, series: int, body: bytes, version: int, now: float
) -> bool:
    """Store a watch that stood at `version` (0: nowhere) when it was read; whether it still did."""
    values = {"series": series, "body": body, "stored_at": now}
    return move_on(tx, watches, {"source": source}, version, values)

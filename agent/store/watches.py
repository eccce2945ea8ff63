"""What the watch keeps: its state by source, and decisions about baselines."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select

from agent.store.tables import baselines, rebaselines, watches
from agent.store.writes import move_on, upsert


@dataclass(frozen=True, slots=True)
class StoredWatch:
    """The watch over a source as it is stored; `version` guards its next change."""

    version: int
    body: bytes
    bases: bytes


def load_watch(tx: Connection, source: str) -> StoredWatch | None:
    """The watch over a source."""
    row = tx.execute(select(watches).where(watches.c.source == source)).first()
    if row is None:
        return None
    bases = tx.scalar(select(baselines.c.body).where(baselines.c.source == source))
    return StoredWatch(row.version, bytes(row.body), bytes(bases or b""))


def version_of(tx: Connection, source: str) -> int | None:
    """How often the watch over a source was moved on."""
    found: int | None = tx.scalar(select(watches.c.version).where(watches.c.source == source))
    return found


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


def save_bases(tx: Connection, source: str, body: bytes, now: float) -> None:
    """Store what the series of a source are compared with; the watch itself guards it."""
    upsert(tx, baselines, [{"source": source, "body": body, "stored_at": now}])


def put_rebaseline(
    tx: Connection, source: str, who: str, why: str, body: Mapping[str, Any], now: float
) -> None:
    """Keep who took a new baseline and why."""
    values = {"who": who, "why": why, "body": json.dumps(dict(body)), "stored_at": now}
    tx.execute(insert(rebaselines).values(source=source, **values))


def all_rebaselines(tx: Connection) -> list[dict[str, Any]]:
    """Every new baseline that was taken, newest first."""
    rows = tx.execute(select(rebaselines).order_by(rebaselines.c.id.desc()))
    heads = ("source", "who", "why", "stored_at")
    return [{key: row._mapping[key] for key in heads} | json.loads(row.body) for row in rows]

"""What the watch keeps: its state by source, and findings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from agent.store.tables import findings, watches
from agent.store.writes import move_on, upsert


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


def put_findings(
    tx: Connection, source: str, found: Mapping[bytes, Mapping[str, Any]], now: float
) -> None:
    """Store findings by their key, or what became of them."""
    rows = [
        {"key": key, "source": source, "state": one["state"], "began": one["began"]}
        | {"body": json.dumps(dict(one)), "stored_at": now}
        for key, one in sorted(found.items())
    ]
    upsert(tx, findings, rows)


# The source of findings that are about all sources together.
EVERYWHERE = "*"


def open_gaps(tx: Connection) -> list[dict[str, Any]]:
    """The findings about all sources together that are not resolved, the oldest first."""
    here = findings.c.source == EVERYWHERE, findings.c.state != "resolved"
    query = select(findings).where(*here).order_by(findings.c.began, findings.c.key)
    return [json.loads(row.body) for row in tx.execute(query)]


def all_findings(tx: Connection, limit: int, state: str | None = None) -> list[dict[str, Any]]:
    """The newest findings of drift first, of one state when it is named."""
    query = select(findings).where(findings.c.source != EVERYWHERE)
    query = query.order_by(findings.c.began.desc(), findings.c.key).limit(limit)
    if state is not None:
        query = query.where(findings.c.state == state)
    return [json.loads(row.body) for row in tx.execute(query)]

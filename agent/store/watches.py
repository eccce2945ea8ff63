"""What the watch keeps: its state by source, and findings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from agent.store.tables import findings, watches
from agent.store.writes import upsert


@dataclass(frozen=True, slots=True)
class StoredWatch:
    """The watch over a source as it is stored; `version` guards its next change."""

    version: int
    body: bytes


def load_watch(tx: Connection, source: str) -> StoredWatch | None:
    """The watch over a source."""
    row = tx.execute(select(watches).where(watches.c.source == source)).first()
    return None if row is None else StoredWatch(row.version, bytes(row.body))


def save_watch(tx: Connection, source: str, body: bytes, version: int, now: float) -> bool:
    """Store a watch that stood at `version` (0: nowhere) when it was read; whether it still did."""
    if version == 0:
        row = {"source": source, "version": 1, "body": body, "stored_at": now}
        tx.execute(insert(watches).values(row))
        return True
    here = watches.c.source == source, watches.c.version == version
    changed = update(watches).where(*here)
    changed = changed.values(body=body, version=version + 1, stored_at=now)
    return tx.execute(changed).rowcount == 1


def put_finding(
    tx: Connection, key: bytes, source: str, state: str, began: int, body: Mapping[str, Any],
    now: float,
) -> None:  # fmt: skip
    """Store a finding, or what became of it."""
    row = {"key": key, "source": source, "state": state, "began": began}
    upsert(tx, findings, [row | {"body": json.dumps(dict(body)), "stored_at": now}])


def all_findings(tx: Connection, limit: int, state: str | None = None) -> list[dict[str, Any]]:
    """The newest findings first, of one state when it is named."""
    query = select(findings).order_by(findings.c.began.desc(), findings.c.key).limit(limit)
    if state is not None:
        query = query.where(findings.c.state == state)
    return [json.loads(row.body) for row in tx.execute(query)]

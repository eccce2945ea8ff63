"""Halves of OTLP calls that wait for their other side."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from agent.store.tables import halves
from agent.store.writes import Position

_CHUNK = 500


def take(tx: Connection, keys: Sequence[str]) -> dict[str, Any]:
    """The waiting halves of these keys, locked in key order."""
    found: dict[str, Any] = {}
    ordered = sorted(set(keys))
    for i in range(0, len(ordered), _CHUNK):
        query = select(halves).where(halves.c.key.in_(ordered[i : i + _CHUNK]))
        for row in tx.execute(query.order_by(halves.c.key).with_for_update()):
            found[row.key] = row
    return found


def insert(tx: Connection, row: Mapping[str, Any]) -> bool:
    """Let a half wait; False when another transaction's half of the same key came first."""
    dialect = sqlite if tx.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(halves).values(row).on_conflict_do_nothing()
    return tx.execute(statement.returning(halves.c.key)).first() is not None


def remove(tx: Connection, keys: Sequence[str]) -> None:
    """The halves were joined or scored alone."""
    for i in range(0, len(keys), _CHUNK):
        tx.execute(delete(halves).where(halves.c.key.in_(keys[i : i + _CHUNK])))


def expired(tx: Connection, position: Position, before: float) -> list[Any]:
    """The halves of one partition whose deadline has passed, oldest first."""
    here = halves.c.topic == position.topic, halves.c.partition == position.partition
    query = select(halves).where(*here, halves.c.deadline < before)
    return list(tx.execute(query.order_by(halves.c.deadline, halves.c.key).limit(_CHUNK)))

"""Halves of OTLP calls that wait for their other side."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, exists, select, tuple_

from agent.store.tables import halves
from agent.store.writes import Position, insert_new

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


def insert(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Let halves wait; False when another transaction's half of the same key came first."""
    return len(insert_new(tx, halves, rows)) == len(rows)


def remove(tx: Connection, keys: Sequence[str]) -> None:
    """The halves were joined or scored alone."""
    for i in range(0, len(keys), _CHUNK):
        tx.execute(delete(halves).where(halves.c.key.in_(keys[i : i + _CHUNK])))


def any_due(tx: Connection, places: Iterable[tuple[str, int]], before: float) -> bool:
    """Whether a half of these partitions (topic, partition) has waited for long enough."""
    here = tuple_(halves.c.topic, halves.c.partition).in_(sorted(places))
    return bool(tx.scalar(select(exists().where(here, halves.c.deadline < before))))


def expired(tx: Connection, position: Position, before: float) -> list[Any]:
    """The halves of one partition whose deadline has passed, oldest first."""
    here = halves.c.topic == position.topic, halves.c.partition == position.partition
    query = select(halves).where(*here, halves.c.deadline < before)
    return list(tx.execute(query.order_by(halves.c.deadline, halves.c.key).limit(_CHUNK)))

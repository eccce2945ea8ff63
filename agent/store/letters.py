"""Dead letters in the store: what waits to be sent, and what came back."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select, update

from agent.store.tables import dead_letters
from agent.store.writes import unpack_headers

_CHUNK = 500
_PLACE = ("topic", "partition", "offset")
_RECORD = ("value", "record_key", "headers")


def headers_of(row: dict[str, Any]) -> list[tuple[str, bytes]]:
    """The headers that the record came with."""
    return list(unpack_headers(bytes(row["headers"] or b"")))


def unsent(tx: Connection, limit: int) -> list[dict[str, Any]]:
    """The oldest letters that no topic has taken."""
    query = select(dead_letters).where(dead_letters.c.sent_at.is_(None))
    rows = tx.execute(query.order_by(dead_letters.c.id).limit(limit))
    return [dict(row._mapping) for row in rows]


def mark_sent(tx: Connection, ids: Sequence[int], now: float) -> None:
    """These letters are on the topic."""
    tx.execute(update(dead_letters).where(dead_letters.c.id.in_(ids)).values(sent_at=now))


def replayable(tx: Connection, reason: str | None, after: int) -> list[dict[str, Any]]:
    """The next letters (id above `after`) that hold a record and were not replayed.

    `replays` of each is how often the same bytes of the same topic were replayed before, `back`
    whether its own record was: one record is the letter of several reasons.
    """
    here = dead_letters.c.replayed_at.is_(None), dead_letters.c.value.is_not(None)
    query = select(dead_letters).where(*here, dead_letters.c.id > after)
    if reason is not None:
        query = query.where(dead_letters.c.reason == reason)
    found = tx.execute(query.order_by(dead_letters.c.id).limit(_CHUNK))
    rows = [dict(row._mapping) for row in found]
    record = (dead_letters.c[name] for name in _PLACE)
    past = select(*record, dead_letters.c.value).where(
        dead_letters.c.replayed_at.is_not(None),
        dead_letters.c.value.in_({row["value"] for row in rows}),
    )
    back = {record_of(dict(row._mapping)) for row in tx.execute(past.distinct())}
    times = Counter((topic, value) for topic, _, _, value in back)
    return [
        row | {"replays": times[row["topic"], bytes(row["value"])], "back": record_of(row) in back}
        for row in rows
    ]


def record_of(row: dict[str, Any]) -> tuple[str, int, int, bytes]:
    """Which record a letter is of; its bytes are part of that, as a topic can be made anew."""
    topic, partition, offset = (row[name] for name in _PLACE)
    return topic, partition, offset, bytes(row["value"])


def mark_replayed(tx: Connection, ids: Sequence[int], now: float) -> None:
    """These letters are on their input again."""
    tx.execute(update(dead_letters).where(dead_letters.c.id.in_(ids)).values(replayed_at=now))


def heads(tx: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest letters without the records that they hold."""
    query = select(*(column for column in dead_letters.c if column.name not in _RECORD))
    rows = tx.execute(query.order_by(dead_letters.c.id.desc()).limit(limit))
    return [dict(row._mapping) for row in rows]


def by_reason(tx: Connection) -> list[tuple[str, int, int, float]]:
    """Of each reason how many letters there are, how many were replayed, and when the last came."""
    columns = func.count(), func.count(dead_letters.c.replayed_at), func.max(dead_letters.c.arrival)
    query = select(dead_letters.c.reason, *columns).group_by(dead_letters.c.reason)
    found = [(row[0], int(row[1]), int(row[2]), float(row[3])) for row in tx.execute(query)]
    return sorted(found, key=lambda one: (-one[1], one[0]))

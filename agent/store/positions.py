"""Where each partition stands, what is being attempted, and who holds a lease."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update

from agent.store.tables import attempts, closing, inbox, leases, offsets
from agent.store.writes import Position, insert_new, inserting, upsert
from agent.watermark import Progress


@dataclass(frozen=True, slots=True)
class Attempt:
    """Work that was begun and not ended: `size` records from `offset`, `n` times."""

    offset: int
    size: int
    n: int


def register(tx: Connection, topic: str, partitions: Iterable[int], source: str) -> None:
    """Make every partition of a topic known, so that an unread one holds its source's closing."""
    fresh = {"topic": topic, "source": source, "next": -1}
    insert_new(tx, offsets, [fresh | {"partition": one} for one in sorted(partitions)])
    moved = update(offsets).where(offsets.c.topic == topic, offsets.c.source != source)
    tx.execute(moved.values(source=source))
    insert_new(tx, closing, [{"source": source, "closed_through": 0.0}])


def load_position(
    tx: Connection, topic: str, partition: int
) -> tuple[Position, Attempt | None] | None:
    """Where a registered partition stands, and the work that a crash left there."""
    here = offsets.c.topic == topic, offsets.c.partition == partition
    row = tx.execute(select(offsets).where(*here)).one_or_none()
    if row is None:
        return None
    position = Position(topic, partition, row.source, row.next, row.topic_id, row.read_through)
    begun = select(attempts).where(attempts.c.topic == topic, attempts.c.partition == partition)
    left = tx.execute(begun).one_or_none()
    return position, Attempt(left.offset, left.size, left.n) if left else None


def topic_started(tx: Connection, topic: str) -> bool:
    """Whether any partition of a topic was ever read."""
    return bool(
        tx.scalar(select(func.count()).where(offsets.c.topic == topic, offsets.c.next >= 0))
    )


def move(tx: Connection, position: Position, to: int, topic_id: str | None, lost: int) -> bool:
    """Start a partition, or step over a counted gap; False means that another was faster."""
    statement = (
        update(offsets)
        .where(offsets.c.topic == position.topic, offsets.c.partition == position.partition)
        .where(offsets.c.next == position.next)
        .values(next=to, topic_id=topic_id, lost=offsets.c.lost + lost)
    )
    return tx.execute(statement).rowcount == 1


def restart_topic(tx: Connection, topic: str) -> int:
    """Forget where a topic stood, because it was made anew; what was counted stays."""
    changed = {"next": -1, "topic_id": None, "caught_up_at": None}
    return tx.execute(update(offsets).where(offsets.c.topic == topic).values(changed)).rowcount


def begin_attempt(tx: Connection, topic: str, partition: int, offset: int, size: int) -> None:
    """Say which record is being worked on, before the work starts."""
    here = attempts.c.topic == topic, attempts.c.partition == partition
    old = tx.execute(select(attempts).where(*here)).one_or_none()
    n = old.n + 1 if old is not None and (old.offset, old.size) == (offset, size) else 1
    row = {"topic": topic, "partition": partition, "offset": offset, "size": size, "n": n}
    upsert(tx, attempts, [row])


def mark_caught_up(tx: Connection, next_offsets: Sequence[tuple[str, int, int]], at: float) -> None:
    """Nothing was unread in these (topic, partition, next) at this time."""
    for topic, partition, at_offset in sorted(next_offsets):
        tx.execute(
            update(offsets)
            .where(offsets.c.topic == topic, offsets.c.partition == partition)
            .where(offsets.c.next == at_offset)
            .values(caught_up_at=at)
        )


def progress_of(tx: Connection, source: str) -> list[Progress]:
    """How far every partition of a source was read."""
    columns = offsets.c.next, offsets.c.read_through, offsets.c.caught_up_at
    rows = tx.execute(select(*columns).where(offsets.c.source == source))
    return [Progress(row.next >= 0, row.read_through, row.caught_up_at) for row in rows]


def read_to(tx: Connection, topic: str) -> float:
    """What arrived by this time was read of every partition of a topic; infinite where none is."""
    columns = offsets.c.read_through, offsets.c.caught_up_at
    rows = tx.execute(select(*columns).where(offsets.c.topic == topic))
    return min((max(mark or 0.0 for mark in row) for row in rows), default=math.inf)


def take_lease(tx: Connection, name: str, holder: str, now: float, ttl_s: float) -> bool:
    """Whether this holder may act under the name until now + ttl_s."""
    row = {"name": name, "holder": holder, "until": now + ttl_s}
    statement = inserting(tx, leases).values(row)
    taken = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": holder, "until": now + ttl_s},
        where=(leases.c.holder == holder) | (leases.c.until < now),
    )
    # RETURNING, because the driver for PostgreSQL gives no row count for an INSERT.
    return tx.execute(taken.returning(leases.c.holder)).first() is not None


def drop_lease(tx: Connection, holder: str) -> None:
    """Let others act at once."""
    tx.execute(delete(leases).where(leases.c.holder == holder))


@dataclass(frozen=True, slots=True)
class Taken:
    """A record of the inbox; `format` is None where the configuration says how it is read."""

    offset: int
    arrival: float
    value: bytes | None
    format: str | None


def read_inbox(tx: Connection, after: int, limit: int, most_bytes: int = 64 << 20) -> list[Taken]:
    """The inbox's records from an offset on, no more of them than `most_bytes` but one at least."""
    sizes = select(inbox.c.id, func.coalesce(func.length(inbox.c.value), 0))
    last, held = after - 1, 0
    for offset, size in tx.execute(
        sizes.where(inbox.c.id >= after).order_by(inbox.c.id).limit(limit)
    ):
        held += size
        if last >= after and held > most_bytes:
            break
        last = offset
    rows = select(inbox).where(inbox.c.id.between(after, last)).order_by(inbox.c.id)
    return [Taken(row.id, row.arrival, row.value, row.format) for row in tx.execute(rows)]


@dataclass(frozen=True, slots=True)
class Waits:
    """What the inbox holds: records, gaps between their offsets included, and their bytes."""

    records: int = 0
    size_bytes: int = 0


def inbox_waits(tx: Connection) -> Waits:
    """What waits in the inbox, by its first and its last row."""
    columns = inbox.c.id, inbox.c.through, func.length(inbox.c.value).label("size")
    first = tx.execute(select(*columns).order_by(inbox.c.id).limit(1)).one_or_none()
    last = tx.execute(select(*columns).order_by(inbox.c.id.desc()).limit(1)).one_or_none()
    if first is None or last is None:
        return Waits()
    # Rows of an older version say nothing of their bytes.
    before = (first.through or 0) - (first.size or 0)
    return Waits(last.id - first.id + 1, max(0, (last.through or 0) - max(0, before)))


def inbox_end(tx: Connection, known: int) -> int:
    """The offset after the inbox's last record, or `known` when all of it was read away."""
    last = tx.scalar(select(func.max(inbox.c.id)))
    return known if last is None else int(last) + 1


def trim_inbox(tx: Connection, before: int) -> None:
    """Delete raw records that were read; their effects are in the same transaction."""
    tx.execute(delete(inbox).where(inbox.c.id < before))

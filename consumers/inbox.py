"""The embedded source: raw bytes committed to a table and read as a topic with one partition."""

import time
from collections.abc import Callable, Mapping, Sequence

from agent.broker import Format
from agent.record import Partition, RawRecord
from agent.store import Store, positions, writes
from consumers.formats import HEADER
from consumers.source import Chunk, Start, Tip

TOPIC = "inbox"


class Inbox:
    """Reads the inbox through the same worker and the same compare-and-set as a broker."""

    def __init__(
        self, store: Store, batch: int = 2000, clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._batch, self._clock = store, batch, clock
        self._next: int | None = None
        self._generation = 1

    def append(self, records: Sequence[tuple[float, bytes]], format: Format | None = None) -> None:
        """Take records in, (arrival, value) each: they are durable when this returns.

        `format` says how they are read, whatever the configuration says of the inbox.
        """
        with self._store.transaction(durable=True) as tx:
            writes.append_inbox(tx, [(*record, format) for record in records])

    def starts(self) -> Sequence[Start]:
        """The one partition, until it was told where to begin."""
        if self._next is not None:
            return ()
        with self._store.reading() as tx:
            held = positions.load_position(tx, TOPIC, 0)
            known = held[0].next if held and held[0].next >= 0 else 1
            end = max(known, positions.inbox_end(tx, known))
        return (Start(TOPIC, 0, self._generation, min(known, end), end, (0,)),)

    def seek(self, start: Start, offset: int) -> None:
        """Begin delivering at an offset."""
        self._next = offset

    def restart(self, partitions: Sequence[Partition]) -> None:
        """Ask again where to begin."""
        self._next = None

    def revoked(self) -> Sequence[Partition]:
        """Nobody takes the inbox away."""
        return ()

    def take(self, timeout_s: float) -> Sequence[Chunk]:
        """The next records; waits a little when there are none."""
        if self._next is None:
            return ()
        with self._store.reading() as tx:
            rows = positions.read_inbox(tx, self._next, self._batch)
        if not rows:
            time.sleep(timeout_s)
            return ()
        self._next = rows[-1].offset + 1
        now = self._clock()
        records = tuple(
            RawRecord(
                *(TOPIC, 0, row.offset, min(row.arrival, now), row.value),
                headers=((HEADER, row.format.encode()),) if row.format else (),
            )
            for row in rows
        )
        return (Chunk(TOPIC, 0, self._generation, records),)

    def tips(self) -> Mapping[Partition, Tip]:
        """Where the inbox ends now."""
        at, known = self._clock(), self._next or 1
        with self._store.reading() as tx:
            end = positions.inbox_end(tx, known)
        return {(TOPIC, 0): Tip(end, at)}

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """What was read is deleted; its effects are stored."""
        if (TOPIC, 0) in offsets:
            with self._store.transaction() as tx:
                positions.trim_inbox(tx, offsets[(TOPIC, 0)])

    def close(self) -> None:
        """Nothing is held."""

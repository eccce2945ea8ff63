"""The loop: start partitions from SQL, take records, parse, observe, publish, keep house."""

import gc
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace

from agent.config import Config
from agent.errors import BadConfig, BadRecord, StoreDown
from agent.intake import Entry, Reading
from agent.monitor import Fenced, Flush, Monitor
from agent.record import Partition, RawRecord, Unreadable
from agent.store import Store, Transaction, positions
from agent.store.writes import Position
from consumers.formats import parse, said
from consumers.house import Held, House
from consumers.listener import Listener
from consumers.source import Chunk, Source, Start, first_of, joined_ranges, last_of

_log = logging.getLogger("vedette.worker")

_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Worker:
    """One thread's road from a source to the store; `name` is who holds its leases."""

    def __init__(
        self,
        config: Config,
        store: Store,
        source: Source,
        monitor: Monitor,
        listener: Listener,
        name: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config, self.store, self.source = config, store, source
        self.monitor, self.listener, self.name = monitor, listener, name
        self._held: dict[Partition, Held] = {}
        self.house = House(config, store, source, monitor, listener, name, clock)
        self._stopping = False

    @property
    def partitions(self) -> Set[Partition]:
        """What it reads now."""
        return self._held.keys()

    def stop(self) -> None:
        """Finish the batch in hand and return from `run`; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Work until stopped; raises BadConfig for what only a person can mend."""
        gc.collect()
        gc.freeze()  # a batch would wait while all that was imported is looked through
        while not self._stopping:
            self.step(0.2)
        self._release()

    def finish(self, source: str) -> None:
        """The source has ended: score its waiting halves alone and close all of its panes."""
        self.house.finish(self._held, source)

    def step(self, timeout_s: float) -> int:
        """One turn; the number of records that it took. A dependency that is away is waited for."""
        try:
            for partition in self.source.revoked():
                self._held.pop(partition, None)
                self.monitor.forget([partition])
            self._start(self.source.starts())
            self.monitor.step("take")
            chunks = self.source.take(timeout_s)
            if chunks:
                self._work(chunks)
            self.monitor.step("house")
            self.house.keep(self._held)
        except StoreDown as error:
            self.listener.ready(False, str(error))
            time.sleep(min(error.retry_after_s, 1.0))
            return 0
        self.listener.ready(True, "")
        self.listener.progress()
        return sum(len(chunk.records) for chunk in chunks)

    def _release(self) -> None:
        try:
            with self.store.transaction() as tx:
                positions.drop_lease(tx, self.name)
        except StoreDown:
            _log.warning("the closer's lease could not be dropped; it lapses by itself")

    # Starting a partition.

    def _start(self, starts: Sequence[Start]) -> None:
        topics: dict[str, set[int]] = defaultdict(set)
        for start in starts:
            topics[start.topic].update(start.partitions)
        for topic, partitions in sorted(topics.items()):
            with self.store.transaction() as tx:
                positions.register(tx, topic, partitions, self._source_name(topic))
        for start in starts:
            self._start_one(start)

    def _start_one(self, start: Start) -> None:
        with self.store.transaction() as tx:
            known = positions.load_position(tx, start.topic, start.partition)
            if known is None:
                raise StoreDown("a partition was not registered")
            position, attempt = known
            position = self._place(tx, position, start)
        partition = start.topic, start.partition
        self.monitor.forget([partition])
        self._held[partition] = Held(position, start.generation, attempt)
        self.source.seek(start, position.next)

    def _source_name(self, topic: str) -> str:
        known = self.config.kafka.topics.get(topic)
        return known.source if known else self.config.inbox.source

    def _place(self, tx: Transaction, position: Position, start: Start) -> Position:
        """Where to begin; a gap is counted, and a topic that is not the one we read is refused."""
        other = position.topic_id not in (None, start.topic_id) and start.topic_id is not None
        if position.next > start.end or other:
            raise BadConfig(
                f"kafka.topics.{start.topic}",
                f"partition {start.partition} ends at {start.end} but was read to {position.next}: "
                f"the topic was made anew; run `vedette topics --restart {start.topic}`",
            )
        to, lost = position.next, 0
        if position.next < 0:
            fresh = not positions.topic_started(tx, start.topic)
            latest = self.config.kafka.start == "latest" and fresh
            to = start.end if latest else start.begin
        elif position.next < start.begin:
            to, lost = start.begin, start.begin - position.next
        if (to, start.topic_id) != (position.next, position.topic_id) and not positions.move(
            tx, position, to, start.topic_id, lost
        ):
            raise StoreDown("a partition moved while it was started", 0.1)
        if lost:
            _log.error("%s-%d: %d records expired unread", position.topic, position.partition, lost)
            self.listener.lost(position.topic, lost)
        return replace(position, next=to, topic_id=start.topic_id)

    # Working through a batch.

    def _work(self, chunks: Sequence[Chunk]) -> None:
        batch: dict[Partition, list[RawRecord | Unreadable]] = {}
        for chunk in chunks:
            partition = chunk.topic, chunk.partition
            held = self._held.get(partition)
            if held is not None and held.generation == chunk.generation:
                batch.setdefault(partition, []).extend(chunk.records)
        if not batch:
            return
        # A crash left a mark at these records: they are worked on alone, one after another.
        careful = [p for p in batch if self._is_suspect(p, batch[p])]
        try:
            for partition in careful:
                batch[partition] = self._carefully(partition, batch[partition])
            batch = {partition: records for partition, records in batch.items() if records}
            if batch:
                self._attempt(batch)
                entries = {p: self._parse(records) for p, records in batch.items()}
                self._flush(entries)
        except Fenced as error:
            _log.warning("fenced at %s: reading its position again", error)
            self.listener.fenced()
            self.source.restart(list(self._held))

    def _is_suspect(self, partition: Partition, records: Sequence[RawRecord | Unreadable]) -> bool:
        suspect = self._held[partition].suspect
        if suspect is None:
            return False
        if first_of(records[0]) >= suspect.offset + suspect.size:
            self._held[partition].suspect = None
            return False
        return True

    def _attempt(self, batch: Mapping[Partition, Sequence[RawRecord | Unreadable]]) -> None:
        self.monitor.step("attempt")

        def write() -> None:
            with self.store.transaction() as tx:
                for (topic, partition), records in sorted(batch.items()):
                    span = last_of(records[-1]) + 1 - first_of(records[0])
                    positions.begin_attempt(tx, topic, partition, first_of(records[0]), span)

        self._insist(write)

    def _carefully(
        self, partition: Partition, records: Sequence[RawRecord | Unreadable]
    ) -> list[RawRecord | Unreadable]:
        """One record at a time, each marked before it is worked on; a killer is set aside.

        Those behind the crash are given back; of those within none is begun once we are to stop.
        """
        held = self._held[partition]
        suspect = held.suspect
        end = suspect.offset + suspect.size if suspect is not None else 0
        within = [record for record in records if first_of(record) < end]
        for record in within:
            if self._stopping:
                return []
            suspect = held.suspect
            tried = 1  # the crash that brought us here was one attempt at every record of the span
            if suspect is not None and suspect.size == 1 and suspect.offset == first_of(record):
                tried += suspect.n
            if isinstance(record, RawRecord) and tried >= self.config.limits.attempts:
                self._flush({partition: [Entry(record, (), "killed_the_process", tried)]})
                held.suspect = None
                continue
            self._attempt({partition: [record]})
            self._flush({partition: self._parse([record])})
        return list(records[len(within) :])

    def _parse(self, records: Sequence[RawRecord | Unreadable]) -> list[Entry]:
        self.monitor.step("parse")
        entries = []
        for record in records:
            if isinstance(record, Unreadable) or record.value is None:
                entries.append(Entry(record))
            else:
                topic = self.config.kafka.topics.get(record.topic)
                form = topic.format if topic else self.config.inbox.format
                form = said(record.headers) or form
                items = parse(record.value, form, self.config, record.arrival)
                entries.append(Entry(record, tuple(items)))
        return entries

    def _flush(self, entries: Mapping[Partition, list[Entry]]) -> None:
        """Observe entries; one that cannot be stored is found by halving and set aside."""
        readings = [
            Reading(
                self._held[p].position, last_of(rows[-1].record) + 1, tuple(joined_ranges(rows))
            )
            for p, rows in sorted(entries.items())
        ]
        try:
            done = self._observe(readings)
        except BadRecord as error:
            self._bisect(entries, error)
            return
        for reading in readings:
            position = reading.position
            held = self._held[(position.topic, position.partition)]
            through = max(reading.through or 0.0, position.read_through or 0.0) or None
            held.position = replace(position, next=reading.to, read_through=through)
        self.source.commit({(r.position.topic, r.position.partition): r.to for r in readings})
        self.listener.flushed(done)

    def _bisect(self, entries: Mapping[Partition, list[Entry]], error: BadRecord) -> None:
        if sum(len(rows) for rows in entries.values()) == 1:
            ((partition, [entry]),) = entries.items()
            self._flush({partition: [Entry(entry.record, (), error.reason)]})
            return
        for partition, rows in entries.items():
            middle = len(rows) // 2
            for half in (rows[:middle], rows[middle:]) if len(entries) == 1 else (rows,):
                if half:
                    self._flush({partition: half})

    def _observe(self, readings: Sequence[Reading]) -> Flush:
        result: list[Flush] = []
        self._insist(lambda: result.append(self.monitor.observe(readings)))
        return result[0]

    def _insist(self, action: Callable[[], None]) -> None:
        """Do it until the store is there; give up only when we are to stop."""
        for turn in itertools.count():
            try:
                action()
                return
            except StoreDown as error:
                if self._stopping:
                    raise
                self.listener.ready(False, str(error))
                self.listener.progress()
                time.sleep(_BACKOFF_S[min(turn, len(_BACKOFF_S) - 1)])

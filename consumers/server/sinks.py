"""Where what is taken in goes; a record is durable there before its client hears of it."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from starlette.exceptions import HTTPException

from agent.broker import Format
from agent.config import Config
from agent.errors import BadConfig, StoreDown
from agent.serving import Server
from agent.store import Store, positions, writes
from consumers.formats import HEADER
from consumers.pump.sender import Sender

# Records of one commit: a longer one keeps who scores waiting for the database.
_GROUP = 5000
_FULL_S = 5.0  # in which some thousand records are scored
_AWAY_S = 30.0
_QUEUE = 64  # requests that wait for the broker: more would only wait longer
_TRY_S = 1.0  # between tries to reach the broker
_ACKNOWLEDGED_S = 5.0  # a client waits no longer for a broker that went away
_THREADS = 4  # that wait for the broker's acknowledgements, some ten milliseconds each


@dataclass(frozen=True, slots=True)
class Batch:
    """Records (key, value) of one request; equal keys stay in order."""

    format: Format
    arrival: float
    records: Sequence[tuple[bytes, bytes]]


def size_of(batch: Batch) -> int:
    """The bytes of its records."""
    return sum(len(value) for _, value in batch.records)


class Sink(Protocol):
    """Takes batches; the event loop is the only caller."""

    def check(self) -> None:
        """Raise as `put` would, where nothing is taken at all: before a body is read."""

    async def put(self, batch: Batch) -> None:
        """Return once the batch is durable; raises StoreDown where it is not known to be."""

    def close(self) -> None:
        """Finish what was taken."""


class Shut:
    """Takes nothing, and says why."""

    def __init__(self, why: str, *, off: bool = False) -> None:
        self._why, self._off = why, off

    def check(self) -> None:
        """Refuse: for good where ingest is off, for a while where another process writes."""
        if self._off:
            raise HTTPException(403, self._why)
        raise StoreDown(self._why, _AWAY_S)

    async def put(self, batch: Batch) -> None:
        """Refuse."""
        self.check()

    def close(self) -> None:
        """Nothing is held."""


class InboxSink:
    """Commits what waits in one transaction: clients that come together share one fsync."""

    def __init__(self, store: Store, server: Server) -> None:
        self._store, self._server = store, server
        self._waiting: list[tuple[Batch, Future[None]]] = []
        self._news = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """All is taken, until the inbox is full."""

    async def put(self, batch: Batch) -> None:
        """Return once the batch is committed and on the disk."""
        done: Future[None] = Future()
        # From here on it is not cancelled: a client that goes away still has its records taken.
        done.set_running_or_notify_cancel()
        with self._news:
            if self._over:
                raise StoreDown("the server is ending")
            self._waiting.append((batch, done))
            self._news.notify()
        await asyncio.wrap_future(done)

    def close(self) -> None:
        """Commit what waits."""
        with self._news:
            self._over = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next():
            try:
                self._commit([batch for batch, _ in group])
            except Exception as error:
                for _, done in group:
                    done.set_exception(error)
            else:
                for _, done in group:
                    done.set_result(None)

    def _next(self) -> list[tuple[Batch, Future[None]]]:
        """What waits, up to a bound; empty when all is over."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._over)
            n = size = 0
            while n < len(self._waiting) and (n == 0 or size < _GROUP):
                size += len(self._waiting[n][0].records)
                n += 1
            group, self._waiting = self._waiting[:n], self._waiting[n:]
        return group

    def _commit(self, batches: Sequence[Batch]) -> None:
        with self._store.transaction(durable=True) as tx:
            waits, size = positions.inbox_waits(tx), sum(map(size_of, batches))
            if waits.records >= self._server.waiting_records:
                why = f"{waits.records} records wait to be scored"
                raise StoreDown(f"the inbox is full: {why}", _FULL_S)
            if waits.size_bytes + size > self._server.inbox_bytes:
                why = f"{waits.size_bytes} bytes wait to be scored, {size} more do not fit in"
                raise StoreDown(f"the inbox is full: {why}", _FULL_S)
            writes.append_inbox(
                tx, [(b.arrival, value, b.format) for b in batches for _, value in b.records]
            )


class TopicSink:
    """Produces to an input topic, acknowledged by all replicas."""

    def __init__(self, config: Config) -> None:
        answers = config.shadow.answers if config.shadow else None
        self._topics = {
            name: topic for name, topic in config.kafka.topics.items()
            if name != answers and topic.source not in config.backfill
        }  # fmt: skip
        if not self._topics:
            raise BadConfig("server.ingest", "kafka needs an input topic of a live source")
        self._sender = Sender(config.kafka, block_s=5.0, delivery_s=_ACKNOWLEDGED_S)
        self._threads = ThreadPoolExecutor(_THREADS, "ingest-kafka")
        self._opening, self._away_until = threading.Lock(), 0.0
        self._waiting = 0

    def check(self) -> None:
        """All is taken, while the broker is there."""

    async def put(self, batch: Batch) -> None:
        """Return once every record is acknowledged."""
        if self._waiting >= _QUEUE:
            raise StoreDown(f"broker: {self._waiting} requests wait for it", _FULL_S)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self._deliver, batch)
        finally:
            self._waiting -= 1

    def _deliver(self, batch: Batch) -> None:
        header = ((HEADER, batch.format.encode()),)
        try:
            with self._opening:
                if time.monotonic() < self._away_until:
                    raise StoreDown("broker: does not answer")
                with self._noting():
                    self._sender.open()
            topic = self._topic(batch.format)
            with self._noting():
                self._sender.deliver(topic, batch.records, arrival=batch.arrival, headers=header)
        except ValueError as error:
            raise HTTPException(413, f"a {error}") from None
        except BadConfig as error:
            raise StoreDown(str(error), _AWAY_S) from None

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Who waits while this fails is not kept waiting by a try of its own."""
        try:
            yield
        except (BadConfig, StoreDown):
            self._away_until = time.monotonic() + _TRY_S
            raise

    def _topic(self, format: Format) -> str:
        """The first of the format, or else the first."""
        same = (name for name, topic in self._topics.items() if topic.format == format)
        return next(same, next(iter(self._topics)))

    def close(self) -> None:
        """What was not acknowledged is the client's to send again."""
        self._threads.shutdown()
        self._sender.close()

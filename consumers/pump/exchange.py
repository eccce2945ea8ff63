"""What the poll thread and the worker share: a bounded queue and who stands where."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

from agent.broker import Kafka
from agent.errors import StoreDown
from agent.record import Partition, RawRecord
from consumers.source import Chunk, Start, Tip


class Exchange:
    """The memory between two threads; a generation tells a partition's old records from new."""

    def __init__(self, config: Kafka) -> None:
        self._config = config
        self._lock = threading.Condition()
        self._chunks: deque[Chunk] = deque()
        self._queued = self._bytes = 0
        self._generations: dict[Partition, int] = {}
        self._new: dict[Partition, int] = {}
        self._starts: dict[Partition, Start] = {}
        self._seeks: dict[Partition, tuple[int, int]] = {}
        self._running: set[Partition] = set()
        self._revoked: list[Partition] = []
        self._tips: dict[Partition, Tip] = {}
        self._commits: dict[Partition, int] = {}
        self._fatal: Exception | None = None
        self._trouble = ""
        self._turned_at = time.monotonic()

    def _renew(self, key: Partition) -> None:
        self._drop(key)
        self._new[key] = self._generations[key] = self._generations.get(key, 0) + 1

    def _drop(self, key: Partition) -> None:
        for table in (self._new, self._starts, self._seeks, self._tips, self._commits):
            table.pop(key, None)
        self._running.discard(key)
        self._chunks = deque(c for c in self._chunks if (c.topic, c.partition) != key)
        self._queued = sum(len(chunk.records) for chunk in self._chunks)
        self._bytes = sum(size_of(chunk) for chunk in self._chunks)

    # What the worker calls.

    def starts(self) -> Sequence[Start]:
        """Partitions that wait for `seek`."""
        with self._lock:
            return list(self._starts.values())

    def seek(self, start: Start, offset: int) -> None:
        """Begin delivering at an offset."""
        with self._lock:
            key = start.topic, start.partition
            if self._starts.pop(key, None) is not None:
                self._seeks[key] = start.generation, offset

    def restart(self, partitions: Sequence[Partition]) -> None:
        """Drop what was read of these and ask again where to begin."""
        with self._lock:
            for key in partitions:
                if key in self._running or key in self._seeks:
                    self._renew(key)

    def revoked(self) -> Sequence[Partition]:
        """Partitions that were taken away since the last call."""
        with self._lock:
            taken, self._revoked = self._revoked, []
            return taken

    def stalled(self, after_s: float) -> bool:
        """Whether the poll thread has not come round for so long: poll() itself can hang."""
        return time.monotonic() - self._turned_at > after_s

    def take(self, timeout_s: float) -> Sequence[Chunk]:
        """The next records, at most one poll's worth; raises StoreDown while the broker is away."""
        with self._lock:
            if not self._chunks and self._fatal is None:
                self._lock.wait(timeout_s)
            if self._fatal is not None:
                raise self._fatal
            if self._trouble and not self._chunks:
                raise StoreDown(f"broker: does not answer ({self._trouble})", 0.2)
            taken: list[Chunk] = []
            held = 0
            while self._chunks and held < self._config.poll_records:
                taken.append(self._chunks.popleft())
                held += len(taken[-1].records)
            self._queued -= held
            self._bytes -= sum(map(size_of, taken))
            return taken

    def tips(self) -> Mapping[Partition, Tip]:
        """Where the partitions that we hold end."""
        with self._lock:
            return dict(self._tips)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell lag tools how far we are; nothing depends on it."""
        with self._lock:
            self._commits.update(offsets)


def size_of(chunk: Chunk) -> int:
    """Bytes of the values of a chunk."""
    values = (record.value for record in chunk.records if isinstance(record, RawRecord))
    return sum(len(value) for value in values if value)

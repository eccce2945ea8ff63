"""One copy of an answer for all who ask within a moment: fifty readers cost what one does."""

import gzip
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from agent.errors import StoreDown

# Distinct addresses that are remembered, and bytes of what they gave; a page is some 100 kB.
_KEPT, _BYTES = 256, 64 << 20
# Answers that are made at once: who asks for everything must leave room for who scores and writes.
_MAKERS, _WAIT_S = 4, 10.0

# A page says how long ago things were, and some of what it shows moves without a sign.
_UNMOVED_S = 30.0


@dataclass(frozen=True, slots=True)
class Copy:
    """An answer as it is sent; `tag` changes with its content and with nothing else."""

    body: bytes
    packed: bytes
    tag: str
    content_type: str


@dataclass(slots=True)
class _Shelf:
    lock: threading.Lock = field(default_factory=threading.Lock)
    made_at: float = -1e9
    looked_at: float = -1e9
    stamp: Hashable = None
    copy: Copy | None = None

    @property
    def size(self) -> int:
        """What it holds, in bytes."""
        return 0 if self.copy is None else len(self.copy.body) + len(self.copy.packed)


class Copies:
    """Answers by address, each made anew when it is older than `fresh_s`; thread-safe."""

    def __init__(self, fresh_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fresh_s, self._clock = fresh_s, clock
        self._lock = threading.Lock()
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()
        self._makers = threading.BoundedSemaphore(_MAKERS)

    def get(
        self,
        address: str,
        content_type: str,
        make: Callable[[], bytes],
        stamp: Callable[[], Hashable] = lambda: None,
    ) -> Copy:
        """The copy of an address; who comes while it is made waits for that one.

        A copy that is too old is kept while the `stamp` of what it was made of is the same, half a
        minute at most; None is never the same. Raises StoreDown where too many others are made.
        """
        with self._lock:
            shelf = self._shelves.setdefault(address, _Shelf())
            self._shelves.move_to_end(address)
            self._trim()
        with shelf.lock:
            now = self._clock()
            if shelf.copy is None or now - shelf.looked_at >= self._fresh_s:
                # Before the making: what moves meanwhile makes the next one.
                seen = stamp()
                same = seen is not None and seen == shelf.stamp
                if shelf.copy is None or not same or now - shelf.made_at >= _UNMOVED_S:
                    shelf.copy = self._anew(shelf.copy, content_type, make)
                    shelf.made_at, shelf.stamp = self._clock(), seen
                shelf.looked_at = self._clock()
            return shelf.copy

    def _anew(self, before: Copy | None, content_type: str, make: Callable[[], bytes]) -> Copy:
        body = self._made(make)
        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        if before is not None and before.tag == tag:
            return before
        return Copy(body, gzip.compress(body, 1, mtime=0), tag, content_type)

    def _made(self, make: Callable[[], bytes]) -> bytes:
        if not self._makers.acquire(timeout=_WAIT_S):
            raise StoreDown("no room: too many pages are being made", _WAIT_S)
        try:
            return make()
        finally:
            self._makers.release()

    def _trim(self) -> None:
        """Forget what was asked for longest ago, where that is too much."""
        size = sum(one.size for one in self._shelves.values())
        while len(self._shelves) > _KEPT or (size > _BYTES and len(self._shelves) > 1):
            size -= self._shelves.popitem(last=False)[1].size

    def forget(self) -> None:
        """Make everything anew: something was changed by hand."""
        with self._lock:
            self._shelves.clear()

"""How much of a backlog one transaction takes, so that a slow machine is through in time, too."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.errors import StoreDown

# A process begins with little: what is too much costs it the time after which the store hangs up.
_FIRST, _LEAST = 1 / 16, 1 / 512
# The store waits 10 s for the next statement, and whoever flushes 8 s for a lock.
_QUICK_S, _SLOW_S = 0.5, 2.0


class Stride:
    """The part in (0, 1] of the most that one transaction takes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._part, self._clock = _FIRST, clock

    @contextmanager
    def take(self) -> Iterator[float]:
        """The part that this transaction takes; after one that was slow or lost its connection
        half of it, after a quick one twice as much."""
        began = self._clock()
        try:
            yield self._part
        except StoreDown:
            self._part = max(_LEAST, self._part / 2)
            raise
        took_s = self._clock() - began
        if took_s > _SLOW_S:
            self._part = max(_LEAST, self._part / 2)
        elif took_s < _QUICK_S:
            self._part = min(1.0, 2 * self._part)

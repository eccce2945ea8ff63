"""The records of a simulated service that goes on, drawn ahead and given when they are due."""

import heapq
import time
from collections.abc import Callable, Sequence

from consumers.simulate import Change, Scenario, simulate

# Records are drawn a minute ahead, or fewer seconds where that would be many.
_MINUTE_S, _DRAWN_CALLS = 60.0, 3000
CALLS_PER_S = 5.0

Arrived = list[tuple[float, bytes]]


class Coming:
    """The records of a service that goes on, each when it is due.

    `changes` are what happens to it; `learn` is told what is drawn before it comes.
    """

    def __init__(
        self,
        changes: Sequence[Change] = (),
        learn: Callable[[Scenario], None] = lambda _: None,
        calls_per_s: float = CALLS_PER_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._changes, self._learn = tuple(changes), learn
        self._calls_per_s, self._clock = calls_per_s, clock
        self._length_s = min(_MINUTE_S, max(1.0, _DRAWN_CALLS / calls_per_s))
        self._waiting: list[tuple[float, int, bytes]] = []
        self._drawn_to, self._drawn = clock(), 0

    def due(self) -> Arrived:
        """What has arrived (epoch seconds, bytes) since it was last asked for."""
        now, due = self._clock(), Arrived()
        if now >= self._drawn_to:
            self._draw(now)
        while self._waiting and self._waiting[0][0] <= now:
            arrival, _, value = heapq.heappop(self._waiting)
            due.append((arrival, value))
        return due

    def put_back(self, records: Arrived) -> None:
        """These were not taken: they are due again."""
        for arrival, value in records:
            self._push(arrival, value)

    def _draw(self, now: float) -> None:
        """The records of the while that begins now."""
        calls, seed = max(1, round(self._length_s * self._calls_per_s)), int(now)
        scenario = Scenario(now, calls, seed, self._changes, length_s=self._length_s)
        self._learn(scenario)
        for record in simulate(scenario):
            self._push(record.arrival, record.value)
        self._drawn_to = now + self._length_s

    def _push(self, arrival: float, value: bytes) -> None:
        self._drawn += 1
        heapq.heappush(self._waiting, (arrival, self._drawn, value))

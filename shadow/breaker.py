"""Failures in a row stop the asking; then one call at a time tries, after waits that double."""

from collections.abc import Callable

from agent.shadows import Breaker as Settings


class Breaker:
    """Asked before each call and told of its end; `clock` gives seconds that only go forward.

    A call belongs to the turn in which it began: what ends after the breaker has opened or closed
    says nothing of the endpoint as it is now.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings, self._clock = settings, clock
        self._turn = self._failures = 0
        self._wait_s = settings.open_s
        self._until: float | None = None
        self._trying = False

    @property
    def state(self) -> str:
        """Closed lets all calls through, half_open one of them, open none."""
        if self._until is None:
            return "closed"
        return "half_open" if self._trying or self._clock() >= self._until else "open"

    def begin(self) -> int | None:
        """The turn of a call that may be made, None when it may not."""
        if self._until is not None:
            if self._trying or self._clock() < self._until:
                return None
            self._trying = True
        return self._turn

    def withdraw(self, turn: int) -> None:
        """The call was not made after all: another may try."""
        if turn == self._turn:
            self._trying = False

    def end(self, turn: int, ok: bool) -> None:
        """How a call of a turn ended."""
        if turn != self._turn:
            return
        if ok:
            if self._until is not None:
                self._turn += 1
            self._failures, self._until, self._trying = 0, None, False
            self._wait_s = self._settings.open_s
            return
        self._failures += 1
        if self._trying:
            self._wait_s = min(2 * self._wait_s, self._settings.most_s)
        if self._trying or self._failures >= self._settings.failures:
            self._until, self._trying = self._clock() + self._wait_s, False
            self._turn += 1

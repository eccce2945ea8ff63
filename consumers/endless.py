"""A simulated service that goes on at real time: its records come to the inbox as they arrive."""

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

from agent.config import Config
from agent.errors import StoreDown
from agent.store import Store
from consumers.inbox import Inbox
from consumers.server.process import run_server
from consumers.shadowing import shadow_of
from consumers.simulate import Change, Scenario, simulate
from consumers.understudy import Understudy

_log = logging.getLogger("vedette.demo")

# Records are drawn a minute ahead and given when they are due.
_MINUTE_S, _TICK_S = 60.0, 0.25
CALLS_PER_S = 5.0


def serve_endless(config: Config, scenario: Scenario) -> None:
    """Serve the store of a simulated day, and let what changed on it go on, until SIGTERM."""
    understudy = Understudy(scenario)
    lasting = [change for change in scenario.changes if change.until == math.inf]

    def feed(store: Store) -> Endless:
        return Endless(Inbox(store), understudy, lasting)

    run_server(config, dict.fromkeys(shadow_of(config).candidates, understudy), feed)


class Endless:
    """Gives an inbox some calls a second in a thread of its own until it is closed.

    `changes` last; `understudy` knows the answers to what is asked meanwhile.
    """

    def __init__(
        self,
        inbox: Inbox,
        understudy: Understudy,
        changes: Sequence[Change] = (),
        calls_per_s: float = CALLS_PER_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._inbox, self._understudy = inbox, understudy
        self._changes, self._calls_per_s, self._clock = tuple(changes), calls_per_s, clock
        self._waiting: list[tuple[float, int, bytes]] = []
        self._drawn_to = clock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulation", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give no more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(_TICK_S):
            now = self._clock()
            if now >= self._drawn_to:
                self._draw(now)
            due = []
            while self._waiting and self._waiting[0][0] <= now:
                due.append(heapq.heappop(self._waiting))
            try:
                if due:
                    self._inbox.append([(arrival, value) for arrival, _, value in due])
            except StoreDown as error:
                _log.warning("the simulation waits: %s", error)
                for one in due:
                    heapq.heappush(self._waiting, one)

    def _draw(self, now: float) -> None:
        """The records of the minute that begins now."""
        calls, seed = round(_MINUTE_S * self._calls_per_s), int(now)
        scenario = Scenario(now, calls, seed, self._changes, length_s=_MINUTE_S)
        self._understudy.learn(scenario)
        for number, record in enumerate(simulate(scenario)):
            heapq.heappush(self._waiting, (record.arrival, seed + number, record.value))
        self._drawn_to = now + _MINUTE_S

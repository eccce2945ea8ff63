"""A simulated service that goes on at real time: its records come as they arrive."""

import logging
import math
import threading

from agent.config import Config
from agent.errors import StoreDown
from agent.store import Store
from consumers.coming import Coming
from consumers.inbox import Inbox
from consumers.server.process import run_server
from consumers.shadowing import shadow_of
from consumers.simulate import Scenario
from consumers.understudy import Understudy

_log = logging.getLogger("vedette.demo")

_TICK_S = 0.25


def serve_endless(config: Config, scenario: Scenario) -> None:
    """Serve the store of a simulated day, and let what changed on it go on, until SIGTERM."""
    understudy = Understudy(scenario)
    lasting = [change for change in scenario.changes if change.until == math.inf]

    def feed(store: Store) -> Endless:
        return Endless(Inbox(store), Coming(lasting, understudy.learn))

    run_server(config, dict.fromkeys(shadow_of(config).candidates, understudy), feed)


class Endless:
    """Gives an inbox what comes, in a thread of its own until it is closed."""

    def __init__(self, inbox: Inbox, coming: Coming) -> None:
        self._inbox, self._coming = inbox, coming
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulation", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give no more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(_TICK_S):
            due = self._coming.due()
            try:
                if due:
                    self._inbox.append(due)
            except StoreDown as error:
                _log.warning("the simulation waits: %s", error)
                self._coming.put_back(due)

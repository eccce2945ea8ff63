"""A simulated service that goes on at real time: its records come as they arrive."""

import logging
import math
from threading import Event

from agent.config import Config
from agent.errors import StoreDown
from agent.store import Store
from consumers.background import Background
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

    def feed(store: Store) -> Background:
        return endless(Inbox(store), Coming(lasting, understudy.learn))

    run_server(config, dict.fromkeys(shadow_of(config).candidates, understudy), feed)


def endless(inbox: Inbox, coming: Coming) -> Background:
    """Give an inbox what comes, until it is closed."""

    def give(stopped: Event) -> None:
        while not stopped.wait(_TICK_S):
            due = coming.due()
            try:
                if due:
                    inbox.append(due)
            except StoreDown as error:
                _log.warning("the simulation waits: %s", error)
                coming.put_back(due)

    return Background("simulation", give)

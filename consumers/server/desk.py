"""What every route of the server shares."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.config import Config
from agent.store import Store
from consumers.exporter import Health
from consumers.metrics import Tally
from consumers.server.scoring import Scoring
from consumers.server.sinks import Sink


@dataclass(frozen=True, slots=True)
class Desk:
    """The configuration, the store, what this process shows of itself and where it puts logs."""

    config: Config
    store: Store
    tally: Tally
    health: Health
    scoring: Scoring
    sink: Sink
    # Whether a loop runs here that must go on, or what is answered is all that there is.
    works: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.time

"""What every route of the server shares."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.config import Config
from agent.store import Store
from consumers.exporter import Health
from consumers.metrics import Tally
from consumers.server.memory import Memory
from consumers.server.scoring import Scoring


@dataclass(frozen=True, slots=True)
class Desk:
    """The configuration, the store, what was read of it before, and what this process shows of
    itself."""

    config: Config
    store: Store
    tally: Tally
    health: Health
    scoring: Scoring
    clock: Callable[[], float] = time.time
    memory: Memory = field(default_factory=Memory)

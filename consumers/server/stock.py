"""What pages are made of: the configuration, the store, and what was read of it before."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.config import Config
from agent.store import Store
from consumers.server.memory import Memory

# Of each stage of the road its batches, their seconds, and what 95 % of them stayed within.
Stages = Mapping[str, tuple[int, float, float]]


@dataclass(frozen=True, slots=True)
class Stock:
    """What every view reads; `stages` are those of the process that scores."""

    config: Config
    store: Store
    stages: Callable[[], Stages]
    clock: Callable[[], float] = time.time
    memory: Memory = field(default_factory=Memory)

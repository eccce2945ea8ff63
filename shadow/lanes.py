"""What waits for a candidate, within bounds of number and of bytes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.record import Ask
from agent.shadows import Candidate
from shadow.breaker import Breaker
from shadow.candidates import Model

# Beyond it asks are dropped, and their tickets expire as not asked.
QUEUE_ASKS = 256
QUEUE_BYTES = 32 << 20


def nobody() -> None:
    """Nobody waits to hear that an ask is over."""


class Waiting(NamedTuple):
    """An ask, the bytes that it takes, and whom to tell once its ticket is taken or refused."""

    ask: Ask
    size: int = 0
    over: Callable[[], None] = nobody


@dataclass
class Lane:
    """A candidate with its queue, its breaker and room for so many calls at once."""

    name: str
    candidate: Candidate
    model: Model
    breaker: Breaker
    room: asyncio.Semaphore
    queue: asyncio.Queue[Waiting] = field(default_factory=lambda: asyncio.Queue(QUEUE_ASKS))
    size: int = 0
    shown: str = ""

    def offer(self, waiting: Waiting) -> bool:
        """Queue it if there is room."""
        if self.queue.full() or self.size + waiting.size > QUEUE_BYTES:
            return False
        self.size += waiting.size
        self.queue.put_nowait(waiting)
        return True

    async def next(self) -> Waiting:
        """The first that waits, once there is room for its call."""
        await self.room.acquire()
        waiting = await self.queue.get()
        self.size -= waiting.size
        return waiting

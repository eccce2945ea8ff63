"""What waits for a candidate, within bounds of number and of bytes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.record import Ask
from agent.shadows import Candidate
from shadow.breaker import Breaker
from shadow.candidates import Model

# Beyond it asks are dropped, and their tickets expire as not asked. Eight at once that take two
# seconds each ask 2,400 while a ticket lives (wait_s).
QUEUE_ASKS = 2048
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
    # Whom else to tell of what waits, by ticket. When dispatchers come and go their records are
    # read again: those would fill the queue while new asks are dropped.
    again: dict[bytes, list[Callable[[], None]]] = field(default_factory=dict)

    def offer(self, waiting: Waiting) -> bool:
        """Queue it if there is room."""
        if self.queue.full() or self.size + waiting.size > QUEUE_BYTES:
            return False
        self.size += waiting.size
        self.again[waiting.ask.ticket] = []
        self.queue.put_nowait(waiting)
        return True

    def join(self, waiting: Waiting) -> bool:
        """Let it end with the one that waits already, if one does."""
        others = self.again.get(waiting.ask.ticket)
        if others is None:
            return False
        others.append(waiting.over)
        return True

    async def next(self) -> Waiting:
        """The first that waits, once there is room for its call."""
        await self.room.acquire()
        waiting = await self.queue.get()
        self.size -= waiting.size
        ends = waiting.over, *self.again.pop(waiting.ask.ticket, ())

        def over() -> None:
            for end in ends:
                end()

        return waiting._replace(over=over)

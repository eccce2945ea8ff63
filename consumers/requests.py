"""What candidates are to be asked, on its way to the dispatcher's topic."""

import time
from collections.abc import Callable, Sequence

from agent.errors import BadRecord, StoreDown
from agent.record import Ask
from consumers.pump.sender import Sender

_RETRY_S = 20.0


class RequestsTopic:
    """Publishes what a flush owes, after its commit; `to_bytes` is the form of an ask.

    A request that is lost costs its ticket and no more: nobody asks, and it expires as not asked.
    While the broker is away nothing is queued for it.
    """

    def __init__(self, sender: Sender, topic: str, to_bytes: Callable[[Ask], bytes]) -> None:
        self._sender, self._topic, self._to_bytes = sender, topic, to_bytes
        self._again_at = 0.0

    def __call__(self, asks: Sequence[Ask]) -> None:
        """Send asks, each under its ticket; never waits for an acknowledgement."""
        self._sender.take_failures()  # tickets count them; kept, they would be more and more
        if time.monotonic() < self._again_at:
            return
        for ask in asks:
            try:
                self._sender.send(self._topic, self._to_bytes(ask), key=ask.ticket)
            except (BadRecord, ValueError):
                continue  # too large, or a text that has no form
            except StoreDown:
                self._again_at = time.monotonic() + _RETRY_S
                return

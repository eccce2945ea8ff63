"""One way out of the process, on a thread of its own: nobody waits for a webhook or a broker."""

import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from agent.store.findings import Kept

_CLOSE_S = 1.0


class Undelivered(Exception):
    """It was not taken; the message is the reason, without an address."""


class Way(Protocol):
    """A webhook or a topic."""

    way: str

    def deliver(self, rows: Sequence[Kept]) -> None:
        """Tell of these findings, and return once they are taken; raises Undelivered."""

    def close(self) -> None:
        """Let go of connections."""


class Outcome(NamedTuple):
    """What became of an errand; `reason` is why it was not delivered."""

    rows: Sequence[Kept]
    reason: str | None


class Courier:
    """Delivers one errand after another; one waits at the most."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self._errands: queue.Queue[Sequence[Kept] | None] = queue.Queue(1)
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._go, name=f"alerts-{way.way}", daemon=True)
        self._thread.start()

    def send(self, rows: Sequence[Kept]) -> None:
        """Give an errand; only when the outcome of the one before was taken."""
        self._errands.put_nowait(rows)

    def outcome(self, wait_s: float = 0.0) -> Outcome | None:
        """What became of the errand, None while it is on its way."""
        try:
            return self._outcomes.get(timeout=wait_s) if wait_s else self._outcomes.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Let an idle courier go; one on its way ends with the process."""
        with suppress(queue.Full):
            self._errands.put_nowait(None)
            self._thread.join(_CLOSE_S)

    def _go(self) -> None:
        while (rows := self._errands.get()) is not None:
            self._outcomes.put(Outcome(rows, self._try(rows)))
        self.way.close()

    def _try(self, rows: Sequence[Kept]) -> str | None:
        try:
            self.way.deliver(rows)
        except Undelivered as error:
            return str(error)
        except Exception as error:  # this thread goes on, whatever a library raises
            return f"failed ({type(error).__name__})"
        return None

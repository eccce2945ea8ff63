"""What goes on beside a server, in a thread of its own."""

from collections.abc import Callable
from threading import Event, Thread


class Background:
    """Runs a body until it is closed; the event that the body is given says when to end."""

    def __init__(self, name: str, body: Callable[[Event], None]) -> None:
        self._stopped = Event()
        self._thread = Thread(target=body, args=(self._stopped,), name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Have the body end, and wait for that."""
        self._stopped.set()
        self._thread.join()

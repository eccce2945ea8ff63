"""Whether the store still answers, asked every few seconds where no worker says it."""

import threading

from agent.errors import StoreDown
from agent.store import Store, reads
from consumers.exporter import Health

_EVERY_S = 5.0


class Pulse:
    """Keeps the readiness of a server that only shows and passes on, until it is closed."""

    def __init__(self, store: Store, health: Health, every_s: float = _EVERY_S) -> None:
        self._store, self._health, self._every_s = store, health, every_s
        self._stopped = threading.Event()
        health.ready(True)
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                with self._store.reading() as tx:
                    reads.closed_times(tx)
            except StoreDown as error:
                self._health.ready(False, str(error))
            else:
                self._health.ready(True)

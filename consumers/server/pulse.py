"""Whether the store answers and has its tables, asked every few seconds where no worker says it."""

import threading

from agent.errors import StoreDown
from agent.store import Store, lack
from consumers.exporter import Health

_EVERY_S = 5.0


class Pulse:
    """Keeps the readiness of a server that only shows and passes on, until it is closed."""

    def __init__(self, store: Store, health: Health, every_s: float = _EVERY_S) -> None:
        self._store, self._health, self._every_s = store, health, every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                lacking = lack(self._store)
            except StoreDown as error:
                lacking = str(error)
            self._health.ready(not lacking, lacking)
            if self._stopped.wait(self._every_s):
                return

"""Whether the store answers and has its tables, asked every few seconds where no worker says it."""

from threading import Event

from agent.errors import StoreDown
from agent.store import Store, lack
from consumers.background import Background
from consumers.exporter import Health

_EVERY_S = 5.0


def pulse(store: Store, health: Health, every_s: float = _EVERY_S) -> Background:
    """Keep the readiness of a server that only shows and passes on, until it is closed."""

    def ask(stopped: Event) -> None:
        while True:
            try:
                lacking = lack(store)
            except StoreDown as error:
                lacking = str(error)
            health.ready(not lacking, lacking)
            if stopped.wait(every_s):
                return

    return Background("pulse", ask)

"""The drawer of dead letters, which holds so many bytes: beyond them the oldest go."""

import logging
import time

from agent.config import Config
from agent.store import Store, positions, retention
from consumers.listener import Listener

_log = logging.getLogger("vedette")

# Every letter is looked at to sum them up.
_LOOK_S = 60.0


class Drawer:
    """Kept by the process that closes panes, as part of its house."""

    def __init__(self, config: Config, store: Store, listener: Listener) -> None:
        self._config, self._store, self._listener = config, store, listener
        self._next_look, self._surplus = 0.0, 0

    def keep(self) -> None:
        """Once a minute say how full the drawer and the inbox are; drop some of what is too much.

        Raises StoreDown when the database is away.
        """
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_S
            self._look()
        if self._surplus > 0:
            with self._store.transaction() as tx:
                n, size = retention.drop_letters(tx, self._surplus)
            self._surplus = self._surplus - size if n else 0
            _log.warning("store.dead_letter_bytes is full: %d dead letters were dropped", n)
            self._listener.dropped(n)

    def _look(self) -> None:
        most, room = self._config.store.dead_letter_bytes, self._config.server.inbox_bytes
        with self._store.reading() as tx:
            held, waits = retention.letter_bytes(tx), positions.inbox_waits(tx).size_bytes
        self._surplus = held - most
        self._listener.filled({"dead_letters": held / most, "inbox": waits / room})

"""Every page read once when a server starts, so that the first reader does not wait for all."""

import logging
import threading
from collections.abc import Sequence

from agent.errors import StoreDown
from consumers.server.desk import Desk
from consumers.server.pages import View

_log = logging.getLogger("vedette.server")
# What may be asked of a page and takes longest to read for the first time.
_LONGEST = {"now": {"window": "30d"}}


class Rehearsal:
    """Reads the pages in a thread of its own; what it read is remembered at the desk."""

    def __init__(self, desk: Desk, views: Sequence[View]) -> None:
        self._desk, self._views = desk, views
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rehearsal")
        self._thread.start()

    def close(self) -> None:
        """Read no further page."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for view in self._views:
                for asked in ({}, _LONGEST.get(view.name)):
                    if asked is not None and not self._stopped.is_set():
                        with self._desk.store.reading() as tx:
                            view.read(self._desk, tx, view.asks(**asked))
        except StoreDown as error:
            _log.warning("pages are read when they are asked for: %s", error)

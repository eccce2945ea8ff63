"""Every page made once when a server starts, so that the first reader does not wait for all."""

import logging
import threading

from agent.errors import StoreDown
from consumers.server.pages import Press
from consumers.server.windows import SPANS

_log = logging.getLogger("vedette.server")
# What else is asked of a page and takes long for the first time.
_ASKED: dict[str, list[dict[str, str]]] = {"now": [{"window": name} for name in SPANS]}


class Rehearsal:
    """Makes pages for nobody in a thread of its own; what they took is remembered at the desk."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rehearsal")
        self._thread.start()

    def close(self) -> None:
        """Make no further page."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for view in self._press.views:
                for asked in ({}, *_ASKED.get(view.name, ())):
                    if not self._stopped.is_set():
                        self._press.page(view, view.asks(**asked), "nobody", False)
        except StoreDown as error:
            _log.warning("pages are first read when they are asked for: %s", error)

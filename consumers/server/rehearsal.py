"""Every page made once when a server starts, so that the first reader does not wait for all."""

import logging
from threading import Event

from agent.errors import StoreDown
from consumers.background import Background
from consumers.server.pages import Press
from consumers.server.windows import SPANS

_log = logging.getLogger("vedette.server")
# What else is asked of a page and takes long for the first time.
_ASKED: dict[str, list[dict[str, str]]] = {"now": [{"window": name} for name in SPANS]}


def rehearsal(press: Press) -> Background:
    """Make pages for nobody until it is closed; what they took is remembered at the desk."""

    def make(stopped: Event) -> None:
        try:
            for view in press.views:
                for asked in ({}, *_ASKED.get(view.name, ())):
                    if not stopped.is_set():
                        press.page(view, view.asks(**asked), "nobody", False)
        except StoreDown as error:
            _log.warning("pages are first read when they are asked for: %s", error)

    return Background("rehearsal", make)

"""Every page made once when a server starts, so that the first reader does not wait for all."""

import logging
from collections.abc import Iterable, Mapping
from threading import Event

from agent.errors import StoreDown
from consumers.background import Background
from consumers.server.pages import Press
from consumers.server.windows import SPANS

_log = logging.getLogger("vedette.server")


def rehearsal(press: Press, experiments: Iterable[str]) -> Background:
    """Make pages for nobody until it is closed, those of the experiments of these names too; what
    they took is remembered at the desk."""
    # What else is asked of a page and takes long for the first time.
    more: Mapping[str, list[dict[str, str]]] = {
        "now": [{"window": name} for name in SPANS],
        "experiments": [{"name": name} for name in experiments],
    }

    def make(stopped: Event) -> None:
        try:
            for view in press.views:
                for asked in ({}, *more.get(view.name, ())):
                    if not stopped.is_set():
                        press.page(view, view.asks(**asked), "nobody", False)
        except StoreDown as error:
            _log.warning("pages are first read when they are asked for: %s", error)

    return Background("rehearsal", make)

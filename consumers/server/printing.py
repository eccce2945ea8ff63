"""How a page is made: one reading of the store, shown as HTML, as JSON or as a table."""

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel

from abtest.report import PAGES, page_of, signed
from abtest.wording import moment
from agent.plain import plain
from agent.store import Transaction
from consumers.server.flow import flow_of
from consumers.server.plots import drawn, sparked
from consumers.server.scatter import scattered
from consumers.server.sheet import Sheet, as_csv
from consumers.server.stock import Stock
from consumers.server.windows import SPANS
from consumers.server.words import ago, change, given, lasting, shown, visible

# What a readout looks like is said once, for its report and for the page.
_TEMPLATES = (Path(__file__).parent / "templates", PAGES)
STATIC = {
    "figures.css": "text/css; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class View:
    """One page: its place, what may be asked of it, and what it reads.

    `read` returns a frozen dataclass of plain values; the template `<name>.html` shows it,
    `/api/<name>` is the same as JSON and, where there is a `sheet`, `/api/<name>.csv` its table.
    `stamp` is what moves when the page would: without one it is always made anew.
    """

    name: str
    title: str
    help: str
    asks: type[BaseModel]
    answers: type
    read: Callable[[Stock, Transaction, Any], Any]
    sheet: Sheet | None = None
    stamp: Callable[[Transaction], Hashable] = lambda _: None

    @property
    def path(self) -> str:
        """Where the page is; `now` is the front page."""
        return "/" if self.name == "now" else f"/{self.name}"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made of a view; only an admin's page has the forms that change something."""

    view: str
    shape: Literal["page", "data", "table"]
    asked: BaseModel
    who: str = ""
    admin: bool = False


class Printer:
    """Makes pages of a stock, with the templates for them."""

    def __init__(self, stock: Stock, views: Sequence[View]) -> None:
        self._stock, self._views = stock, {view.name: view for view in views}
        self.static = {name: _read_file(name) for name in STATIC}
        self.templates = _environment()
        self.templates.globals |= {
            "views": views,
            "windows": list(SPANS),
            "page_of": lambda name, *told: page_of(name, stock.config.experiments[name], *told),
            "version": hashlib.blake2b(b"".join(self.static.values()), digest_size=6).hexdigest(),
        }

    def make(self, order: Order) -> bytes:
        """A page as HTML, its numbers as JSON or its table as CSV, as of now."""
        view = self._views[order.view]
        with self._stock.store.reading() as tx:
            found = view.read(self._stock, tx, order.asked)
        if order.shape == "data":
            return as_json(found)
        if order.shape == "table":
            assert view.sheet is not None  # or it has no such route
            return as_csv(view.sheet, found)
        # Not the words of who asked first: all who mean the same are shown this copy.
        query = urlencode(order.asked.model_dump(mode="json", exclude_defaults=True))
        shown = self.templates.get_template(f"{view.name}.html").render(
            view=view, asked=order.asked, found=found, query=query, who=order.who,
            admin=order.admin,
        )  # fmt: skip
        return shown.encode(errors="replace")


def as_json(value: Any) -> bytes:
    """Records as JSON, with null for what is no number."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False).encode(errors="replace")


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=visible,
    )  # fmt: skip
    made.filters |= {"moment": moment, "signed": signed, "shown": shown, "lasting": lasting}
    made.filters |= {"ago": ago, "given": given, "drawn": drawn, "sparked": sparked}
    made.filters |= {"change": change, "scattered": scattered}
    made.globals |= {"flow_of": flow_of}
    return made


def _read_file(name: str) -> bytes:
    return next(there for one in _TEMPLATES if (there := one / name).exists()).read_bytes()

"""Pages and the JSON behind them: one reading of the store for both, shown in two ways.

2026-11-26: a page refreshes itself by asking for itself again with the tag of what it shows; a
stream of events would hold a connection a reader and say no more.
"""

import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel

from abtest.report import PAGES, page_of, signed
from abtest.wording import moment
from agent.plain import plain
from agent.store import Transaction
from consumers.server.copies import Copies, Copy
from consumers.server.desk import Desk
from consumers.server.flow import flow_of
from consumers.server.plots import drawn, sparked
from consumers.server.scatter import scattered
from consumers.server.sheet import Sheet, as_csv
from consumers.server.windows import SPANS
from consumers.server.words import ago, change, given, lasting, shown, visible

# What a readout looks like is said once, for its report and for the page.
_TEMPLATES = (Path(__file__).parent / "templates", PAGES)
_HTML, _JSON, _CSV = "text/html; charset=utf-8", "application/json", "text/csv; charset=utf-8"
_STATIC = {
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
    read: Callable[[Desk, Transaction, Any], Any]
    sheet: Sheet | None = None
    stamp: Callable[[Transaction], Hashable] = lambda _: None

    @property
    def path(self) -> str:
        """Where the page is; `now` is the front page."""
        return "/" if self.name == "now" else f"/{self.name}"


class Press:
    """Makes pages: templates, and the copies of what was made."""

    def __init__(self, desk: Desk, views: Sequence[View]) -> None:
        self._desk, self.views = desk, views
        self.copies = Copies(desk.config.server.refresh_s)
        self.static = {name: _read_file(name) for name in _STATIC}
        self.templates = _environment()
        self.templates.globals |= {
            "views": views,
            "windows": list(SPANS),
            "page_of": lambda name, *told: page_of(name, desk.config.experiments[name], *told),
            "version": hashlib.blake2b(b"".join(self.static.values()), digest_size=6).hexdigest(),
        }

    def page(self, view: View, asked: BaseModel, who: str, admin: bool) -> Copy:
        """The page as HTML; only an admin gets the forms that change something."""

        def make() -> bytes:
            # Not the words of who asked first: all who mean the same are shown this copy.
            query = urlencode(asked.model_dump(mode="json", exclude_defaults=True))
            shown = self.templates.get_template(f"{view.name}.html").render(
                view=view, asked=asked, found=self._read(view, asked), query=query, who=who,
                admin=admin,
            )  # fmt: skip
            return shown.encode(errors="replace")

        address = f"{view.path}?{_address(asked)}&{who}"
        return self.copies.get(address, _HTML, make, lambda: self._stamp(view))

    def data(self, view: View, asked: BaseModel) -> Copy:
        """The numbers of the page as JSON."""

        def make() -> bytes:
            return as_json(self._read(view, asked))

        address = f"/api/{view.name}?{_address(asked)}"
        return self.copies.get(address, _JSON, make, lambda: self._stamp(view))

    def table(self, view: View, sheet: Sheet, asked: BaseModel) -> Copy:
        """The table of the page as CSV."""

        def make() -> bytes:
            return as_csv(sheet, self._read(view, asked))

        return self.copies.get(f"/api/{view.name}.csv?{_address(asked)}", _CSV, make)

    def _stamp(self, view: View) -> Hashable:
        with self._desk.store.reading() as tx:
            return view.stamp(tx)

    def _read(self, view: View, asked: BaseModel) -> Any:
        with self._desk.store.reading() as tx:
            return view.read(self._desk, tx, asked)


def routes_of(press: Press, views: Sequence[View]) -> APIRouter:
    """A page and a JSON route for each view, and what pages are made of."""
    router = APIRouter()
    for view in views:
        _add(router, press, view)

    @router.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in press.static:
            return Response(as_json({"error": "not found"}), 404, media_type=_JSON)
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(press.static[name], headers=kept, media_type=_STATIC[name])

    return router


def _add(router: APIRouter, press: Press, view: View) -> None:
    def page(request: Request, asked: Any) -> Response:
        state = request.scope["state"]
        return answer(request, press.page(view, asked, state["who"], state["admin"]))

    def data(request: Request, asked: Any) -> Response:
        return answer(request, press.data(view, asked))

    for handler in (page, data):
        handler.__annotations__["asked"] = Annotated[view.asks, Query()]
    router.add_api_route(view.path, page, include_in_schema=False)
    router.add_api_route(
        f"/api/{view.name}", data, response_model=view.answers, name=view.name,
        summary=view.title, description=view.help, tags=["pages"],
    )  # fmt: skip
    if view.sheet is not None:
        _add_table(router, press, view, view.sheet)


def _add_table(router: APIRouter, press: Press, view: View, sheet: Sheet) -> None:
    def table(request: Request, asked: Any) -> Response:
        found = answer(request, press.table(view, sheet, asked))
        found.headers["Content-Disposition"] = f'attachment; filename="{view.name}.csv"'
        return found

    table.__annotations__["asked"] = Annotated[view.asks, Query()]
    router.add_api_route(
        f"/api/{view.name}.csv", table, name=f"{view.name}.csv", response_class=_Csv,
        summary=f"{view.title}, as a table", tags=["pages"],
    )  # fmt: skip


class _Csv(Response):
    media_type = "text/csv"


def answer(request: Request, copy: Copy) -> Response:
    """A copy as the client can take it, or word that it has it already."""
    headers = {"ETag": copy.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding, Cookie"}
    if request.headers.get("if-none-match") == copy.tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(copy.packed, headers=headers, media_type=copy.content_type)
    return Response(copy.body, headers=headers, media_type=copy.content_type)


def as_json(value: Any) -> bytes:
    """Records as JSON, with null for what is no number."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False).encode(errors="replace")


def _address(asked: BaseModel) -> str:
    return asked.model_dump_json(exclude_defaults=True)


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

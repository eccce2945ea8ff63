"""Pages and the JSON behind them over HTTP, each from a copy for all who ask within a moment.

2026-11-26: a page refreshes itself by asking for itself again with the tag of what it shows; a
stream of events would hold a connection a reader and say no more.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from consumers.server.copies import Copies, Copy
from consumers.server.desk import Desk
from consumers.server.printing import STATIC, Order, Printer, View, as_json
from consumers.server.stock import Stock

_HTML, _JSON, _CSV = "text/html; charset=utf-8", "application/json", "text/csv; charset=utf-8"


class Press:
    """Gives pages out: the copies of what was made, here or where `make` has it made."""

    def __init__(
        self, desk: Desk, views: Sequence[View], make: Callable[[Order], bytes] | None = None
    ) -> None:
        self._desk, self.views = desk, views
        self.copies = Copies(desk.config.server.refresh_s)
        stock = Stock(desk.config, desk.store, desk.tally.stages, desk.clock)
        printer = Printer(stock, views)
        self.static, self.templates = printer.static, printer.templates
        self._make = make or printer.make

    def page(self, view: View, asked: BaseModel, who: str, admin: bool) -> Copy:
        """The page as HTML; only an admin gets the forms that change something."""
        order = Order(view.name, "page", asked, who, admin)
        return self._copy(view, f"{view.path}?{_address(asked)}&{who}", _HTML, order)

    def data(self, view: View, asked: BaseModel) -> Copy:
        """The numbers of the page as JSON."""
        order = Order(view.name, "data", asked)
        return self._copy(view, f"/api/{view.name}?{_address(asked)}", _JSON, order)

    def table(self, view: View, asked: BaseModel) -> Copy:
        """The table of the page as CSV."""
        order = Order(view.name, "table", asked)
        return self._copy(view, f"/api/{view.name}.csv?{_address(asked)}", _CSV, order)

    def _copy(self, view: View, address: str, content_type: str, order: Order) -> Copy:
        def stamp() -> Hashable:
            with self._desk.store.reading() as tx:
                return view.stamp(tx)

        return self.copies.get(address, content_type, lambda: self._make(order), stamp)


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
        return Response(press.static[name], headers=kept, media_type=STATIC[name])

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
        _add_table(router, press, view)


def _add_table(router: APIRouter, press: Press, view: View) -> None:
    def table(request: Request, asked: Any) -> Response:
        found = answer(request, press.table(view, asked))
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


def _address(asked: BaseModel) -> str:
    return asked.model_dump_json(exclude_defaults=True)

"""Why nothing was done, in a line: JSON for a program, a page for who asked with a browser."""

import math
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from agent.errors import BadConfig, BadRecord, Overloaded, StoreDown


def later(seconds: float) -> dict[str, str]:
    """The header that says when to ask again."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def said(
    request: Request, status: int, why: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Why not, in the form that its reader can read."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"error": why}, status, headers)
    who = request.scope.get("state", {}).get("who", "nobody")
    made = request.app.state.press.templates.get_template("problem.html")
    shown = made.render(status=status, why=why, who=who, here=asked_for(request))
    return HTMLResponse(shown, status, headers)


def asked_for(request: Request) -> str:
    """The path and the query of a request, as its client sent them."""
    query = request.scope["query_string"].decode("latin-1")
    return str(request.scope["path"]) + (query and f"?{query}")


def _refused(request: Request, error: Any) -> Response:
    return said(request, error.status_code, str(error.detail), error.headers)


def _unclear(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return said(request, 422, f"{where}: {first['msg']}")


def _away(request: Request, error: Any) -> Response:
    return said(request, 503, str(error), later(error.retry_after_s))


def _full(request: Request, error: Any) -> Response:
    return said(request, 429, str(error), later(error.retry_after_s))


def _gone(request: Request, _: Any) -> Response:
    return said(request, 400, "the client went away")


def _wrong(request: Request, error: Any) -> Response:
    return said(request, 422, str(error))


PROBLEMS: dict[Any, Any] = {
    BadConfig: _wrong,
    BadRecord: _wrong,
    ClientDisconnect: _gone,
    HTTPException: _refused,
    RequestValidationError: _unclear,
    StoreDown: _away,
    Overloaded: _full,
}

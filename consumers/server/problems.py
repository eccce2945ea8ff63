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


def _said(
    request: Request, status: int, why: str, headers: Mapping[str, str] | None = None
) -> Response:
    if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"error": why}, status, headers)
    made = request.app.state.press.templates.get_template("problem.html")
    return HTMLResponse(made.render(status=status, why=why), status, headers)


def _refused(request: Request, error: Any) -> Response:
    return _said(request, error.status_code, str(error.detail), error.headers)


def _unclear(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return _said(request, 422, f"{where}: {first['msg']}")


def _away(request: Request, error: Any) -> Response:
    return _said(request, 503, str(error), later(error.retry_after_s))


def _full(request: Request, error: Any) -> Response:
    return _said(request, 429, str(error), later(error.retry_after_s))


def _gone(request: Request, _: Any) -> Response:
    return _said(request, 400, "the client went away")


def _wrong(request: Request, error: Any) -> Response:
    return _said(request, 422, str(error))


PROBLEMS: dict[Any, Any] = {
    BadConfig: _wrong,
    BadRecord: _wrong,
    ClientDisconnect: _gone,
    HTTPException: _refused,
    RequestValidationError: _unclear,
    StoreDown: _away,
    Overloaded: _full,
}

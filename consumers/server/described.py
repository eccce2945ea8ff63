"""What every route says of itself besides: how it may refuse, and that it wants a token."""

from typing import Any

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

_SAID = {
    401: "No token, or one that nobody has.",
    403: "The token has another role, or a page elsewhere asks.",
    413: "The body is too large.",
    414: "The address is too long.",
    421: "The server is not called by that name.",
    422: "Something in what was asked is wrong; the line names it.",
    429: "Too much at a time; Retry-After says when there is room.",
    431: "The headers are too large.",
    503: "What it depends on is away, or not there yet; Retry-After says when to ask again.",
}
# Why nothing was done, in a line.
_REFUSED = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
    "additionalProperties": False,
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": said, "content": {"application/json": {"schema": _REFUSED}}}
    for status, said in _SAID.items()
}
# Only said: what it opens is looked up before any route is.
BEARER = Depends(HTTPBearer(auto_error=False, description="Or the cookie that /login gives."))


def describe(app: FastAPI) -> None:
    """Say of every number in an answer that it may be null: what could not be measured is."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _open(plain()["components"]["schemas"])
        return plain()

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI would have it extended


def _open(schema: Any) -> None:
    if isinstance(schema, list):
        for one in schema:
            _open(one)
    elif isinstance(schema, dict):
        if schema.get("type") == "number":
            schema["type"] = ["number", "null"]
        _open(list(schema.values()))

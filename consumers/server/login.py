"""The way in for a browser: a token is exchanged for a session, and a session ends."""

import re
import time
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from consumers.server.access import COOKIE, SESSION_S, Keys
from consumers.server.asking import fields_of
from consumers.server.pages import Press

# A place of ours: `//elsewhere` and `/\\elsewhere` are places of others.
_HERE = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)


def login_of(press: Press, keys: Keys) -> APIRouter:
    """The form, what it is sent to, and the way out."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    def ask(request: Request, to: str = "/") -> Response:
        known = request.scope["state"]["who"] != "nobody"
        return RedirectResponse(place(to), 303) if known else _form(press, place(to))

    @router.post("/login")
    async def enter(request: Request) -> Response:
        return _entered(press, keys, request, await request.body())

    @router.post("/logout")
    def leave() -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return router


def _form(press: Press, to: str, problem: str = "") -> Response:
    shown = press.templates.get_template("login.html").render(to=to, problem=problem)
    return HTMLResponse(shown, 401 if problem else 200, {"Cache-Control": "no-store"})


def _entered(press: Press, keys: Keys, request: Request, body: bytes) -> Response:
    said = fields_of(body)
    to, who = place(said.get("to", "/")), keys.bearer(said.get("token", "").strip())
    if who is None:
        return _form(press, to, "No token is this one.")
    answer = RedirectResponse(to, 303, {"Cache-Control": "no-store"})
    answer.set_cookie(
        COOKIE, keys.session(who[0], time.time()), max_age=SESSION_S, httponly=True,
        samesite="strict", secure=_is_private(request),
    )  # fmt: skip
    return answer


def place(to: str) -> str:
    """Where to go on: a path of this server, the front page for anything else."""
    return to if _HERE.fullmatch(to) and not urlsplit(to).netloc else "/"


def _is_private(request: Request) -> bool:
    # Forged, the header of a proxy binds nobody's cookie but that of who sent it.
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))

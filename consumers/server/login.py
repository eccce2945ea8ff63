"""The way in for a browser: a token is exchanged for a session, and a session ends."""

import asyncio
import re
import secrets
import time
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from agent.errors import StoreDown
from agent.store import sessions
from consumers.server.access import COOKIE, SESSION_S, Keys
from consumers.server.asking import fields_of
from consumers.server.desk import Desk
from consumers.server.pages import Press
from consumers.server.problems import later, said

# A place of ours: `//elsewhere` and `/\\elsewhere` are places of others.
_HERE = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)


def login_of(desk: Desk, press: Press, keys: Keys) -> APIRouter:
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
    async def leave(request: Request) -> Response:
        return await asyncio.to_thread(_left, desk, keys, request, await request.body())

    return router


def _form(press: Press, to: str, problem: str = "") -> Response:
    shown = press.templates.get_template("login.html").render(to=to, problem=problem)
    return HTMLResponse(shown, 401 if problem else 200, {"Cache-Control": "no-store"})


def _entered(press: Press, keys: Keys, request: Request, body: bytes) -> Response:
    told = fields_of(body)
    to, who = place(told.get("to", "/")), keys.bearer(told.get("token", "").strip())
    if who is None:
        return _form(press, to, "No token is this one.")
    answer = RedirectResponse(to, 303, {"Cache-Control": "no-store"})
    session = keys.session(who[0], time.time(), secrets.token_hex(8))
    answer.set_cookie(
        COOKIE, session, max_age=SESSION_S, httponly=True, samesite="strict",
        secure=_is_private(request),
    )  # fmt: skip
    return answer


def _left(desk: Desk, keys: Keys, request: Request, body: bytes) -> Response:
    """To the form again; who has a copy of the cookie is sent there too, by every server."""
    to, session = place(fields_of(body).get("to", "/")), request.cookies.get(COOKIE, "")
    answer: Response = RedirectResponse(f"/login?to={quote(to)}" if to != "/" else "/login", 303)
    now = time.time()
    if keys.visitor(session, now) is not None:  # what is none would fill the table
        try:
            with desk.store.transaction() as tx:
                sessions.end(tx, session, now + SESSION_S, now)
        except StoreDown as error:
            why = f"signed out here, but a copy of the cookie is good for its 12 hours: {error}"
            answer = said(request, 503, why, later(error.retry_after_s))
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def is_ended(desk: Desk, session: str) -> bool:
    """Whether somebody signed out of a session; raises StoreDown where the store cannot say."""
    with desk.store.reading() as tx:
        return sessions.is_ended(tx, session)


def place(to: str) -> str:
    """Where to go on: a path of this server, the front page for anything else."""
    return to if _HERE.fullmatch(to) and not urlsplit(to).netloc else "/"


def _is_private(request: Request) -> bool:
    # Forged, the header of a proxy binds nobody's cookie but that of who sent it.
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))

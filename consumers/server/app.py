"""The application: its routes, and what stands before them in order."""

from collections.abc import Callable
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consumers.server.access import ASKING, INGEST, Access, Keys
from consumers.server.actions import actions_of, note_refusal
from consumers.server.bodies import room_of
from consumers.server.described import BEARER, REFUSALS, describe
from consumers.server.desk import Desk
from consumers.server.evaluate import evaluation_of
from consumers.server.ingest import ingest_of
from consumers.server.limits import Sized
from consumers.server.login import is_ended, login_of
from consumers.server.pages import Press, routes_of
from consumers.server.printing import Order
from consumers.server.probes import probes_of
from consumers.server.problems import PROBLEMS
from consumers.server.timing import Timed
from consumers.server.views import VIEWS

# Nothing from elsewhere, nothing inline: a text that gets out of its quotes can still do nothing.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Under "no-referrer" a browser would hide from us that our own form is sent from our own page.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def build_app(desk: Desk, keys: Keys, make: Callable[[Order], bytes] | None = None) -> FastAPI:
    """Everything that the server answers; `make` makes its pages, which else happens here."""
    app = FastAPI(
        title="Vedette", version=version("vedette"), docs_url=None, redoc_url=None,
        # A redirect would be to the host that the client says this is.
        redirect_slashes=False,
        description="Scores, panes, findings and readouts of LLM services.",
        exception_handlers=PROBLEMS, responses=REFUSALS,
    )  # fmt: skip
    app.include_router(probes_of(desk))
    room = room_of(desk.config.server)  # one for all bodies: together they must not fill the memory
    app.include_router(ingest_of(desk, room), dependencies=[BEARER])
    app.include_router(evaluation_of(desk, room), dependencies=[BEARER])
    press, server = Press(desk, VIEWS, make), desk.config.server
    app.state.press = press
    app.include_router(login_of(desk, press, keys))
    app.include_router(actions_of(desk, press), dependencies=[BEARER])
    app.include_router(routes_of(press, VIEWS), dependencies=[BEARER])
    for route in app.routes:  # else FastAPI finishes them while the first reader waits
        route.matches({"type": "http", "method": "GET", "path": "/nowhere", "headers": []})
    describe(app)
    note, ended = partial(note_refusal, desk), partial(is_ended, desk)
    app.add_middleware(Access, keys=keys, server=server, note=note, ended=ended)
    app.add_middleware(Sized, body_bytes=server.body_bytes, large=(*INGEST, *ASKING))
    app.add_middleware(Guarded)
    app.add_middleware(Timed, tally=desk.tally)
    app.add_middleware(Bodiless)
    return app


class Guarded:
    """Puts the headers that protect a reader on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                held = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(
                    (name.lower().encode(), value.encode())
                    for name, value in _HEADERS.items() if name.lower().encode() not in held
                )]  # fmt: skip
            await send(message)

        await self._app(scope, receive, sent)


class Bodiless:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self._app(scope, receive, send)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, sent)

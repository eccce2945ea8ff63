"""What an admin does over HTTP: replay, stop and resume, new baselines; each is in the audit."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from agent.errors import BadConfig, StoreDown
from agent.store import audit
from agent.store.audit import Deed
from consumers import actions
from consumers.actions import By
from consumers.rebaselines import period_of
from consumers.server.asking import body_of, document_of, fields_of, is_form, told
from consumers.server.desk import Desk
from consumers.server.limits import SMALL_BYTES
from consumers.server.pages import Press
from consumers.server.printing import as_json

# Where a form leads: its row is the newest of the audit.
_BACK = "/pipeline#audit"
_Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
_Why = Annotated[_Text, StringConstraints(min_length=1, strip_whitespace=True)]
_Part = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00]*$")]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Replay(_Asked):
    """Which dead letters come back: those of one reason, or all."""

    reason: _Part | None = None
    why: _Text = ""


class Stop(_Asked):
    """Why a candidate is asked nothing more."""

    why: _Why


class Resume(_Asked):
    """Why it is asked again, where that is worth a word."""

    why: _Text = ""


class Rebaseline(_Asked):
    """Which series get a new baseline, of which period (without one: of the calls to come)."""

    why: _Why
    service: _Part | None = None
    model: _Part | None = Field(default=None, description="* is the service as a whole.")
    segment: _Part | None = None
    metric: _Part | None = None
    view: _Part | None = None
    everything: bool = Field(default=False, alias="all")
    start: str | None = Field(default=None, alias="from", max_length=64, description="ISO 8601.")
    end: str | None = Field(default=None, alias="to", max_length=64, description="ISO 8601.")
    source: _Part = "live"

    @property
    def wanted(self) -> dict[str, str]:
        """The parts of names that were given."""
        parts = ("service", "model", "segment", "metric", "view")
        return {part: value for part in parts if (value := getattr(self, part)) is not None}

    @model_validator(mode="after")
    def _means_some(self) -> "Rebaseline":
        if not self.wanted and not self.everything:
            raise ValueError("name a service, model, segment, metric or view, or all")
        return self


class Replayed(BaseModel):
    """How many letters are on their input again, and how many came back too often for that."""

    replayed: int
    refused: int


class Switched(BaseModel):
    """Whether a candidate may be asked."""

    candidate: str
    stopped: bool


Asked = TypeVar("Asked", bound=_Asked)
Candidate = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]*$")]


class Hand:
    """Does one thing at a time: who presses twice has done it once and then again."""

    def __init__(self, desk: Desk, press: Press) -> None:
        self._desk, self._press, self._lock = desk, press, threading.Lock()

    async def do(
        self, request: Request, model: type[Asked], act: Callable[[Desk, By, Asked], Any]
    ) -> Response:
        """Read what is asked, do it, and answer a program with JSON and a form with its page."""
        body, form = await request.body(), is_form(request)
        asked = told(model, fields_of(body) if form else document_of(body or b"{}", SMALL_BYTES))
        try:
            done = await asyncio.to_thread(self._done, request, asked, act)
        except BadConfig:
            if form:  # the audit says it
                return RedirectResponse(_BACK, 303)
            raise
        if form:
            return RedirectResponse(_BACK, 303)
        return Response(as_json(done), media_type="application/json")

    def _done(self, request: Request, asked: Asked, act: Callable[[Desk, By, Asked], Any]) -> Any:
        by = By(request.scope["state"]["who"], "http", time.time(), getattr(asked, "why", ""))
        try:
            with self._lock:
                return act(self._desk, by, asked)
        finally:
            self._press.copies.forget()


def actions_of(desk: Desk, press: Press) -> APIRouter:
    """The routes."""
    router, hand = APIRouter(prefix="/api", tags=["actions"], responses=_FORM), Hand(desk, press)

    @router.post("/dead-letters/replay", response_model=Replayed, openapi_extra=_REPLAY)
    async def replay(request: Request) -> Response:
        """Put dead letters on their input again."""
        return await hand.do(request, Replay, _replay)

    @router.post("/candidates/{name}/stop", response_model=Switched, openapi_extra=_STOP)
    async def stop(request: Request, name: Candidate) -> Response:
        """Ask a candidate nothing more."""
        return await hand.do(request, Stop, lambda d, by, _: _switch(d, by, name, False))

    @router.post("/candidates/{name}/resume", response_model=Switched, openapi_extra=_RESUME)
    async def resume(request: Request, name: Candidate) -> Response:
        """Ask a candidate again."""
        return await hand.do(request, Resume, lambda d, by, _: _switch(d, by, name, True))

    @router.post("/rebaselines", response_model=dict[str, Any], openapi_extra=_REBASELINE)
    async def rebaseline(request: Request) -> Response:
        """Take a new baseline for series; what it came to, by source."""
        return await hand.do(request, Rebaseline, _rebaseline)

    return router


_FORM: dict[int | str, dict[str, Any]] = {303: {"description": "A form leads to its page."}}
_REPLAY, _STOP = body_of(Replay, form=True), body_of(Stop, form=True)
_RESUME, _REBASELINE = body_of(Resume, form=True), body_of(Rebaseline, form=True)


def _replay(desk: Desk, by: By, asked: Replay) -> dict[str, int]:
    return actions.replay(desk.store, desk.config, by, asked.reason)


def _switch(desk: Desk, by: By, name: str, on: bool) -> dict[str, Any]:
    actions.switch_candidate(desk.store, desk.config, by, name, on, "candidate")
    return {"candidate": name, "stopped": not on}


def _rebaseline(desk: Desk, by: By, asked: Rebaseline) -> dict[str, Any]:
    if desk.config.drift is None:
        raise HTTPException(422, "drift: is not configured")
    try:
        period = period_of(asked.source, asked.start, asked.end, ("from", "to"))
    except BadConfig as error:  # nothing was tried yet
        raise HTTPException(422, str(error)) from None
    return actions.rebaseline(desk.store, desk.config, by, asked.wanted, period)


def note_refusal(desk: Desk, who: str, path: str) -> None:
    """Leave word of who asked for what only an admin may; where that fails they are refused too."""
    said = "needs a token with the role admin"
    deed = Deed(time.time(), who, "http", "ask", quote(path)[:200], "", "refused", said)
    with suppress(StoreDown), desk.store.transaction() as tx:
        audit.begin(tx, deed)

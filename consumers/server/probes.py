"""/metrics, /livez and /readyz, as every process of ours answers them."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from consumers.exporter import render
from consumers.server.described import BEARER
from consumers.server.desk import Desk

_NOT_NOW: dict[int | str, dict[str, Any]] = {503: {"content": {"text/plain": {}}}}


def probes_of(desk: Desk) -> APIRouter:
    """The three routes."""
    router = APIRouter(tags=["probes"])
    health = desk.health

    @router.get("/metrics", response_class=PlainTextResponse, dependencies=[BEARER])
    def metrics(request: Request) -> Response:
        """What this process counted, for Prometheus."""
        desk.tally.health(health.state[0], health.progress_at)
        body, content_type = render(desk.tally, request.headers.get("accept", ""))
        return Response(body, media_type=content_type, headers={"Cache-Control": "no-store"})

    @router.get("/livez", response_class=PlainTextResponse, responses=_NOT_NOW)
    async def livez() -> Response:  # without a thread: those may all wait for a store
        """Whether the process makes progress."""
        alive = health.alive(desk.works())
        said = "ok" if alive else "no progress while work waits"
        return PlainTextResponse(f"{said}\n", 200 if alive else 503)

    @router.get("/readyz", response_class=PlainTextResponse, responses=_NOT_NOW)
    async def readyz() -> Response:
        """Whether what it depends on answers."""
        ready, why = health.state
        return PlainTextResponse(
            "ok\n" if ready else f"{why or 'not ready'}\n", 200 if ready else 503
        )

    return router

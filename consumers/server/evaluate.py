"""POST /evaluate: scores of texts that are sent along; nothing of them is stored."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from agent.config import Config
from agent.errors import BadRecord
from agent.record import Call, Feedback, Score
from consumers.formats import native
from consumers.server.asking import body_of, document_of, told
from consumers.server.bodies import Room, read_body, unpacked
from consumers.server.desk import Desk
from consumers.server.printing import as_json
from consumers.server.scoring import Answer, Scoring

# What a score depends on; a native record may say more, which changes none.
_READ = ("prompt", "response", "contexts", "reference")
_UNSAID = {"id": "-", "at": 0, "model": "-"}
_METRICS_MOST = 200
# Bodies that are read at once: one may hold some hundred megabytes once it is.
_THREADS = 2

_TEXT = {"type": ["string", "null"]}
_CONTENT = {"type": ["string", "null", "array"]}
_TURN = {
    "type": "object",
    "required": ["role"],
    "properties": {"role": {"type": "string"}, "content": _CONTENT},
}
_ITEM = {
    "type": "object",
    "properties": {
        "prompt": {"type": ["string", "null", "array"], "items": _TURN},
        "response": _TEXT,
        "contexts": {"type": ["array", "null"], "items": {"type": "string"}},
        "reference": _TEXT,
    },
}

_EITHER = {"anyOf": [_ITEM, {"type": "array", "minItems": 1, "items": _ITEM}]}

Items = Annotated[
    list[dict[str, Any]],
    Field(min_length=1, description="A native record or several; id, time and model do not count."),
    BeforeValidator(lambda given: [given] if isinstance(given, dict) else given),
    WithJsonSchema(_EITHER),
]
Metric = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,64}$")]


class Asked(BaseModel):
    """One item or several, and the metrics to take: all that a scorer gives when none is named."""

    model_config = ConfigDict(extra="forbid", strict=True)
    items: Items
    metrics: list[Metric] | None = Field(default=None, min_length=1, max_length=_METRICS_MOST)


class Given(BaseModel):
    """One score: a value in [0, 1], or why there is none, and which scorer says so."""

    value: float | None
    status: Literal["ok", "unscored", "invalid"]
    why: str | None
    version: str


class Evaluated(BaseModel):
    """The scores of one item by metric."""

    scores: dict[str, Given]


_PACKED: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is not the gzip that its Content-Encoding promises."},
    415: {"description": "Another Content-Encoding than gzip."},
}


def evaluation_of(desk: Desk, room: Room) -> APIRouter:
    """The route."""
    router, scoring = APIRouter(tags=["evaluate"]), desk.scoring
    threads = ThreadPoolExecutor(_THREADS, "evaluate-read")

    @router.post(
        "/evaluate", response_model=list[Evaluated], summary="Score items now",
        openapi_extra=body_of(Asked), responses=_PACKED,
    )  # fmt: skip
    async def evaluate(request: Request) -> Response:
        """Scores in the order of the items; a score lately taken of the same text is repeated."""
        encoding, loop = request.headers.get("content-encoding", ""), asyncio.get_running_loop()
        with room.share() as share:
            body = await read_body(request, share)

            def asked() -> tuple[list[Future[Answer]], list[str]]:
                calls, metrics = _read(body, encoding, desk.config, scoring)
                return scoring.ask(calls, metrics), metrics

            heard, metrics = await loop.run_in_executor(threads, asked)
        answers = await asyncio.gather(*map(asyncio.wrap_future, heard))
        versions = scoring.panel().metric_versions
        return Response(as_json(_told(answers, metrics, versions)), media_type="application/json")

    return router


def _read(
    body: bytes, encoding: str, config: Config, scoring: Scoring
) -> tuple[list[Call], list[str]]:
    """The items as calls and the metrics that are asked of them; 422 names what is wrong."""
    content = unpacked(body, encoding.strip().lower(), config.server.unpacked_bytes)
    asked = told(Asked, document_of(content, config.server.unpacked_bytes))
    items, most = asked.items, config.server.evaluate_calls
    known = scoring.panel().metric_versions
    if len(items) > most:
        raise HTTPException(422, f"items: are {len(items)}, and {most} may wait")
    for metric in asked.metrics or ():
        if metric not in known:
            raise HTTPException(422, f"metrics: no scorer that is on gives {metric}")
    metrics = list(dict.fromkeys(asked.metrics or known))
    return [_call(item, at, config) for at, item in enumerate(items)], metrics


def _call(item: dict[str, Any], at: int, config: Config) -> Call:
    try:
        found = native.call({key: item.get(key) for key in _READ} | _UNSAID, config, 0.0)
    except BadRecord as error:
        raise HTTPException(422, f"items.{at}.{error.detail}: {error.reason}") from None
    assert not isinstance(found, Feedback)  # no item is read for what makes it one
    return found


def _told(
    answers: Sequence[Mapping[str, Score]], metrics: Sequence[str], versions: Mapping[str, str]
) -> list[dict[str, Any]]:
    return [
        {"scores": {
            metric: {"value": answer[metric].value, "status": answer[metric].status,
                     "why": answer[metric].why, "version": versions[metric]}
            for metric in metrics
        }}
        for answer in answers
    ]  # fmt: skip

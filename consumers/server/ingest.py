"""Logs over HTTP: native, LiteLLM and OTLP, durable before they are answered with a 2xx.

Every record reaches the inbox or the topic, also one that cannot be read: the worker sets it aside,
and its client is told so here. Both read it by the same parser, at the same time of arrival.
"""

import asyncio
import io
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from agent.broker import Format
from agent.config import Config
from agent.errors import BadRecord, StoreDown
from agent.record import Call, Feedback, Half, Item, Reject
from consumers.files import split_records
from consumers.formats import otlp_answers, parse
from consumers.formats.otlp_answers import JSON, PROTOBUF, Signal
from consumers.pump.sender import key_of
from consumers.server.bodies import MARKS, Room, read_body, unpacked
from consumers.server.desk import Desk
from consumers.server.printing import as_json
from consumers.server.problems import later
from consumers.server.sinks import Batch

# A body of small records holds millions; so many take some seconds to read.
_RECORDS = 100_000
# Refusals that an answer lists; the dead letters have them all.
_LISTED = 100
# Bodies that are read at once, beside the event loop: one is bytes and Python, so two cores.
_THREADS = 2

_CALL = {"type": "object", "required": ["id", "at", "model"], "properties": {
    "id": {"type": "string", "maxLength": 128}, "at": {"type": ["number", "string"]},
    "model": {"type": "string"}, "service": {"type": "string"}, "prompt": {},
    "response": {"type": "string"},
}}  # fmt: skip
_PAYLOAD = {"type": "object", "description": "LiteLLM's StandardLoggingPayload."}
_MESSAGE = {"type": "object", "description": "An OTLP export request."}
_KEPT = {"description": "What became of the body.", "content": {JSON: {"schema": {
    "type": "object", "required": ["accepted", "refused", "rejected"], "properties": {
        "accepted": {"type": "integer"}, "refused": {"type": "integer"},
        "rejected": {"type": "array", "items": {"type": "object"}},
    },
}}}}  # fmt: skip
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _KEPT,
    400: {"description": "No call in the body can be read, or the body itself."},
    415: {"description": "Another Content-Encoding than gzip, or another Content-Type."},
}
_MESSAGES: dict[str, Any] = {"requestBody": {"required": True, "content": {
    JSON: {"schema": _MESSAGE}, PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
}}}  # fmt: skip
# An exporter is told in its own words, and not in a line of ours.
_OTLP_ANSWERS = _ANSWERS | {
    200: {"description": "An OTLP export response."},
    413: {"description": "The message is too large."},
    503: {"description": "Cannot be made durable now; Retry-After says when to come again."},
}


def _lines(one: dict[str, Any]) -> dict[str, Any]:
    """How a body of such records is described."""
    content = {
        JSON: {"schema": {"anyOf": [{"type": "array", "items": one}, one]}},
        "application/x-ndjson": {"schema": {"type": "string"}},
    }
    return {"requestBody": {"required": True, "content": content}}


Read = Callable[[bytes, Format, Config, float], "Found"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that cannot be read, and the index of its record in the body."""

    index: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a body: calls taken to be scored, and those refused, the first hundred listed.

    All of it was kept: what was refused is with the dead letters.
    """

    accepted: int
    refused: int
    rejected: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a body holds; `unread` where none of it could be told apart into calls."""

    batch: Batch
    taken: Taken
    unread: bool


def found_in(content: bytes, format: Format, config: Config, arrival: float) -> Found:
    """Records one call each, of NDJSON, of an array, or of one document."""
    found = split_records(io.BufferedReader(io.BytesIO(content)), MARKS)
    try:
        values = list(itertools.islice(found, _RECORDS + 1))
    except BadRecord as error:
        raise HTTPException(413, f"the body has {error.detail}; send a record a line") from None
    if not values:
        raise HTTPException(400, "the body holds no record")
    if len(values) > _RECORDS:
        raise HTTPException(413, f"a body has at most {_RECORDS} records here")
    return _found(values, format, config, arrival)


def found_whole(content: bytes, format: Format, config: Config, arrival: float) -> Found:
    """One record: what belongs together in an OTLP message is told by its neighbours."""
    return _found([content] if content.strip() not in (b"", b"{}") else [], format, config, arrival)


def _found(values: list[bytes], format: Format, config: Config, arrival: float) -> Found:
    records, refused, accepted, unread = [], [], 0, bool(values)
    for index, value in enumerate(values):
        items = parse(value, format, config, arrival)
        rejects = [item for item in items if isinstance(item, Reject)]
        refused += [Refused(index, one.reason, one.detail) for one in rejects]
        accepted += len(items) - len(rejects)
        unread &= any(one.scope == "record" for one in rejects)
        records.append((_key(items, value), value))
    taken = Taken(accepted, len(refused), tuple(refused[:_LISTED]))
    return Found(Batch(format, arrival, records), taken, unread)


def _key(items: list[Item], value: bytes) -> bytes:
    """What a record is ordered by: its unit, session or call."""
    for item in items:
        call = item.call if isinstance(item, Half) else item
        if isinstance(call, Call):
            return (call.unit or call.session or call.id).encode()
        if isinstance(call, Feedback):
            return call.call_id.encode()
    return key_of(value)


class Intake:
    """Takes bodies apart and puts what is in them where it is durable."""

    def __init__(self, desk: Desk, room: Room) -> None:
        self._desk, self._room = desk, room
        self._threads = ThreadPoolExecutor(_THREADS, "ingest")

    async def take(self, request: Request, format: Format, read: Read) -> Found:
        """Take a request's body in.

        Raises HTTPException for a body that is not taken, and StoreDown where it cannot be now.
        """
        desk, server = self._desk, self._desk.config.server
        desk.sink.check()
        with self._room.share() as share:
            body = await read_body(request, share)
            encoding = request.headers.get("content-encoding", "").strip().lower()

            def taken_apart() -> Found:
                content = unpacked(body, encoding, server.unpacked_bytes)
                return read(content, format, desk.config, desk.clock())

            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._threads, taken_apart)
            share.take(sum(len(value) for _, value in found.batch.records))
            if found.batch.records:
                await desk.sink.put(found.batch)
        self._count(format, found.taken)
        return found

    def _count(self, format: Format, taken: Taken) -> None:
        for outcome, n in (("accepted", taken.accepted), ("refused", taken.refused)):
            self._desk.tally.count("vedette_ingest_calls_total", (format, outcome), n)


def ingest_of(desk: Desk, room: Room) -> APIRouter:
    """The routes that take logs in."""
    router, intake = APIRouter(tags=["ingest"]), Intake(desk, room)

    @router.post("/ingest", openapi_extra=_lines(_CALL), responses=_ANSWERS)
    async def native(request: Request) -> Response:
        """Native records, as NDJSON, an array or one object; 400 where none of them can be read."""
        found = await intake.take(request, "native", found_in)
        status = 200 if found.taken.accepted else 400
        return Response(as_json(found.taken), status, media_type=JSON)

    @router.post("/ingest/litellm", openapi_extra=_lines(_PAYLOAD), responses=_ANSWERS)
    async def litellm(request: Request) -> Response:
        """What LiteLLM's generic_api callback posts: NDJSON, an array or one payload."""
        found = await intake.take(request, "litellm", found_in)
        return Response(as_json(found.taken), media_type=JSON)

    @router.post("/v1/traces", openapi_extra=_MESSAGES, responses=_OTLP_ANSWERS)
    async def traces(request: Request) -> Response:
        """Spans of an OTLP exporter; those that are no calls of a model are left out."""
        return await _otlp(intake, request, "traces")

    @router.post("/v1/logs", openapi_extra=_MESSAGES, responses=_OTLP_ANSWERS)
    async def logs(request: Request) -> Response:
        """Log events of an OTLP exporter, which are put together with their spans."""
        return await _otlp(intake, request, "logs")

    return router


async def _otlp(intake: Intake, request: Request, signal: Signal) -> Response:
    """The answer that the protocol asks for, errors too."""
    encoding = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if encoding not in (PROTOBUF, JSON):
        raise HTTPException(415, f"Content-Type must be {PROTOBUF} or {JSON}")
    try:
        found = await intake.take(request, "otlp", found_whole)
    except HTTPException as error:
        body = otlp_answers.status(encoding, error.detail)
        return Response(body, error.status_code, error.headers, encoding)
    except StoreDown as error:
        return Response(
            otlp_answers.status(encoding, str(error)), 503, later(error.retry_after_s), encoding
        )
    why = "; ".join(sorted({f"{r.reason} {r.detail}".strip() for r in found.taken.rejected}))
    if found.unread:
        return Response(otlp_answers.status(encoding, why), 400, media_type=encoding)
    answer = otlp_answers.response(signal, encoding, found.taken.refused, why)
    return Response(answer, media_type=encoding)

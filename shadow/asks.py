"""An ask as bytes: what the scorers write to the requests topic and the dispatcher reads."""

from typing import Any, TypeVar

import orjson

from agent.errors import BadRecord
from agent.record import Ask, Call, Message

T = TypeVar("T")

# The fields of a call that an ask carries: of the answer that production gave only a judge's.
_TEXTS = ("id", "model", "service", "unit", "session", "prompt", "reference")
_OPTIONAL = ("unit", "session", "prompt", "reference")
_YEAR_2100 = 4_102_444_800.0
_TICKET_BYTES = 16


def to_bytes(ask: Ask) -> bytes:
    """JSON of what a dispatcher needs, a judge's with the answer.

    Raises BadRecord for a text or number that JSON lacks.
    """
    call = ask.call
    told = {name: getattr(call, name) for name in _TEXTS}
    body = told | {
        "at": call.at,
        "segment": call.segment,
        "messages": [(turn.role, turn.content) for turn in call.messages],
        "contexts": call.contexts,
        "parameters": dict(call.parameters),
    }
    if ask.judge:
        body["response"] = call.response
    held = {name: value for name, value in body.items() if value not in (None, (), [], {})}
    try:
        return orjson.dumps({"ticket": ask.ticket.hex(), "candidate": ask.candidate, "call": held})
    except (TypeError, RecursionError):
        raise BadRecord("encoding") from None


def from_bytes(value: bytes | None) -> Ask:
    """Read what `to_bytes` wrote; raises BadRecord for anything else."""
    if not value:
        raise BadRecord("empty")
    try:
        document = _is(orjson.loads(value), dict, "not_an_object")
    except orjson.JSONDecodeError:
        raise BadRecord("json") from None
    call = _is(document.get("call"), dict, "not_an_object")
    judge = "response" in call
    return Ask(_ticket(document.get("ticket")), _text(document, "candidate"), _call(call), judge)


def _call(held: dict[str, Any]) -> Call:
    at = held.get("at", -1)
    if type(at) not in (int, float) or not 0 <= at <= _YEAR_2100:
        raise BadRecord("bad_time")
    texts: dict[str, Any] = {name: _text(held, name) for name in _TEXTS if name not in _OPTIONAL}
    texts |= {name: _text(held, name) for name in (*_OPTIONAL, "response") if name in held}
    return Call(
        **texts,
        at=float(at),
        segment=tuple(_pair(one) for one in _is(held.get("segment", []), list, "bad_text")),
        messages=tuple(
            Message(*_pair(one)) for one in _is(held.get("messages", []), list, "bad_text")
        ),
        contexts=tuple(
            _is(one, str, "bad_text") for one in _is(held.get("contexts", []), list, "bad_text")
        ),
        parameters=tuple(_is(held.get("parameters", {}), dict, "bad_value").items()),
    )


def _ticket(value: Any) -> bytes:
    try:
        ticket = bytes.fromhex(_is(value, str, "bad_id"))
    except ValueError:
        raise BadRecord("bad_id", "ticket") from None
    if len(ticket) != _TICKET_BYTES:
        raise BadRecord("bad_id", "ticket")
    return ticket


def _text(held: dict[str, Any], name: str) -> str:
    found = held.get(name)
    if not isinstance(found, str):
        raise BadRecord("bad_text", name)
    return found


def _pair(value: Any) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:
        raise BadRecord("bad_text")
    return _is(value[0], str, "bad_text"), _is(value[1], str, "bad_text")


def _is(value: Any, kind: type[T], reason: str) -> T:
    if not isinstance(value, kind):
        raise BadRecord(reason)
    return value

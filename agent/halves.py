"""The two sides of an OTLP call, its span and its log events, put together."""

from dataclasses import fields, replace
from typing import Any

from agent.record import Call, Half

_DEFAULTS = {field.name: field.default for field in fields(Call)}
# Never taken from the other side.
_OWN = ("id", "at", "flags")


def join(span: Half, log: Half) -> Call:
    """The whole call: what the span says wins, the log events fill what it left open."""
    return _fill(span.call, log.call)


def merge_logs(a: Half, b: Half) -> Half:
    """The log events of one call that came in two records, in the order of their times.

    Two sides that start at the same instant are one record delivered twice, and the fuller one
    stays: their texts may differ, because the one that waited in the store was redacted.
    """
    first, then = sorted((a, b), key=_order)
    if first.call.at == then.call.at:
        return then
    turns = first.call.messages + then.call.messages
    users = [turn.content for turn in turns if turn.role == "user"]
    call = _fill(first.call, then.call)
    prompt = (users[-1] or None) if users else call.prompt
    return replace(first, call=replace(call, messages=turns, prompt=prompt))


def _order(half: Half) -> tuple[Any, ...]:
    call = half.call
    return (call.at, len(call.messages), call.response is not None, repr(call))


def _fill(call: Call, other: Call) -> Call:
    found = {
        name: getattr(other, name)
        for name, default in _DEFAULTS.items()
        if name not in _OWN and getattr(call, name) in (default, "")
    }
    return replace(call, **found, flags=tuple(sorted({*call.flags, *other.flags})))

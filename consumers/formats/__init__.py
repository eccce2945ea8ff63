"""The formats that are read: bytes to calls, halves, feedback and rejects; nothing here raises.

A new format is one module and one row in `FORMATS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_args

from agent.broker import Format
from agent.config import Config
from agent.errors import BadRecord
from agent.record import Call, Half, Item, Reject
from consumers.formats import documents, litellm, native, otlp, otlp_json, otlp_proto

# OTLP/JSON spends four brackets on a level of a value that JSON spends one on.
_OTLP_DEPTH = 4

# What took a record in over HTTP knows its format and says it in this header.
HEADER = "vedette-format"
_SAID: dict[bytes, Format] = {name.encode(): name for name in get_args(Format)}

Parser = Callable[[Any, Config, float], Item]


def _native(document: Any, config: Config, arrival: float) -> list[Item]:
    return _each(document, native.call, config, arrival)


def _litellm(document: Any, config: Config, arrival: float) -> list[Item]:
    return _each(document, litellm.call, config, arrival)


def _otlp(document: Any, config: Config, arrival: float) -> list[Item]:
    return otlp.items(otlp_json.read(document), config, arrival)


FORMATS: dict[Format, Callable[[Any, Config, float], list[Item]]] = {
    "native": _native,
    "litellm": _litellm,
    "otlp": _otlp,
}


def parse(value: bytes, topic_format: Format, config: Config, arrival: float) -> list[Item]:
    """Everything that one record holds.

    A value that cannot be read is one reject with scope "record"; a call that cannot be read is a
    reject with scope "call" among its neighbours.
    """
    try:
        return _parse(value, topic_format, config, arrival)
    except BadRecord as error:
        return [Reject(error.reason, error.detail, "record")]
    except Exception as error:
        # A defect of ours sets one record aside, by its name only: the message may quote a text.
        return [Reject("internal", type(error).__name__, "record")]


def said(headers: Sequence[tuple[str, bytes]]) -> Format | None:
    """The format that a record's headers say it has."""
    return next((_SAID.get(value) for name, value in headers if name == HEADER), None)


def _parse(value: bytes, topic_format: Format, config: Config, arrival: float) -> list[Item]:
    documents.check_size(value, config.limits.record_bytes)
    if topic_format in ("auto", "otlp") and documents.is_protobuf(value):
        return otlp.items(otlp_proto.read(value), config, arrival)
    try:
        document, repaired = documents.load(value)
    except BadRecord:
        # LiteLLM posts its batches as NDJSON too; elsewhere a second document is an error.
        document, repaired = documents.load_lines(value)
        if document is None or _chosen(topic_format, document) != "litellm":
            raise
    chosen = _chosen(topic_format, document)
    depth = config.limits.depth * (_OTLP_DEPTH if chosen == "otlp" else 1)
    documents.check_depth(value, document, depth)
    found = FORMATS[chosen](document, config, arrival)
    return [_sanitised(item) for item in found] if repaired else found


def _sanitised(item: Item) -> Item:
    if isinstance(item, Half):
        return replace(item, call=_flagged(item.call))
    return _flagged(item) if isinstance(item, Call) else item


def _flagged(call: Call) -> Call:
    return replace(call, flags=tuple(sorted({*call.flags, "sanitised"})))


def _chosen(topic_format: Format, document: Any) -> Format:
    return _format_of(document) if topic_format == "auto" else topic_format


def _format_of(document: Any) -> Format:
    """The format that a document looks like; "native" when nothing speaks for another."""
    rows = document if isinstance(document, list) else [document]
    first = next((row for row in rows if isinstance(row, dict)), {})
    if any(root in first for root in otlp_json.ROOTS):
        return "otlp"
    return "litellm" if litellm.is_litellm(first) else "native"


def _each(document: Any, read: Parser, config: Config, arrival: float) -> list[Item]:
    if isinstance(document, list):
        return [_one(row, read, config, arrival) for row in document]
    if isinstance(document, dict):
        return [_one(document, read, config, arrival)]
    raise BadRecord("not_an_object")


def _one(row: Any, read: Parser, config: Config, arrival: float) -> Item:
    try:
        if type(row) is dict:
            return read(row, config, arrival)
        raise row if isinstance(row, BadRecord) else BadRecord("not_an_object")
    except BadRecord as error:
        return Reject(error.reason, error.detail)

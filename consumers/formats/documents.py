"""Bytes to JSON documents: byte cap, encoding, depth; the one JSON parser of the whole path.

A key that is given twice keeps its last value. Because nothing else in the path reads JSON, no
second reader can see the first one.
"""

import re
from typing import Any

import orjson

from agent.errors import BadRecord

# orjson refuses above 1,024 levels by itself; its two messages for it:
_TOO_DEEP = ("depth limit exceeded", "failed to allocate memory")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf)", re.IGNORECASE)
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
# Bytes that no JSON text may hold; every OTLP message with a span or a log holds the tag 0x12.
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
# Enough to reach the tag 0x12 behind a resource with its first attribute.
_HEAD_BYTES = 4096


def check_size(value: bytes, most: int) -> None:
    """Refuse an empty value and one above the byte cap, before anything reads it."""
    if len(value) > most:
        raise BadRecord("too_large", f"{len(value)} bytes")
    if not value or value.isspace():
        raise BadRecord("empty")


def is_protobuf(value: bytes) -> bool:
    """Whether the value is an OTLP message: field 1, and bytes that no JSON text may hold."""
    return value[:1] == b"\n" and _CONTROLS.search(value, 0, _HEAD_BYTES) is not None


def load(value: bytes | str) -> tuple[Any, bool]:
    """One JSON document, and whether lone surrogates had to be replaced to read it."""
    try:
        return orjson.loads(value), False
    except orjson.JSONDecodeError as error:
        message, position = error.msg, error.pos
    data = value.encode() if isinstance(value, str) else value
    if "surrogate in string" in message:
        try:
            return orjson.loads(_ESCAPE.sub(_replace_lone, data)), True
        except orjson.JSONDecodeError as error:
            message, position = error.msg, error.pos
    raise BadRecord(_reason(data, message, position), f"{message} at {position}"[:120])


def load_lines(value: bytes) -> tuple[list[Any] | None, bool]:
    """The documents of an NDJSON value, a BadRecord in the place of each that cannot be read.

    None when it is no NDJSON: fewer than two lines, or no line that holds an object.
    """
    lines = [line for line in value.split(b"\n") if line and not line.isspace()]
    documents: list[Any] = []
    repaired = False
    for line in lines:
        try:
            document, mended = load(line)
        except BadRecord as error:
            document, mended = error, False
        documents.append(document)
        repaired |= mended
    if len(lines) < 2 or not any(isinstance(document, dict) for document in documents):
        return None, False
    return documents, repaired


def check_depth(value: bytes, document: Any, most: int) -> None:
    """Refuse a document nested deeper than `most`; walks only where the brackets could reach it."""
    if not _opens_more(value, most):
        return
    level = [document]
    for _ in range(most):
        level = [child for node in level for child in _containers(node)]
        if not level:
            return
    raise BadRecord("too_deep", f"more than {most} levels")


def _opens_more(value: bytes, most: int) -> bool:
    # Few brackets are found faster one by one than the bytes between them are counted.
    for bracket in (b"{", b"["):
        at = value.find(bracket)
        while at >= 0 and most >= 0:
            most -= 1
            at = value.find(bracket, at + 1)
    return most < 0


def _containers(node: Any) -> list[Any]:
    children = node.values() if isinstance(node, dict) else node
    return [child for child in children if isinstance(child, (dict, list))]


def _replace_lone(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[1] else escape[0]


def _reason(data: bytes, message: str, position: int) -> str:
    if message in _TOO_DEEP:
        return "too_deep"
    if "BOM" in message or "UTF-8" in message or b"\0" in data[:4]:
        return "encoding"
    # The parser counts characters, not bytes.
    text = data.decode("utf-8", "replace")
    if "infinity" in message or _NOT_FINITE.match(text, position):
        return "non_finite"
    return "json"

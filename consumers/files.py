"""Records out of a file or of stdin, one at a time, as their bytes."""

import gzip
import io
import os
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agent.broker import Format
from agent.errors import BadConfig, BadRecord
from consumers.formats import documents

_GZIP = b"\x1f\x8b"
_HEAD_BYTES = 4096
# A longer line is cut here: the parser refuses what is left of it by its size.
LINE_BYTES = 64 << 20
# How the first line of a document that goes on over more lines ends.
_OPEN_ENDS = (b"{", b"[", b",", b":")
# Possessive, and content with a missing quote: linear on whatever is in the file.
_TOKEN = re.compile(rb'"(?:[^"\\]+|\\.)*+"?|[\[\]{},]', re.DOTALL)


def read_records(path: str, format: Format) -> Iterator[bytes]:
    """The records of a file, or of stdin for "-", which may be gzip.

    A file that is not there is refused at once, before a model is loaded for it.

    NDJSON gives a record a line and is not held in memory; a JSON array gives its elements; other
    JSON text its documents, over however many lines; an OTLP protobuf file is one record.
    """
    try:
        if path != "-":
            os.stat(path)
    except OSError as error:
        raise _unread(path, error) from None
    return _records(path, format)


def _unread(path: str, error: Exception) -> BadConfig:
    return BadConfig(path, f"cannot be read ({type(error).__name__})")


def _records(path: str, format: Format) -> Iterator[bytes]:
    try:
        with _opened(path) as stream:
            head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
            named = path.removesuffix(".gz").endswith(".pb")
            if format in ("auto", "otlp") and (named or documents.is_protobuf(head)):
                yield from filter(None, [stream.read()])
            else:
                yield from split_records(stream)
    except (OSError, EOFError, zlib.error) as error:
        raise _unread(path, error) from None


@contextmanager
def _opened(path: str) -> Iterator[io.BufferedReader]:
    if path == "-":
        stdin: Any = sys.stdin.buffer
        # A pipe's own reader is kept: a second one around it would wait for a full buffer.
        buffered = isinstance(stdin, io.BufferedReader)
        yield _unpacked(stdin if buffered else io.BufferedReader(stdin))
    else:
        with open(path, "rb") as stream:
            yield _unpacked(stream)


def _unpacked(stream: io.BufferedReader) -> io.BufferedReader:
    if stream.peek(2)[:2] != _GZIP:
        return stream
    return io.BufferedReader(gzip.GzipFile(fileobj=stream))


def split_records(stream: io.BufferedReader, most: int | None = None) -> Iterator[bytes]:
    """The records of JSON text: its lines, the elements of an array, or its documents.

    Raises BadRecord where no line is a record and there are more than `most` brackets, commas and
    strings: each costs some 0.3 us.
    """
    lines = _lines(stream)
    first = next(lines, b"")
    if first.startswith(b"[") or first.endswith(_OPEN_ENDS):
        yield from _split(first + b"\n" + stream.read(), most)
        return
    if first:
        yield first
    yield from lines


def _lines(stream: io.BufferedReader) -> Iterator[bytes]:
    whole = True
    while line := stream.readline(LINE_BYTES):
        starts, whole = whole, line.endswith(b"\n")
        if starts and (line := line.strip(b" \t\r\n")):
            yield line


def _split(data: bytes, most: int | None) -> Iterator[bytes]:
    """The documents of a text; of one that is an array, its elements."""
    start = depth = 0
    base = 0  # the depth that a record stands at: 1 inside an array
    for count, token in enumerate(_TOKEN.finditer(data)):
        if count == most:
            raise BadRecord("too_large", f"more than {most} brackets, commas and strings")
        mark = token[0]
        if mark in (b"[", b"{"):
            if depth == 0:
                base = int(mark == b"[")
                yield from _solid(data[start : token.start()])
                start = token.end() if base else token.start()
            depth += 1
        elif mark in (b"]", b"}"):
            depth = max(depth - 1, 0)
            if depth == 0:
                yield from _solid(data[start : token.start() if base else token.end()])
                start = token.end()
        elif mark == b"," and base and depth == 1:
            yield from _solid(data[start : token.start()])
            start = token.end()
    yield from _solid(data[start:])


def _solid(piece: bytes) -> Iterator[bytes]:
    if piece := piece.strip():
        yield piece

"""Bodies of requests within bounds: unpacked, and all that are held at once."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette.exceptions import HTTPException

from agent.errors import StoreDown
from agent.serving import Server

# Bodies of the largest size that are held at once.
_BODIES = 4
# Brackets and commas of a body that is read as one document: a kilobyte of gzip holds a million,
# and each may come to 70 bytes once it is read.
MARKS = 2_000_000
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Room:
    """So many bytes of bodies may be held at once; used by one event loop."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """What one request holds; given back when the block ends."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.held

    def take(self, size: int) -> None:
        """Hold so many bytes more; raises StoreDown where there is no room for them."""
        if self._held + size > self._most:
            raise StoreDown("no room: too many bodies are being read", 1.0)
        self._held += size


class Share:
    """What one request holds of the room."""

    def __init__(self, room: Room) -> None:
        self._room, self.held = room, 0

    def take(self, size: int) -> None:
        """Hold so many bytes more."""
        self._room.take(size)
        self.held += size


def room_of(server: Server) -> Room:
    """Room for some of the largest bodies."""
    return Room(_BODIES * (server.body_bytes + server.unpacked_bytes))


async def read_body(request: Request, share: Share) -> bytes:
    """The body as it was sent; raises StoreDown where there is no room for it."""
    parts = bytearray()
    async for part in request.stream():
        share.take(len(part))
        parts += part
    return bytes(parts)


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """The content of a body with a Content-Encoding.

    Raises HTTPException: 413 above `most` bytes, 415 for another encoding than gzip, and 400 for a
    body that is none.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        accepted = {"Accept-Encoding": "gzip"}
        raise HTTPException(415, "the only Content-Encoding is gzip", accepted)
    member = zlib.decompressobj(_GZIP_WINDOW)
    try:
        content = member.decompress(body, most + 1)
    except zlib.error:
        raise HTTPException(400, "the body is no gzip") from None
    if len(content) > most:
        raise HTTPException(413, f"an unpacked body has at most {most} bytes here")
    if not member.eof or member.unused_data:
        raise HTTPException(400, "the body is not one whole gzip")
    return content

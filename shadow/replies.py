"""What an endpoint said, whole or as a stream of events, down to text and counts."""

import codecs
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from shadow.addresses import Refused

_MOST_TOKENS = 10**9  # what a native record takes
_WORD_CHARS = 128


@dataclass
class Reply:
    """What was read so far; None is what nobody said."""

    text: str | None = None
    finish: str | None = None
    ttft_s: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    _parts: list[str] = field(default_factory=list)
    _chars: int = 0

    def add(self, text: str, most: int, clock: Callable[[], float]) -> None:
        """A part of the answer; raises Refused beyond `most` characters in all."""
        if text and self.ttft_s is None:
            self.ttft_s = clock()
        self._chars += len(text)
        if self._chars > most:
            raise Refused("too_large")
        self._parts.append(text)

    def usage(self, told: Any) -> None:
        """The counts, where they are counts."""
        if isinstance(told, dict):
            self.tokens_in = _tokens(told.get("prompt_tokens"))
            self.tokens_out = _tokens(told.get("completion_tokens"))
            self.cost_usd = _money(told.get("cost"))

    def done(self) -> "Reply":
        """Its parts put together; raises Refused where there was no text (a tool call)."""
        if self._parts:
            self.text = "".join(self._parts)
        if self.text is None or (not self.text and self.finish == "tool_calls"):
            raise Refused("no_text")
        return self


def read_whole(body: bytes) -> Reply:
    """A chat completion in one document."""
    document = _document(body)
    reply = Reply()
    choice = _choice(document)
    message = choice.get("message")
    if isinstance(message, dict):
        reply.text = _said(message)
    reply.finish = _word(choice.get("finish_reason"))
    reply.usage(document.get("usage"))
    return reply.done()


async def read_events(chunks: AsyncIterator[bytes], most: int, clock: Callable[[], float]) -> Reply:
    """A stream of server-sent events up to `[DONE]`; `clock` gives seconds since the request.

    Raises Refused when it ends early: neither `[DONE]` nor a reason to finish was there.
    """
    reply = Reply()
    async for data in _events(chunks, most):
        if data == b"[DONE]":
            return reply.done()
        document = _document(data)
        if document.get("error") is not None:
            raise Refused("server_error")
        reply.usage(document.get("usage"))
        choice = _choice(document) if document.get("choices") else {}
        delta = choice.get("delta")
        said = _said(delta) if isinstance(delta, dict) else None
        if said is not None:
            reply.add(said, most, clock)
        reply.finish = _word(choice.get("finish_reason")) or reply.finish
    if reply.finish is None:
        raise Refused("cut")
    return reply.done()


async def _events(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """The data of each event; OpenAI writes it in one line."""
    rest, first = bytearray(), True
    async for chunk in chunks:
        rest += chunk
        if b"\n" in chunk:
            *lines, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            if first:
                lines[0], first = lines[0].removeprefix(codecs.BOM_UTF8), False
            for line in lines:
                if line.startswith(b"data:"):
                    yield line[5:].strip()
        if len(rest) > most:
            raise Refused("too_large")


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused("bad_json") from None
    if not isinstance(found, dict):
        raise Refused("bad_json")
    return found


def _choice(document: dict[str, Any]) -> dict[str, Any]:
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Refused("bad_json")
    return choices[0]


def _said(message: dict[str, Any]) -> str | None:
    """The text; a refusal that has a field of its own is what the user reads."""
    for name in ("content", "refusal"):
        if isinstance(message.get(name), str):
            return str(message[name])
    return None


def _word(value: Any) -> str | None:
    return value[:_WORD_CHARS] if isinstance(value, str) and value else None


def _tokens(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _money(value: Any) -> float | None:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= 1e9:
        return None
    return float(value)

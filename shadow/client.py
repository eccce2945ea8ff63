"""A candidate behind an OpenAI-compatible endpoint: one question, one answer, no second try.

The transport of httpx and not its client: no redirects are followed, no cookies kept, no proxy is
taken from the environment, and no address is logged.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from agent.errors import BadConfig
from agent.record import Answer, Call
from agent.shadows import Candidate
from shadow.addresses import Refused, resolve
from shadow.candidates import answer_tokens, turns_of
from shadow.replies import Reply, read_events, read_whole

# Sent on as production sent them. `n` is not: only the first answer is compared; nor are tools.
SAMPLING = frozenset({
    "temperature", "top_p", "top_k", "min_p", "seed", "stop", "max_tokens",
    "max_completion_tokens", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "logit_bias", "response_format", "reasoning_effort", "verbosity",
})  # fmt: skip
MARK = "x-vedette-shadow"
_CONNECT_S = 10.0
# Servers hang up on an idle connection, uvicorn after 5 s; the call that meets it would fail.
_IDLE_S = 2.0
# An event of a stream spends some 300 bytes on a token that has 4.
_STREAM_OVERHEAD = 80


class Endpoint:
    """An OpenAI-compatible address; raises BadConfig for a key that cannot be read or sent.

    `where` is the configuration's key that holds the candidate.
    """

    def __init__(self, where: str, candidate: Candidate) -> None:
        assert candidate.url is not None
        self._candidate = candidate
        self._url = httpx.URL(candidate.url.rstrip("/") + "/chat/completions")
        parts = urlsplit(candidate.url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._headers = {
            "host": parts.netloc,
            "user-agent": f"vedette/{version('vedette')}",
            MARK: "1",
            "content-type": "application/json",
            "accept": _accepted(candidate),
            # What is not packed cannot unpack to more than it was.
            "accept-encoding": "identity",
            **_authorised(where, candidate),
        }
        limits = httpx.Limits(max_connections=candidate.concurrency, keepalive_expiry=_IDLE_S)
        context = httpx.create_ssl_context()
        self._transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)

    async def ask(self, call: Call) -> Answer:
        """Ask; every failure is an answer with status error or timeout and one word."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._candidate.timeout_s):
                reply = await self._exchange(call, began)
        except (TimeoutError, httpx.TimeoutException):
            return Answer("timeout", error="timeout", latency_s=time.perf_counter() - began)
        except Exception as error:  # whatever a library raises, the dispatcher goes on
            return Answer("error", error=_word(error), latency_s=time.perf_counter() - began)
        return Answer(
            "ok",
            text=reply.text,
            finish=reply.finish,
            latency_s=time.perf_counter() - began,
            ttft_s=reply.ttft_s,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            cost_usd=reply.cost_usd,
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._transport.aclose()

    async def _exchange(self, call: Call, began: float) -> Reply:
        body = orjson.dumps(_body(call, self._candidate))
        addresses = await resolve(self._host, self._port, self._candidate.private)
        response = await self._connected(addresses, body)
        try:
            _check(response, self._candidate.stream)
            most = self._candidate.answer_bytes
            if self._candidate.stream:
                chunks = _capped(response.aiter_raw(), most * _STREAM_OVERHEAD)
                return await read_events(chunks, most, lambda: time.perf_counter() - began)
            return read_whole(b"".join([one async for one in _capped(response.aiter_raw(), most)]))
        finally:
            await response.aclose()

    async def _connected(self, addresses: list[str], body: bytes) -> httpx.Response:
        """Send to the first address that lets us connect; one that took the request is the last."""
        for address in addresses:
            request = httpx.Request(
                "POST",
                self._url.copy_with(host=address),
                headers=self._headers,
                content=body,
                extensions={"sni_hostname": self._host, "timeout": self._patience()},
            )
            try:
                return await self._transport.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        raise Refused("connect")

    def _patience(self) -> dict[str, float]:
        wait_s = self._candidate.timeout_s
        return {"connect": min(_CONNECT_S, wait_s), "read": wait_s, "write": wait_s, "pool": wait_s}


def _accepted(candidate: Candidate) -> str:
    return "text/event-stream" if candidate.stream else "application/json"


def _authorised(where: str, candidate: Candidate) -> dict[str, str]:
    where = f"{where}.{'key' if candidate.key_file is None else 'key_file'}"
    try:
        file = candidate.key_file.read_text().strip() if candidate.key_file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(where, f"cannot be read ({type(error).__name__})") from None
    key = candidate.key.get_secret_value() if candidate.key is not None else file
    if not key and candidate.key_file is None:
        return {}
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise BadConfig(where, "holds no key: it must be printable ASCII on one line")
    return {"authorization": f"Bearer {key}"}


def _body(call: Call, candidate: Candidate) -> dict[str, Any]:
    body = {name: value for name, value in call.parameters if name in SAMPLING}
    named = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    body |= {"model": candidate.model, "messages": turns_of(call), "stream": candidate.stream}
    body.pop("max_tokens", None)  # a server that knows only this name would go by it
    body[named] = answer_tokens(call, candidate.answer_tokens)
    if candidate.stream:
        body["stream_options"] = {"include_usage": True}
    return body


def _check(response: httpx.Response, stream: bool) -> None:
    status = response.status_code
    if status != 200:
        words = {3: "redirect", 4: "refused", 5: "server_error"}
        raise Refused("rate_limited" if status == 429 else words.get(status // 100, "bad_status"))
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refused("encoded")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != ("text/event-stream" if stream else "application/json"):
        raise Refused("wrong_type")


async def _capped(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise Refused("too_large")
        yield chunk


def _word(error: Exception) -> str:
    if isinstance(error, Refused):
        return error.word
    if isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError):
        return "reset"
    return "connect" if isinstance(error, httpx.TransportError) else "internal"

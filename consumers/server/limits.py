"""How much one client gets: requests in a second, and bytes of a request."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Clients that are told apart at a time.
_CLIENTS = 10_000
_ADDRESS_BYTES, _HEAD_BYTES = 8 << 10, 16 << 10
# What is sent to any path but those that take calls: a form, or an action.
SMALL_BYTES = 64 << 10


class Rates:
    """A token bucket a client: `per_s` requests in a second, and `burst` at once after a pause."""

    def __init__(
        self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Count a request: 0, or the seconds until there is room for it."""
        now = self._clock()
        left, at = self._left.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_s)
        wait_s = max(0.0, (1 - left) / self._per_s)
        self._left[client] = (left if wait_s else left - 1, now)
        if len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return wait_s


def network_of(scope: Scope) -> str:
    """Where a request comes from: an address, of IPv6 the network that one household has."""
    host = (scope.get("client") or ("", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))


class Sized:
    """Refuses what is too large before it is read: the address, the headers, the body."""

    def __init__(self, app: ASGIApp, body_bytes: int, large: tuple[str, ...]) -> None:
        self._app, self._body_bytes, self._large = app, body_bytes, frozenset(large)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        most = self._body_bytes if scope["path"] in self._large else SMALL_BYTES
        status, why = _too_large(scope, most)
        if status:
            refusal = JSONResponse({"error": why}, status, {"Connection": "close"})
            return await refusal(scope, receive, send)
        await self._app(scope, _counted(receive, most), send)


def _too_large(scope: Scope, most: int) -> tuple[int, str]:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _ADDRESS_BYTES:
        return 414, f"an address has at most {_ADDRESS_BYTES} bytes"
    if sum(len(name) + len(value) for name, value in scope["headers"]) > _HEAD_BYTES:
        return 431, f"headers have at most {_HEAD_BYTES} bytes"
    headers = Headers(scope=scope)
    if "content-length" in headers and "transfer-encoding" in headers:
        # A proxy in between that believes the other one sees another request behind this one.
        return 400, "a body has a Content-Length or is chunked, not both"
    length = headers.get("content-length", "0")
    # One that is no number is the protocol's to refuse; what arrives is counted all the same.
    if length.isdecimal() and int(length[:20]) > most:
        return 413, _body(most)
    return 0, ""


def _counted(receive: Receive, most: int) -> Receive:
    read = 0

    async def received() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise HTTPException(413, _body(most))
        return message

    return received


def _body(most: int) -> str:
    return f"a body has at most {most} bytes here"

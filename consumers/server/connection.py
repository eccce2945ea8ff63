"""A connection that waits for its client only so long: to send a request, to take an answer."""

import asyncio
import socket
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# A request has arrived whole, and an answer was taken, within so many seconds.
_SENT_S, _TAKEN_S = 60.0, 120.0
# Connections beyond which one more shuts out the one that its client has kept waiting longest: the
# oldest goes, not the newest, as who says nothing must shut nobody out.
CONNECTIONS = 480
# Those in the handshake of TLS count here only: beyond it the one that has been longest in it goes.
# Its file is free a turn of the loop later; 1,024 are a process's.
ACCEPTED, _FILES = 700, 800
# A handshake is two messages of each side; asyncio by itself waits a minute for them.
_GREETED_S = 5.0
_WHOLE = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)


class Listener(socket.socket):
    """Hangs up on who is one too many: where no file is left, asyncio says so 2,000 times a try."""

    def __init__(self, *kind: int) -> None:
        super().__init__(*kind)
        self._open: list[socket.socket] = []
        self._greeting: dict[int, socket.socket] = {}

    def accept(self) -> tuple[socket.socket, Any]:
        """Who comes next; raises BlockingIOError, as where nobody does, for one too many."""
        made, address = super().accept()
        self._open = [one for one in self._open if one.fileno() >= 0]
        self._greeting = {n: one for n, one in self._greeting.items() if one.fileno() == n}
        if len(self._open) >= ACCEPTED and not self._make_room():
            made.close()
            raise BlockingIOError
        self._open.append(made)
        self._greeting[made.fileno()] = made
        return made, address

    def greeted(self, file: int) -> None:
        """The handshake of this file is over."""
        self._greeting.pop(file, None)

    def _make_room(self) -> bool:
        """Hang up on who has been longest in the handshake, where there is one and a file left."""
        if not self._greeting or len(self._open) >= _FILES:
            return False
        oldest = self._greeting.pop(next(iter(self._greeting)))
        with suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)  # closing it is for who waits on it
        return True


class Loop(asyncio.SelectorEventLoop):
    """asyncio's, with less patience for a handshake than uvicorn lets anybody say."""

    async def create_server(self, *args: Any, **how: Any) -> asyncio.Server:
        """Listen."""
        if how.get("ssl") is not None:
            how["ssl_handshake_timeout"] = _GREETED_S
        return await super().create_server(*args, **how)


class Connection(H11Protocol):
    """uvicorn's connection, which by itself waits for the end of a request for good."""

    listener: Listener
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """A client is there, and has yet to say something."""
        super().connection_made(transport)
        self.listener.greeted(transport.get_extra_info("socket").fileno())
        if len(self.connections) > CONNECTIONS:
            self._make_room()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Some of a request, or all of it."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """An answer was given; what came behind its request was kept until now."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """Close, once what waits to be taken was taken, and then in any case."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(_TAKEN_S, self.transport.abort)

    def _look(self) -> None:
        if self.conn.their_state in _WHOLE:
            self._stop()
        elif self._late is None:
            self._wait()

    def _wait(self) -> None:
        self._late = self.loop.call_later(_SENT_S, self.transport.abort)

    def _make_room(self) -> None:
        waiting = [
            (one._late.when(), id(one), one) for one in self.connections
            if isinstance(one, Connection) and one._late is not None
        ]  # fmt: skip
        if waiting:
            _, _, oldest = min(waiting)
            oldest._stop()
            oldest.transport.abort()

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def connections_of(listener: Listener) -> type[Connection]:
    """The connections that a listener accepts, which tell it when they have begun."""
    return type("Connection", (Connection,), {"listener": listener})

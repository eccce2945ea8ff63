"""A connection that waits for its client only so long: to send a request, to take an answer."""

import asyncio
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# A request has arrived whole, and an answer was taken, within so many seconds.
_SENT_S, _TAKEN_S = 60.0, 120.0
# Connections beyond which one more shuts out the one that its client has kept waiting longest: the
# oldest goes, not the newest, as who says nothing must shut nobody out.
CONNECTIONS = 480
# Those that have yet to finish the handshake of TLS count here only; 1,024 files are a process's.
ACCEPTED = 700
_WHOLE = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)


class Listener(socket.socket):
    """Hangs up on who is one too many: where no file is left, asyncio says so 2,000 times a try."""

    def __init__(self, *kind: int) -> None:
        super().__init__(*kind)
        self._open: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """Who comes next; raises BlockingIOError, as where nobody does, for one too many."""
        made, address = super().accept()
        self._open = [one for one in self._open if one.fileno() >= 0]
        if len(self._open) >= ACCEPTED:
            made.close()
            raise BlockingIOError
        self._open.append(made)
        return made, address


class Connection(H11Protocol):
    """uvicorn's connection, which by itself waits for the end of a request for good."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """A client is there, and has yet to say something."""
        super().connection_made(transport)
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

"""A TCP proxy on 127.0.0.1 that breaks connections on demand."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Literal, Self

Mode = Literal["pass", "refuse", "blackhole", "reset", "delay"]


class Proxy:
    """Stands before the server on `target`; `set` changes what happens, also to open connections.

    pass: bytes go through. refuse: nothing listens, open connections are reset. blackhole:
    connections are accepted and stay open, and what is sent waits until the mode changes.
    reset: every connection is accepted and reset. delay: each chunk waits `delay_s` first.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self._target = target
        self.port = port
        self.mode: Mode = "pass"
        self._delay_s = 0.0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def set(self, mode: Mode, delay_s: float = 0.1) -> None:
        """Change the mode; it holds when this returns."""
        self._run(self._set(mode, delay_s))

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set(self, mode: Mode, delay_s: float) -> None:
        self.mode, self._delay_s = mode, delay_s
        if mode in ("refuse", "reset"):
            self._cut()
        if mode == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        elif mode != "refuse" and self._server is None:
            await self._listen()

    async def _close(self) -> None:
        await self._set("refuse", 0.0)
        # A connection that was being opened is cut once it is there; a task is never cancelled.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=0.05)
            self._cut()

    def _cut(self) -> None:
        for writer in self._open:
            # Lingering for 0 s makes the close a reset instead of a polite end.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        self._open.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        if self.mode == "reset":
            return self._cut()
        await self._passable()
        back: asyncio.StreamWriter | None = None
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(back)
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        for end in (writer, back):
            if end is not None:
                self._open.discard(end)
                end.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65536):
            if self.mode == "delay":
                await asyncio.sleep(self._delay_s)
            await self._passable()
            sink.write(chunk)
            await sink.drain()
        # One side has said all; the other may still be answering.
        sink.write_eof()

    async def _passable(self) -> None:
        while self.mode == "blackhole":
            await asyncio.sleep(0.01)

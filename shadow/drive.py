"""The dispatcher in a thread of its own, where there is no broker: asks in, answers to a sink."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as TooLong

from agent.record import Ask
from shadow.dispatcher import Dispatcher

_START_S = 10.0


class Drive:
    """Gives asks to a dispatcher that `make` makes inside the thread's loop.

    Nothing here may be called inside a transaction: on SQLite the dispatcher waits for its end.
    `ended` is called once all is over.
    """

    def __init__(
        self, make: Callable[[], Dispatcher], ended: Callable[[], None] = lambda: None
    ) -> None:
        self._ended = ended
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="shadow", daemon=True)
        self._thread.start()
        self._dispatcher = asyncio.run_coroutine_threadsafe(self._begin(make), self._loop).result(
            _START_S
        )

    async def _begin(self, make: Callable[[], Dispatcher]) -> Dispatcher:
        dispatcher = make()
        dispatcher.start()
        return dispatcher

    def give(self, asks: Sequence[Ask]) -> None:
        """Queue asks; waits while a queue is full."""

        async def put() -> None:
            for ask in asks:
                await self._dispatcher.put(ask)

        asyncio.run_coroutine_threadsafe(put(), self._loop).result()

    def offer(self, asks: Sequence[Ask]) -> None:
        """Queue asks and return at once; the ticket of one that finds no room expires."""
        for ask in asks:
            self._loop.call_soon_threadsafe(self._dispatcher.offer, ask)

    def drain(self, timeout_s: float) -> bool:
        """Wait until all that was given has come to its end; False when that takes too long."""
        done = asyncio.run_coroutine_threadsafe(self._dispatcher.idle(), self._loop)
        try:
            done.result(timeout_s)
        except TooLong:
            done.cancel()
            return False
        return True

    def close(self, patience_s: float = 5.0) -> None:
        """End it; calls that run get a moment."""
        stopped = asyncio.run_coroutine_threadsafe(self._dispatcher.stop(patience_s), self._loop)
        stopped.result(2 * patience_s + _START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()
        self._ended()

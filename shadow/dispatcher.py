"""The core that asks: a queue, a breaker and so many calls at once for each candidate.

The order of one ask, each step committed before the next begins: reserved (ticket and budget),
sent, the call, the record of its answer to the sink, what was not used given back; then probes,
each an ask with a ticket of its own. Without the
ticket, or while the store is away, there is no call.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from agent.errors import BadRecord, StoreDown
from agent.probes import SEGMENT
from agent.record import Answer, Ask
from agent.shadows import Candidate, Shadow
from agent.store import Store, budgets
from agent.store.tickets import close_judged, owe_probe
from shadow.answers import record_of
from shadow.asks import from_bytes, to_bytes
from shadow.breaker import Breaker
from shadow.candidates import UNREAD, Model, microusd, need_of, priced
from shadow.lanes import Lane, Waiting, nobody
from shadow.probing import probe_asks

_log = logging.getLogger("vedette.shadow")
T = TypeVar("T")

UNKNOWN = "unknown"
_RETRY_S = 1.0
_THREADS = 4  # for SQL and the sink; PostgreSQL has two connections for them that stay

# Takes the key and the record of an answer, and returns once it is safe; raises StoreDown, and
# ValueError for a record that is too large.
Sink = Callable[[bytes, bytes], None]


class Heard(Protocol):
    """Who is told what the dispatcher does; a candidate that nobody configured is `UNKNOWN`."""

    def asked(self, candidate: str, answer: Answer) -> None:
        """A candidate was asked, and answered or failed."""

    def unasked(self, candidate: str, why: str) -> None:
        """It was not asked, for this one word."""

    def undelivered(self, candidate: str) -> None:
        """An answer is lost: nobody took its record."""

    def breaker(self, candidate: str, state: str) -> None:
        """The breaker of a candidate is in another state."""


class Dispatcher:
    """Asks every candidate of `models`.

    `stamp` gives the time, in epoch seconds, that an answer's record says it was asked at.
    """

    def __init__(
        self, shadow: Shadow, models: Mapping[str, Model], store: Store, sink: Sink, heard: Heard,
        stamp: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._shadow, self._store, self._sink, self._heard = shadow, store, sink, heard
        self._stamp = stamp
        self._lanes = {
            name: Lane(name, one, models[name], Breaker(one.breaker, time.monotonic),
                       asyncio.Semaphore(one.concurrency))
            for name, one in shadow.candidates.items()
        }  # fmt: skip
        self._threads = ThreadPoolExecutor(_THREADS, "shadow-store")
        self._loops: list[asyncio.Task[None]] = []
        self._busy: set[asyncio.Task[None]] = set()
        self._skipped = -1, -1  # the partition and offset behind the last that was stepped over

    def take(
        self, value: bytes | None, stamped_at: float, over: Callable[[], None] = nobody
    ) -> None:
        """A record of the requests topic; whatever is in it, this never raises.

        `over` is called once its ticket is taken or refused: the record is not needed again.
        """
        try:
            if not self._queued(value, stamped_at, over):
                over()
        except BadRecord as error:
            self._heard.unasked(UNKNOWN, error.reason)
            over()

    def skip(self, partition: int, offset: int) -> None:
        """A record of the requests topic that cannot be decoded; its ticket, if any, expires."""
        self._heard.unasked(UNKNOWN, "undecodable")
        if self._skipped != (partition, offset):
            _log.warning(
                "the requests topic cannot be decoded in partition %d from offset %d on: "
                "stepping over it", partition, offset,
            )  # fmt: skip
        self._skipped = partition, offset + 1

    def _queued(self, value: bytes | None, stamped_at: float, over: Callable[[], None]) -> bool:
        ask = from_bytes(value)
        if ask.candidate not in self._lanes:
            self._heard.unasked(UNKNOWN, "unconfigured")
        elif ask.judge != (self._lanes[ask.candidate].candidate.rubric is not None):
            self._heard.unasked(ask.candidate, "reconfigured")
        elif time.time() - stamped_at > self._shadow.wait_s:
            self._heard.unasked(ask.candidate, budgets.EXPIRED)
        else:
            return self.offer(ask, len(value or b""), over)
        return False

    def offer(self, ask: Ask, size: int = 0, over: Callable[[], None] = nobody) -> bool:
        """Queue an ask if there is room; its ticket expires as not asked where there is none."""
        lane, waiting = self._lanes[ask.candidate], Waiting(ask, size, over)
        if lane.join(waiting):
            self._heard.unasked(ask.candidate, budgets.NO_TICKET)
            return True
        taken = lane.offer(waiting)
        if not taken:
            self._heard.unasked(ask.candidate, "full")
        return taken

    async def put(self, ask: Ask) -> None:
        """Queue an ask, waiting for room: where nobody's path is held up by it."""
        await self._lanes[ask.candidate].queue.put(Waiting(ask))

    def waiting(self) -> dict[str, int]:
        """How many asks of each candidate wait."""
        return {name: lane.queue.qsize() for name, lane in self._lanes.items()}

    def breakers(self) -> dict[str, str]:
        """The state of each candidate's breaker."""
        return {name: lane.breaker.state for name, lane in self._lanes.items()}

    def start(self) -> None:
        """Begin to ask, in the running loop."""
        self._loops = [asyncio.create_task(self._go(lane)) for lane in self._lanes.values()]

    async def idle(self) -> None:
        """Return once everything that was queued has come to its end."""
        for lane in self._lanes.values():
            await lane.queue.join()

    async def stop(self, patience_s: float) -> None:
        """Ask what is queued, for half of the time; let calls end for the other half; cut off."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.idle(), patience_s / 2)
        for task in self._loops:
            task.cancel()
        if self._busy:
            _, late = await asyncio.wait(self._busy, timeout=patience_s / 2)
            for task in late:
                task.cancel()
        await asyncio.gather(*self._loops, *self._busy, return_exceptions=True)
        for lane in self._lanes.values():
            await lane.model.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _go(self, lane: Lane) -> None:
        while True:
            task = asyncio.create_task(self._one(lane, await lane.next()))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

    async def _one(self, lane: Lane, waiting: Waiting) -> None:
        try:
            await self._ask(lane, waiting.ask, waiting.over)
        except Exception as error:  # a defect of ours ends one ask; its message may quote a text
            _log.error("an ask of %s failed (%s)", lane.name, type(error).__name__)
            self._heard.unasked(lane.name, "internal")
        finally:
            lane.room.release()
            lane.queue.task_done()
            self._show(lane)
        waiting.over()  # one that was cut off is not over: its record is read again

    async def _ask(self, lane: Lane, ask: Ask, over: Callable[[], None]) -> None:
        turn = lane.breaker.begin()
        if turn is None:
            self._heard.unasked(lane.name, "breaker")
            with suppress(StoreDown):  # then it expires
                await self._off(lambda: self._refuse(ask, "breaker"))
            return
        held: budgets.Reserved | str = budgets.EXPIRED
        sent = False
        try:
            held = await self._reserved(lane, ask)
            sent = not isinstance(held, str) and await self._sent(held)
        finally:
            if not sent:
                lane.breaker.withdraw(turn)
        over()
        if not sent and not isinstance(held, str):
            held = budgets.EXPIRED
        if isinstance(held, str):
            return self._heard.unasked(lane.name, held)
        began = self._stamp()
        answer = await self._answered(lane, ask, turn)
        self._heard.asked(lane.name, answer)
        self._show(lane)
        record = record_of(ask, lane.candidate, answer, began)
        if record is not None and not await self._delivered(ask.ticket, record):
            self._heard.undelivered(lane.name)
        await self._settled(ask, lane.candidate, held, answer)
        if not ask.judge:
            await self._probe(lane, ask, answer)

    async def _probe(self, lane: Lane, ask: Ask, answer: Answer) -> None:
        """Owe and queue what is to be asked again with a changed prompt."""
        for probe in probe_asks(ask, answer, lane.candidate.probes):
            kind = dict(probe.call.segment)[SEGMENT]
            if await self._patiently(partial(self._owed, ask.ticket, kind)):
                self.offer(probe, len(to_bytes(probe)))

    def _owed(self, ticket: bytes, kind: str) -> bool:
        now, wait_s = time.time(), self._shadow.wait_s
        with self._store.transaction() as tx:
            return owe_probe(tx, ticket, kind, now, wait_s) is not None

    async def _answered(self, lane: Lane, ask: Ask, turn: int) -> Answer:
        try:
            answer = await lane.model.ask(ask.call)
        except BaseException:
            lane.breaker.end(turn, False)
            raise
        # What a judged text makes of a verdict says nothing of the endpoint.
        lane.breaker.end(turn, answer.status == "ok" or (answer.error or "").startswith(UNREAD))
        return answer

    async def _reserved(self, lane: Lane, ask: Ask) -> budgets.Reserved | str:
        need = need_of(lane.model, ask.call, lane.candidate)
        patience_s = min(lane.candidate.timeout_s, self._shadow.wait_s / 2)

        def reserve() -> budgets.Reserved | str:
            with self._store.transaction() as tx:
                return budgets.reserve(
                    tx, ask.ticket, lane.name, lane.candidate.budget, need, time.time(), patience_s
                )

        return await self._patiently(reserve) or budgets.EXPIRED

    async def _sent(self, held: budgets.Reserved) -> bool:
        def sent() -> bool:
            with self._store.transaction() as tx:
                return budgets.mark_sent(tx, held, time.time())

        return await self._patiently(sent) or False

    async def _delivered(self, key: bytes, record: bytes) -> bool:
        try:
            return await self._patiently(lambda: self._sink(key, record) is None) or False
        except ValueError:  # too large for whoever takes it, now and always
            return False

    async def _settled(
        self, ask: Ask, one: Candidate, held: budgets.Reserved, answer: Answer
    ) -> None:
        known = answer.tokens_in is not None and answer.tokens_out is not None
        tokens = (answer.tokens_in or 0) + (answer.tokens_out or 0) if known else None
        usd = priced(answer, one.price)

        def settle() -> budgets.Amount:
            with self._store.transaction() as tx:
                if ask.judge:
                    close_judged(tx, ask.ticket, answer.status == "ok")
                return budgets.settle_cost(tx, held, tokens, None if usd is None else microusd(usd))

        await self._patiently(settle)

    def _refuse(self, ask: Ask, why: str) -> None:
        with self._store.transaction() as tx:
            budgets.refuse(tx, ask.ticket, ask.candidate, why)

    async def _patiently(self, action: Callable[[], T]) -> T | None:
        """Again while the store or the broker is away, as long as a ticket lives; None then."""
        until = time.monotonic() + self._shadow.wait_s
        while True:
            try:
                return await self._off(action)
            except StoreDown as error:
                _log.debug("waiting: %s", error)
                if time.monotonic() > until:
                    return None
                await asyncio.sleep(_RETRY_S)

    async def _off(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, action)

    def _show(self, lane: Lane) -> None:
        if lane.breaker.state != lane.shown:
            lane.shown = lane.breaker.state
            self._heard.breaker(lane.name, lane.shown)

"""What the tests of shadow calls share: candidates, asks, tickets in the store."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import func, insert, select

from agent.record import Answer, Ask, Call
from agent.shadows import Candidate, Shadow
from agent.store import Store
from agent.store.ticket_tables import tickets
from shadow.dispatcher import Dispatcher

NOW = 1_767_225_600.0


def candidate(url: str = "http://127.0.0.1:9/v1", **more: Any) -> Candidate:
    told = {"model": "next-1", "private": True, "budget": {"calls": 1000}, "timeout_s": 5.0}
    return Candidate.model_validate(told | {"url": url} | more)


def shadow(wait_s: float = 600.0, **candidates: Candidate) -> Shadow:
    return Shadow(candidates=candidates or {"next": candidate()}, wait_s=wait_s)


def ask(name: str = "next", number: int = 0, **more: Any) -> Ask:
    told = {"prompt": "Why?", "service": "shop", "segment": (("tenant", "acme"),)}
    return Ask(uuid.uuid4().bytes, name, Call(f"c{number}", NOW, "wren", **(told | more)))


def owe(store: Store, *asks: Ask, now: float = NOW, wait_s: float = 600.0) -> None:
    """Insert the tickets as the scorer does."""
    rows = [
        {
            "key": one.ticket, "candidate": one.candidate, "source": "live",
            "service": one.call.service, "pair": one.call.id, "call_key": one.ticket,
            "at": one.call.at, "common": 1, "state": "owed", "expires_at": now + wait_s,
            "stored_at": now,
        }
        for one in asks
    ]  # fmt: skip
    with store.transaction() as tx:
        tx.execute(insert(tickets), rows)


def states(store: Store) -> dict[str, int]:
    """How many tickets are in which state, and why where that is said."""
    query = select(tickets.c.state, tickets.c.why, func.count())
    with store.transaction() as tx:
        rows = tx.execute(query.group_by(tickets.c.state, tickets.c.why)).all()
    return {f"{state}:{why}".removesuffix(":"): n for state, why, n in rows}


class Ear:
    """Hears what the dispatcher does."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, Answer]] = []
        self.refused: list[tuple[str, str]] = []
        self.lost: list[str] = []
        self.breakers: list[tuple[str, str]] = []

    def asked(self, candidate: str, answer: Answer) -> None:
        self.answers.append((candidate, answer))

    def unasked(self, candidate: str, why: str) -> None:
        self.refused.append((candidate, why))

    def undelivered(self, candidate: str) -> None:
        self.lost.append(candidate)

    def breaker(self, candidate: str, state: str) -> None:
        self.breakers.append((candidate, state))


class Voice:
    """A model that answers after a while, and says how many asked it at once.

    `together`: it holds its first answers until so many ask at once, for ten seconds at most.
    `late`: it answers once nothing more `begins`.
    """

    def __init__(
        self, status: str = "ok", pause_s: float = 0.0, together: int = 1, late: bool = False,
        **more: Any,
    ) -> None:  # fmt: skip
        self.asked: list[str] = []
        self.now = self.most = 0
        self.closed = False
        self.begins: Callable[[], bool] = lambda: False
        self._pause_s, self._late = pause_s, late
        self._together, self._met = together, asyncio.Event()
        self.status, self.more = status, more

    async def ask(self, call: Call) -> Answer:
        self.asked.append(call.id)
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now >= self._together:
            self._met.set()
        elif not self._met.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._met.wait(), 10.0)
        await asyncio.sleep(self._pause_s)
        while self._late and self.begins():
            await asyncio.sleep(0.01)
        self.now -= 1
        return Answer(self.status, "Because.", **self.more)  # type: ignore[arg-type]  # one of three

    async def close(self) -> None:
        self.closed = True


class Box:
    """Takes the records of answers."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def __call__(self, key: bytes, record: bytes) -> None:
        self.records.append(json.loads(record))


def dispatch(
    told: Shadow, store: Store, voices: dict[str, Voice], asks: list[Ask],
    sink: Callable[[bytes, bytes], None] | None = None,
) -> Ear:  # fmt: skip
    ear = Ear()

    async def go() -> None:
        one = Dispatcher(told, voices, store, sink or Box(), ear)
        one.start()
        for each in asks:
            await one.put(each)
        await asyncio.wait_for(one.idle(), 20)
        await one.stop(1.0)

    asyncio.run(go())
    return ear


def asks_of(store: Store, n: int, name: str = "next") -> list[Ask]:
    made = [ask(name, number) for number in range(n)]
    owe(store, *made, now=time.time())
    return made

"""What the tests of shadow calls share: candidates, asks, tickets in the store."""

import uuid
from typing import Any

from sqlalchemy import func, insert, select

from agent.record import Answer, Ask, Call
from agent.shadows import Candidate, Shadow
from agent.store import Store
from agent.store.ticket_tables import tickets

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

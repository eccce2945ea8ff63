"""What people did by hand, or were refused: who, from where, what, why, and what came of it."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Column, Connection, Float, String, Table, Text, insert, select, update

from agent.store.tables import BIG, META

Way = Literal["command", "http"]
# `begun` stays where the process ended before anybody knew what came of it.
Outcome = Literal["begun", "done", "refused", "failed"]

audit = Table(
    "audit",
    META,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("who", Text, nullable=False),
    Column("way", String(16), nullable=False),
    Column("action", String(64), nullable=False),
    Column("about", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that somebody did: `action` and what it was about, and what came of it."""

    at: float
    who: str
    way: Way
    action: str
    about: str
    why: str
    outcome: Outcome = "begun"
    detail: str = ""


def begin(tx: Connection, deed: Deed) -> int:
    """Enter what is about to be done; its number."""
    values = {name: getattr(deed, name) for name in Deed.__dataclass_fields__}
    made = tx.execute(insert(audit).values(values)).inserted_primary_key
    assert made is not None
    return int(made[0])


def end(tx: Connection, number: int, outcome: Outcome, detail: str) -> None:
    """Enter what came of it."""
    done = update(audit).where(audit.c.id == number)
    tx.execute(done.values(outcome=outcome, detail=detail))


def newest(tx: Connection, limit: int) -> list[Deed]:
    """What was done last, newest first."""
    names = [audit.c[name] for name in Deed.__dataclass_fields__]
    return [
        Deed(*row) for row in tx.execute(select(*names).order_by(audit.c.id.desc()).limit(limit))
    ]

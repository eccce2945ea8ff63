"""What judges said of stored calls, one verdict a call and judge, for estimates over all calls."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    LargeBinary,
    String,
    Table,
    and_,
    func,
    select,
)

from agent.store.tables import META, calls
from agent.store.ticket_tables import tickets
from agent.store.writes import insert_new

judgements = Table(
    "judgements",
    META,
    Column("call_key", LargeBinary(16), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("value", Float, nullable=False),
    Column("stored_at", Float, nullable=False, index=True),  # by which retention deletes
    sqlite_with_rowid=False,
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict in [0, 1], and the key of its call."""

    call_key: bytes
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Scope:
    """Calls of production that began in [since, until), of one service, model or variant or all,
    and of these services where there are any."""

    since: float
    until: float
    service: str | None = None
    model: str | None = None
    variant: str | None = None
    services: tuple[str, ...] = ()


def keep(tx: Connection, found: Sequence[Judgement], now: float) -> None:
    """Enter verdicts; the first of a call and a judge stays."""
    rows = [{"call_key": one.call_key, "metric": one.metric, "value": one.value, "stored_at": now}
            for one in sorted(found, key=lambda one: (one.call_key, one.metric))]  # fmt: skip
    insert_new(tx, judgements, rows)


def span(tx: Connection, metric: str) -> tuple[float, float] | None:
    """When the first and the last call that a judge has judged began."""
    query = select(func.min(calls.c.at), func.max(calls.c.at))
    joined = query.join(judgements, judgements.c.call_key == calls.c.key)
    first, last = tx.execute(joined.where(judgements.c.metric == metric)).one()
    return None if first is None else (float(first), float(last))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A call that was drawn for a judge: its key, when it began, and what became of its ticket."""

    key: bytes
    at: float
    state: str
    why: str


@dataclass(frozen=True, slots=True)
class Answered:
    """An answered call: its key, when it began, its cheap score and verdict where it has one."""

    key: bytes
    at: float
    cheap: float | None
    verdict: float | None


def drawn(tx: Connection, judge: str, scope: Scope) -> Iterator[Drawn]:
    """The calls of a scope that were drawn for a judge, asked or not."""
    query = select(calls.c.key, calls.c.at, tickets.c.state, tickets.c.why)
    query = query.join(tickets, tickets.c.call_key == calls.c.key)
    for key, *rest in tx.execute(query.where(tickets.c.candidate == judge, *_within(scope))):
        yield Drawn(bytes(key), *rest)


def answered(tx: Connection, metric: str, cheap: str, scope: Scope) -> Iterator[Answered]:
    """Every answered call of a scope, with its score of `cheap` and its verdict of `metric`."""
    mine = and_(judgements.c.call_key == calls.c.key, judgements.c.metric == metric)
    query = select(calls.c.key, calls.c.at, calls.c.scores, judgements.c.value)
    query = query.outerjoin(judgements, mine).where(*_within(scope))
    for key, at, scores, verdict in tx.execute(query):
        found = json.loads(scores).get(cheap)
        number = float(found) if isinstance(found, (int, float)) else None
        yield Answered(bytes(key), at, number, verdict)


def _within(scope: Scope) -> Iterator[ColumnElement[bool]]:
    yield and_(calls.c.at >= scope.since, calls.c.at < scope.until)
    yield and_(calls.c.origin == "production", calls.c.status == "ok")
    yield calls.c.response_hash.is_not(None)
    for name in ("service", "model", "variant"):
        if (wanted := getattr(scope, name)) is not None:
            yield calls.c[name] == wanted
    if scope.services:
        yield calls.c.service.in_(scope.services)

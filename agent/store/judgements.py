"""What judges said of stored calls, one verdict a call and judge, for estimates over all calls."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Float, LargeBinary, String, Table, and_, func, select

from agent.store.tables import META, calls
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


def beside(
    tx: Connection, metric: str, cheap: str, scope: Scope
) -> Iterator[tuple[float | None, float | None]]:
    """The cheap score and the verdict of every answered call; None where it has none."""
    mine = and_(judgements.c.call_key == calls.c.key, judgements.c.metric == metric)
    query = select(calls.c.scores, judgements.c.value).outerjoin(judgements, mine)
    query = query.where(calls.c.at >= scope.since, calls.c.at < scope.until)
    query = query.where(calls.c.origin == "production", calls.c.status == "ok")
    query = query.where(calls.c.response_hash.is_not(None))
    for name in ("service", "model", "variant"):
        if (wanted := getattr(scope, name)) is not None:
            query = query.where(calls.c[name] == wanted)
    if scope.services:
        query = query.where(calls.c.service.in_(scope.services))
    for scores, verdict in tx.execute(query):
        found = json.loads(scores).get(cheap)
        number = float(found) if isinstance(found, (int, float)) else None
        yield number, verdict

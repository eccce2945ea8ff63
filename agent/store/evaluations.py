"""Runs of suites: what was asked, every answer as it came, and the scores.

What stands in a body is the caller's: compressed JSON. Every function takes the open transaction.
The row of a run is locked before its answers: who forgets a run waits for what is being written.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    String,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from agent.errors import BadConfig
from agent.store.budgets import LARGEST, NOTHING, Amount
from agent.store.tables import META
from agent.store.writes import upsert

_SUITE_LOCK = 7_364_202  # any number, the same in every process; beside it that of the suite

evaluations = Table(
    "evaluations",
    META,
    Column("suite", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),  # counts the runs of a suite from 1
    Column("digest", String(32), nullable=False),
    Column("began", Float, nullable=False),
    Column("finished", Float),  # empty while answers or scores are missing
    Column("holder", String(128), nullable=False),  # host and process that run it
    Column("seen", Float, nullable=False),  # when its holder was last heard of
    Column("body", LargeBinary, nullable=False),
    # What scored every metric of every task; empty until it is finished.
    Column("scorers", LargeBinary),
    # How the suite weighed what was measured; empty until it is finished.
    Column("weighing", LargeBinary),
)

evaluation_answers = Table(
    "evaluation_answers",
    META,
    Column("suite", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("target", String(64), primary_key=True),
    Column("item", String(256), primary_key=True),
    Column("asked", String(32), nullable=False),  # digest of the target that answered
    Column("body", LargeBinary, nullable=False),
)

evaluation_outcomes = Table(
    "evaluation_outcomes",
    META,
    Column("suite", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("target", String(64), primary_key=True),
    Column("place", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# What asking a target has cost the run, every try of it: also of answers that were dropped.
evaluation_spending = Table(
    "evaluation_spending",
    META,
    Column("suite", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("target", String(64), primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in Amount._fields),
)

TABLES = (evaluations, evaluation_answers, evaluation_outcomes, evaluation_spending)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One run of a suite; times in epoch seconds."""

    suite: str
    number: int
    digest: str
    began: float
    finished: float | None
    holder: str
    seen: float

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.suite}#{self.number}"


def packed(value: Any) -> bytes:
    """Plain data as a body."""
    said = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return zlib.compress(said.encode("utf-8", "surrogatepass"), 6)


def opened(body: bytes) -> Any:
    """What a body holds."""
    return json.loads(zlib.decompress(body).decode("utf-8", "surrogatepass"))


def hold_suite(tx: Connection, suite: str) -> None:
    """Let nobody else begin, take or forget a run of a suite until the transaction ends.

    Two that look at once would take one run, or one number. SQLite has one writer anyhow.
    """
    if tx.dialect.name == "postgresql":
        lock = text("SELECT pg_advisory_xact_lock(:lock, hashtext(:suite))")
        tx.execute(lock, {"lock": _SUITE_LOCK, "suite": suite})


def begin(
    tx: Connection, suite: str, digest: str, body: bytes, holder: str, now: float
) -> Evaluation:
    """A run of a suite with the next number."""
    last = tx.scalar(select(func.max(evaluations.c.number)).where(evaluations.c.suite == suite))
    made = Evaluation(suite, (last or 0) + 1, digest, now, None, holder, now)
    held = {name: getattr(made, name) for name in Evaluation.__slots__}
    tx.execute(insert(evaluations).values(**held, body=body))
    return made


def evaluations_of(tx: Connection, suite: str | None = None, limit: int = 1000) -> list[Evaluation]:
    """The runs of a suite, or of all, the newest first."""
    columns = [evaluations.c[name] for name in Evaluation.__slots__]
    query = select(*columns).order_by(evaluations.c.began.desc(), evaluations.c.number.desc())
    if suite is not None:
        query = query.where(evaluations.c.suite == suite)
    return [Evaluation(*row) for row in tx.execute(query.limit(limit))]


def take(tx: Connection, one: Evaluation, holder: str, now: float) -> Evaluation:
    """Go on with a run: it is somebody's, and not finished."""
    held = {"holder": holder, "seen": now, "finished": None}
    tx.execute(update(evaluations).where(_row(evaluations, one)).values(**held))
    return replace(one, holder=holder, seen=now, finished=None)


def body_of(tx: Connection, one: Evaluation) -> Any:
    """What a run asked."""
    return opened(tx.execute(select(evaluations.c.body).where(_row(evaluations, one))).scalar_one())


def put_answers(
    tx: Connection, one: Evaluation, target: str, asked: str, rows: Mapping[str, Any],
    cost: Amount, now: float,
) -> None:  # fmt: skip
    """Keep answers by item, with the digest of the target that was asked, and what they cost.

    Raises BadConfig where the run is no longer its holder's.
    """
    _renew(tx, one, seen=now)
    here = {"suite": one.suite, "number": one.number, "target": target}
    if any(cost):
        held = zip(costs_of(tx, one).get(target, NOTHING), cost, strict=True)
        sums = Amount(*(min(before + more, LARGEST) for before, more in held))
        upsert(tx, evaluation_spending, [here | sums._asdict()])
    found = [
        {**here, "asked": asked, "item": item, "body": packed(body)} for item, body in rows.items()
    ]
    upsert(tx, evaluation_answers, found)


def costs_of(tx: Connection, one: Evaluation) -> dict[str, Amount]:
    """What asking each target has cost a run so far."""
    table = evaluation_spending
    amounts = [table.c[name] for name in Amount._fields]
    query = select(table.c.target, *amounts).where(_row(table, one))
    return {target: Amount(*amount) for target, *amount in tx.execute(query)}


def answers_of(tx: Connection, one: Evaluation, target: str, asked: str | None = None) -> Any:
    """The answers of a target by item; of one digest only where it is named."""
    here = and_(_row(evaluation_answers, one), evaluation_answers.c.target == target)
    if asked is not None:
        here = and_(here, evaluation_answers.c.asked == asked)
    query = select(evaluation_answers.c.item, evaluation_answers.c.body).where(here)
    return {row.item: opened(row.body) for row in tx.execute(query)}


def drop_answers(tx: Connection, one: Evaluation, target: str, items: Sequence[str]) -> None:
    """Forget answers that are to be asked again."""
    table = evaluation_answers
    here = and_(_row(table, one), table.c.target == target)
    for at in range(0, len(items), 500):
        tx.execute(delete(table).where(here, table.c.item.in_(items[at : at + 500])))


def finish(
    tx: Connection, one: Evaluation, outcomes: Mapping[str, Any], scorers: Any, weighing: Any,
    now: float,
) -> None:  # fmt: skip
    """Keep what each target came to, in this order, what scored it and how it weighs; it is over.

    Raises BadConfig where the run is no longer its holder's.
    """
    told = {"scorers": packed(scorers), "weighing": packed(weighing)}
    _renew(tx, one, finished=now, seen=now, **told)
    tx.execute(delete(evaluation_outcomes).where(_row(evaluation_outcomes, one)))
    here = {"suite": one.suite, "number": one.number}
    upsert(tx, evaluation_outcomes, [
        {**here, "target": target, "place": place, "body": packed(body)}
        for place, (target, body) in enumerate(outcomes.items())
    ])  # fmt: skip


def scorers_of(tx: Connection, one: Evaluation) -> Any:
    """What scored a run; None of one that is not finished, or was kept before that was."""
    return _told(tx, one, evaluations.c.scorers)


def weighing_of(tx: Connection, one: Evaluation) -> Any:
    """How its suite weighed a run; None like `scorers_of`."""
    return _told(tx, one, evaluations.c.weighing)


def _told(tx: Connection, one: Evaluation, column: Column[Any]) -> Any:
    held = tx.execute(select(column).where(_row(evaluations, one))).scalar_one()
    return None if held is None else opened(held)


def outcomes_of(tx: Connection, one: Evaluation) -> dict[str, Any]:
    """What each target of a finished run came to, in their order."""
    table = evaluation_outcomes
    query = select(table.c.target, table.c.body).where(_row(table, one)).order_by(table.c.place)
    return {row.target: opened(row.body) for row in tx.execute(query)}


def forget_run(tx: Connection, one: Evaluation) -> None:
    """Delete a run with its texts."""
    for table in TABLES:
        tx.execute(delete(table).where(_row(table, one)))


def _renew(tx: Connection, one: Evaluation, **values: Any) -> None:
    """Change the row of a run that is still its holder's."""
    mine = and_(_row(evaluations, one), evaluations.c.holder == one.holder)
    if tx.execute(update(evaluations).where(mine).values(**values)).rowcount != 1:
        raise BadConfig(one.name, "was forgotten meanwhile, or another process goes on with it")


def _row(table: Table, one: Evaluation) -> Any:
    return and_(table.c.suite == one.suite, table.c.number == one.number)

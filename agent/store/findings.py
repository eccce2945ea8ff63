"""What was found, as the store keeps it: by source, with what the alerts topic was told of it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Select, and_, case, func, or_, select, update

from agent.findings import Finding, Kind, State
from agent.store.tables import findings
from agent.store.writes import upsert

_OVER = ("resolved",)
# Nobody may ever tell again; after a day it is not shown any longer, but stays in the store.
_UNSURE, _UNSURE_S = ("insufficient data", "could not tell"), 86_400.0
# What has not lasted long enough is told to nobody: it may leave no trace.
_UNTOLD = ("pending",)


@dataclass(frozen=True, slots=True)
class Kept:
    """A finding as it is stored, since `stored_at` (epoch seconds) at the latest in its state."""

    source: str
    stored_at: float
    finding: Finding


def put_findings(tx: Connection, source: str, found: Iterable[Finding], now: float) -> None:
    """Store findings, or what became of them; of two with one key the later counts."""
    rows = {one.key: row_of(source, one, now) for one in found}
    upsert(tx, findings, [rows[key] for key in sorted(rows)])


def row_of(source: str, one: Finding, now: float) -> dict[str, object]:
    """A finding as a row that the alerts topic was not told of."""
    held: dict[str, object] = {
        "source": source,
        "key": one.key,
        "kind": one.kind,
        "severity": one.severity,
    }
    held |= {"state": one.state, "began": one.began, "name": json.dumps(one.name)}
    return held | {"body": json.dumps(asdict(one)), "stored_at": now}


def all_findings(
    tx: Connection, limit: int, state: State | None = None, kind: Kind | None = None
) -> list[Finding]:
    """The newest findings first, of one state or kind when it is named."""
    query = select(findings).order_by(findings.c.began.desc(), findings.c.key).limit(limit)
    if state is not None:
        query = query.where(findings.c.state == state)
    if kind is not None:
        query = query.where(findings.c.kind == kind)
    return [one.finding for one in _kept(tx, query)]


def findings_of(tx: Connection, keys: Sequence[bytes]) -> list[Finding]:
    """The findings of these keys that are there."""
    return [one.finding for one in _kept(tx, select(findings).where(findings.c.key.in_(keys)))]


def states_of(tx: Connection, kind: Kind) -> list[tuple[str, int]]:
    """How many findings of a kind are in each state: another list where something changed."""
    query = select(findings.c.state, func.count()).where(findings.c.kind == kind)
    query = query.group_by(findings.c.state).order_by(findings.c.state)
    return [(state, n) for state, n in tx.execute(query)]


def open_findings(tx: Connection, source: str, kind: Kind) -> list[Finding]:
    """What of a kind is pending, fires or cannot be told any longer, the oldest first."""
    here = findings.c.source == source, findings.c.kind == kind, findings.c.state.not_in(_OVER)
    query = select(findings).where(*here).order_by(findings.c.began, findings.c.key)
    return [one.finding for one in _kept(tx, query)]


def current_findings(tx: Connection, now: float, since: float, limit: int) -> list[Kept]:
    """What is not over, or ended after a time; what is open first, then critical, then new.

    What cannot be told any longer is left out once it was stored a day before `now`.
    """
    lasting = findings.c.state.not_in((*_OVER, *_UNSURE))
    ended = and_(findings.c.state.in_(_OVER), findings.c.stored_at >= since)
    unsure = and_(findings.c.state.in_(_UNSURE), findings.c.stored_at >= now - _UNSURE_S)
    worst = case((findings.c.severity == "critical", 0), else_=1)
    over = case((findings.c.state.in_(_OVER), 1), else_=0)
    query = select(findings).where(or_(lasting, ended, unsure))
    query = query.order_by(over, worst, findings.c.began.desc(), findings.c.key)
    return list(_kept(tx, query.limit(limit)))


def untold_findings(tx: Connection, limit: int) -> list[Kept]:
    """What changed since the alerts topic was told of it, the oldest first."""
    changed = or_(findings.c.told.is_(None), findings.c.told != findings.c.state)
    query = select(findings).where(changed, findings.c.state.not_in(_UNTOLD))
    return list(_kept(tx, query.order_by(findings.c.began, findings.c.key).limit(limit)))


def mark_told(tx: Connection, told: Sequence[Kept]) -> None:
    """The alerts topic has acknowledged these states."""
    for one in told:
        here = findings.c.source == one.source, findings.c.key == one.finding.key
        tx.execute(update(findings).where(*here).values(told=one.finding.state))


def _kept(tx: Connection, query: Select[tuple[object, ...]]) -> Iterator[Kept]:
    for row in tx.execute(query):
        held = json.loads(row.body)
        for part in ("name", "facts"):
            held[part] = tuple((key, value) for key, value in held[part])
        yield Kept(row.source, row.stored_at, Finding(**held))

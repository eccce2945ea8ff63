"""Tickets: what candidates are owed, what came of it, and how far pairs can be made.

States only move forward, each by an UPDATE that names the state before it. Rows are locked in the
order of their keys, so that two transactions that share some cannot deadlock.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, func, select, update

from agent.buckets import event_key
from agent.record import Call
from agent.store.tables import closing, entered
from agent.store.ticket_tables import TICKET_STATES, paired, quotas, tickets
from agent.store.writes import insert_new, upsert

OUT = ("owed", "reserved", "sent")
SETTLED = ("answered", "failed", "expired")
_DAY_S = 86_400.0
_ROWS_AT_ONCE = 5000
_PREFIX = "shadow-"

# A candidate, one `key=value` of a segment, and the start of an hour.
Quota = tuple[str, str, int]


def ticket_key(candidate: str, service: str, call_id: str, probe: str = "") -> bytes:
    """The key of the one ticket of a call and a candidate, and of a changed prompt."""
    parts = (candidate, service, call_id, probe) if probe else (candidate, service, call_id)
    return event_key("ticket", *parts)


def answer_id(ticket: bytes) -> str:
    """The id of the call that answers a ticket."""
    return f"{_PREFIX}{ticket.hex()}"


def ticket_of(call_id: str) -> bytes | None:
    """The ticket that a call with this id would answer; None when it is no such id."""
    digits = call_id.removeprefix(_PREFIX)
    if len(call_id) != len(_PREFIX) + 32 or len(digits) != 32:
        return None
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        return None
    return key if key.hex() == digits else None


def owe(tx: Connection, rows: Sequence[Mapping[str, Any]]) -> set[bytes]:
    """Enter tickets; which of them are new, and so may be asked."""
    return _entered(tx, tickets, rows)


def owe_probe(tx: Connection, ticket: bytes, probe: str, now: float, wait_s: float) -> bytes | None:
    """Owe the same call with its prompt changed; the key, or None where that is owed already.

    It is in no pair, and no pane waits for it.
    """
    row = tx.execute(select(tickets).where(tickets.c.key == ticket)).one_or_none()
    if row is None:
        return None
    key = ticket_key(row.candidate, row.service, row.pair, probe)
    own = {"key": key, "probe": probe, "common": 0, "counts_in": "[]", "state": "owed", "why": ""}
    own |= {"tokens": 0, "microusd": 0, "expires_at": now + wait_s, "stored_at": now}
    return key if owe(tx, [{**row._mapping, **own}]) else None


def enter_units(tx: Connection, keys: Iterable[bytes], now: float) -> set[bytes]:
    """Enter units; which of them had not entered, whoever else enters them at the same moment."""
    return _entered(tx, entered, [{"key": key, "stored_at": now} for key in set(keys)])


def _entered(tx: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> set[bytes]:
    new = insert_new(tx, table, sorted(rows, key=lambda row: row["key"]))
    return {bytes(key) for (key,) in new}


def used(tx: Connection, wanted: Iterable[Quota], now: float) -> dict[Quota, int]:
    """How many calls these quotas have seen, locked until the transaction ends."""
    names = ("candidate", "segment", "hour")
    ordered = sorted(set(wanted))
    if not ordered:
        return {}
    empty = {"calls": 0, "stored_at": now}
    insert_new(tx, quotas, [dict(zip(names, one, strict=True)) | empty for one in ordered])
    parts = zip(names, zip(*ordered, strict=True), strict=True)
    here = [quotas.c[name].in_(set(values)) for name, values in parts]
    query = select(quotas).where(*here).order_by(*(quotas.c[name] for name in names))
    found = {tuple(row[:3]): int(row.calls) for row in tx.execute(query.with_for_update())}
    return {quota: found[quota] for quota in ordered}


def use(tx: Connection, counts: Mapping[Quota, int], now: float) -> None:
    """Store what the quotas have seen now."""
    names = ("candidate", "segment", "hour", "calls", "stored_at")
    rows = [(*quota, calls, now) for quota, calls in sorted(counts.items())]
    upsert(tx, quotas, [dict(zip(names, row, strict=True)) for row in rows])


def settle(tx: Connection, answers: Iterable[Call]) -> None:
    """The answers to tickets that were sent are stored: answered, or failed.

    A ticket that was given up stays so: its failure may be in a closed pane.
    """
    told = [
        {"ticket": key, "who": call.variant.partition(":")[2], "where": call.service,
         "to": "answered" if call.status == "ok" else "failed"}
        for call in answers
        if (key := ticket_of(call.id)) is not None
    ]  # fmt: skip
    if told:
        here = tickets.c.key == bindparam("ticket"), tickets.c.candidate == bindparam("who")
        sent = tickets.c.service == bindparam("where"), tickets.c.state == "sent"
        moved = update(tickets).where(*here, *sent)
        tx.execute(moved.values(state=bindparam("to")), sorted(told, key=lambda one: one["ticket"]))


def close_judged(tx: Connection, ticket: bytes, ok: bool) -> None:
    """A judge has come to its end with a call; its verdict is no call that would settle it."""
    here = tickets.c.key == ticket, tickets.c.state == "sent"
    tx.execute(update(tickets).where(*here).values(state="answered" if ok else "failed"))


def expire(tx: Connection, now: float, source: str | None = None, read_to: float = math.inf) -> int:
    """Give up what is due (with a `source` all of it that is out); how many.

    What was sent failed, what was not was nobody's failure. At most 5,000 at once. An answer that
    came by `read_to` was read: until then what was sent may be answered, and we are to blame.
    """
    unread = (tickets.c.state == "sent") & (tickets.c.expires_at > read_to)
    due = tickets.c.expires_at <= now, ~unread
    here = due if source is None else (tickets.c.source == source,)
    query = select(tickets.c.key, tickets.c.state).where(tickets.c.state.in_(OUT), *here)
    query = query.order_by(tickets.c.key).limit(_ROWS_AT_ONCE).with_for_update()
    locked = [
        {"ticket": bytes(key), "to": "expired" if state == "sent" else "not_asked"}
        for key, state in tx.execute(query)
    ]
    if locked:
        moved = update(tickets).where(tickets.c.key == bindparam("ticket"))
        tx.execute(moved.values(state=bindparam("to"), why="waited"), locked)
    return len(locked)


def first_out(tx: Connection, source: str, start: float) -> float | None:
    """When the first call of a source from `start` on began whose ticket is out; None when none is.

    Before how far pairs are made none is, and there stand all that retention keeps.
    """
    here = tickets.c.source == source, tickets.c.at >= start
    out = select(func.min(tickets.c.at)).where(*here, tickets.c.state.in_(OUT))
    found: float | None = tx.scalar(out.where(tickets.c.probe == ""))
    return found


def paired_times(tx: Connection) -> dict[str, float]:
    """How far the pairs of each source are made."""
    reached = func.coalesce(paired.c.paired_through, closing.c.closed_through)
    query = select(closing.c.source, reached).outerjoin(paired, paired.c.source == closing.c.source)
    return {source: float(through) for source, through in tx.execute(query)}


def set_paired(tx: Connection, source: str, through: float) -> None:
    """The pairs of a source are made up to a time."""
    upsert(tx, paired, [{"source": source, "paired_through": through}])


def counts(tx: Connection, now: float) -> dict[tuple[str, str], int]:
    """The tickets of the last day by candidate and state, 0 where a candidate has none."""
    query = select(tickets.c.candidate, tickets.c.state, func.count())
    query = query.where(tickets.c.stored_at > now - _DAY_S)
    found = {
        (candidate, state): n
        for candidate, state, n in tx.execute(query.group_by(tickets.c.candidate, tickets.c.state))
    }
    candidates = {candidate for candidate, _ in found}
    every = ((one, state) for one in candidates for state in TICKET_STATES)
    return {key: found.get(key, 0) for key in every}

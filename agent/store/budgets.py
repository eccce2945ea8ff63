"""What candidates may still be asked and cost, the tickets that allow it, and the kill switch.

Every function takes the open transaction. A ticket's row is locked before the rows of `spent`, and
of those the total before the hour: two dispatchers cannot deadlock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, delete, func, select, update

from agent.panes import HOUR_S
from agent.shadows import Budget
from agent.store.ticket_tables import breakers, spent, stops, tickets
from agent.store.writes import insert_new, upsert

OVER_BUDGET, STOPPED, NO_TICKET, EXPIRED = "over_budget", "stopped", "no_ticket", "expired"
# The row of `spent` that holds what a candidate has cost in all.
IN_ALL = -1
LARGEST = 2**62  # what is beyond it is no number for the database, and bounds nothing


class Amount(NamedTuple):
    """What a call takes of a budget."""

    calls: int
    tokens: int
    microusd: int


NOTHING = Amount(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Reserved:
    """What a ticket holds of its candidate's budget, and of which hour."""

    ticket: bytes
    candidate: str
    hour: int
    amount: Amount


def bounds_of(budget: Budget) -> dict[str, tuple[int | None, int | None]]:
    """The bounds of each kind of amount, an hour and in all; None is no bound."""
    usd = [None if one is None else int(one * 1e6) for one in (budget.usd_per_hour, budget.usd)]
    return {
        "calls": (budget.calls_per_hour, budget.calls),
        "tokens": (budget.tokens_per_hour, budget.tokens),
        "microusd": (usd[0], usd[1]),
    }


def reserve(
    tx: Connection, ticket: bytes, candidate: str, budget: Budget, need: Amount,
    now: float, patience_s: float = 0.0,
) -> Reserved | str:  # fmt: skip
    """Take a ticket from owed to reserved together with what it may cost, or the word why not.

    `over_budget`, `stopped` and `expired` (less than `patience_s` is left of it) settle the ticket
    as not asked; `no_ticket` means that it is not owed: no such ticket, or somebody has it.
    """
    if _is_stopped(tx, candidate):
        return _refused(tx, ticket, candidate, STOPPED)
    hour = int(now // HOUR_S) * HOUR_S
    zero = {"candidate": candidate, "calls": 0, "tokens": 0, "microusd": 0}
    insert_new(tx, spent, [zero | {"hour": one} for one in (IN_ALL, hour)])
    whole = tx.begin_nested()
    here = tickets.c.key == ticket, tickets.c.candidate == candidate, tickets.c.state == "owed"
    held = {"state": "reserved", "tokens": need.tokens, "microusd": need.microusd}
    taken = update(tickets).where(*here, tickets.c.expires_at > now + patience_s).values(held)
    if tx.execute(taken).rowcount != 1:
        whole.rollback()
        return _refused(tx, ticket, candidate, EXPIRED)
    if _add(tx, candidate, IN_ALL, budget, need) and _add(tx, candidate, hour, budget, need):
        whole.commit()
        return Reserved(ticket, candidate, hour, need)
    whole.rollback()
    return _refused(tx, ticket, candidate, OVER_BUDGET)


def _add(tx: Connection, candidate: str, hour: int, budget: Budget, need: Amount) -> bool:
    """Add to a row of what was spent, unless that takes it over a bound."""
    statement = update(spent).where(spent.c.candidate == candidate, spent.c.hour == hour)
    for name, (an_hour, in_all) in bounds_of(budget).items():
        bound, wanted = in_all if hour == IN_ALL else an_hour, getattr(need, name)
        if bound is not None:
            statement = statement.where(spent.c[name] <= min(bound, LARGEST) - wanted)
        statement = statement.values({name: spent.c[name] + wanted})
    return tx.execute(statement).rowcount == 1


def _refused(tx: Connection, ticket: bytes, candidate: str, why: str) -> str:
    return why if refuse(tx, ticket, candidate, why) else NO_TICKET


def refuse(tx: Connection, ticket: bytes, candidate: str, why: str) -> bool:
    """Settle an owed ticket as not asked, nobody's failure; False when it is not owed."""
    here = tickets.c.key == ticket, tickets.c.candidate == candidate, tickets.c.state == "owed"
    done = update(tickets).where(*here).values(state="not_asked", why=why[:32])
    return tx.execute(done).rowcount == 1


def mark_sent(tx: Connection, reserved: Reserved, now: float) -> bool:
    """The candidate is asked next; False when the ticket was given up meanwhile: then no call.

    May be done again when it is not known whether it was committed: nobody else has the ticket.
    """
    mine = tickets.c.key == reserved.ticket, tickets.c.state.in_(("reserved", "sent"))
    statement = update(tickets).where(*mine, tickets.c.expires_at > now).values(state="sent")
    return tx.execute(statement).rowcount == 1


def settle_cost(
    tx: Connection, reserved: Reserved, tokens: int | None, microusd: int | None
) -> Amount:
    """Give back what was reserved and not used; what was.

    None is an amount that nobody knows: what was reserved counts. An amount beyond what was
    reserved counts as that: a candidate that reports 10^30 tokens cannot spend the budget.
    """
    cap = reserved.amount
    used = [
        most if one is None else min(max(one, 0), most)
        for one, most in ((tokens, cap.tokens), (microusd, cap.microusd))
    ]
    kept = {"tokens": used[0], "microusd": used[1]}
    tx.execute(update(tickets).where(tickets.c.key == reserved.ticket).values(kept))
    for hour in (IN_ALL, reserved.hour):
        here = spent.c.candidate == reserved.candidate, spent.c.hour == hour
        back = {name: spent.c[name] - (getattr(cap, name) - n) for name, n in kept.items()}
        tx.execute(update(spent).where(*here).values(back))
    return Amount(cap.calls, *used)


def left(tx: Connection, candidate: str, budget: Budget, now: float) -> dict[str, float]:
    """What is left of each bound that a budget has, under the bound's own name."""
    hour = int(now // HOUR_S) * HOUR_S
    rows = select(spent).where(spent.c.candidate == candidate, spent.c.hour.in_((IN_ALL, hour)))
    used = {row.hour: row for row in tx.execute(rows)}
    found: dict[str, float] = {}
    for name, bounds in bounds_of(budget).items():
        for at, bound, suffix in zip((hour, IN_ALL), bounds, ("_per_hour", ""), strict=True):
            if bound is not None:
                rest = max(0, bound - (getattr(used[at], name) if at in used else 0))
                money = name == "microusd"
                found[("usd" if money else name) + suffix] = rest / 1e6 if money else rest
    return found


def stop(tx: Connection, candidate: str, who: str, why: str, now: float) -> None:
    """Ask a candidate nothing more until `resume`."""
    upsert(tx, stops, [{"candidate": candidate, "who": who, "why": why, "stored_at": now}])


def resume(tx: Connection, candidate: str) -> bool:
    """Ask it again; False when nobody had stopped it."""
    return tx.execute(delete(stops).where(stops.c.candidate == candidate)).rowcount > 0


def stopped(tx: Connection) -> dict[str, dict[str, Any]]:
    """Who stopped which candidate, why and when."""
    rows = tx.execute(select(stops)).mappings()
    return {row["candidate"]: {"who": row["who"], "why": row["why"], "at": row["stored_at"]}
            for row in rows}  # fmt: skip


def _is_stopped(tx: Connection, candidate: str) -> bool:
    return tx.scalar(select(stops.c.candidate).where(stops.c.candidate == candidate)) is not None


def tickets_by_state(tx: Connection) -> dict[str, dict[str, int]]:
    """How many tickets of each candidate are in which state; `not_asked` by why."""
    state = case(
        (tickets.c.state == "not_asked", tickets.c.state + ":" + tickets.c.why),
        else_=tickets.c.state,
    )
    query = select(tickets.c.candidate, state, func.count())
    found: dict[str, dict[str, int]] = {}
    for candidate, name, n in tx.execute(query.group_by(tickets.c.candidate, state)):
        found.setdefault(candidate, {})[name.removesuffix(":")] = n
    return found


def known(tx: Connection) -> set[str]:
    """The candidates that a dispatcher ran or somebody stopped, configured or not."""
    return {name for table in (spent, stops, breakers)
            for name in tx.scalars(select(table.c.candidate).distinct())}  # fmt: skip


def put_breakers(tx: Connection, who: str, states: Mapping[str, str], now: float) -> None:
    """Leave word of the breakers' states, for who looks from outside the process."""
    rows = [{"candidate": name, "state": state, "who": who, "stored_at": now}
            for name, state in sorted(states.items())]  # fmt: skip
    upsert(tx, breakers, rows)


def all_breakers(tx: Connection) -> dict[str, dict[str, Any]]:
    """The state of each breaker as the last dispatcher left it, who that was, and when."""
    rows = tx.execute(select(breakers)).mappings()
    return {row["candidate"]: {"state": row["state"], "who": row["who"], "at": row["stored_at"]}
            for row in rows}  # fmt: skip

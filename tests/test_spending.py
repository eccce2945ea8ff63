"""Tickets and budgets: never above a bound, whoever races; the kill switch."""

import threading
from typing import Any

import pytest
from sqlalchemy import select, update

from agent.errors import BadConfig
from agent.record import Ask
from agent.shadows import Budget
from agent.store import Store, budgets, open_store
from agent.store.budgets import Amount, Reserved
from agent.store.ticket_tables import spent, tickets
from tests.shadows import NOW, ask, candidate, owe, states

HOUR = 3600.0
ONE = Amount(1, 10, 100)


def take(
    store: Store, one: Ask, budget: Budget, need: Amount = ONE, now: float = NOW
) -> Reserved | str:
    with store.transaction() as tx:
        return budgets.reserve(tx, one.ticket, one.candidate, budget, need, now)


def owed(store: Store, n: int, **more: Any) -> list[Ask]:
    made = [ask(number=number) for number in range(n)]
    owe(store, *made, **more)
    return made


def used(store: Store, hour: int = budgets.IN_ALL) -> tuple[int, int, int]:
    here = spent.c.candidate == "next", spent.c.hour == hour
    with store.transaction() as tx:
        row = tx.execute(select(spent).where(*here)).one()
    return row.calls, row.tokens, row.microusd


@pytest.mark.parametrize("threads", [8])
def test_dispatchers_that_race_never_go_over(store_url: str, threads: int) -> None:
    """Each has a store of its own, as a process has; 40 calls more than the budget are wanted."""
    n, bound = (1040, 1000) if store_url.startswith("postgresql") else (140, 100)
    first = open_store(store_url)
    asks, budget = owed(first, n), Budget(calls=bound)
    start, won = threading.Barrier(threads), list[bytes]()

    def race(worker: int) -> None:
        mine = open_store(store_url, writer=False)
        start.wait()
        # Every ask is wanted by two of them.
        for one in asks[worker % 4 :: 4]:
            if isinstance(held := take(mine, one, budget), Reserved):
                won.append(held.ticket)
        mine.close()

    workers = [threading.Thread(target=race, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(won) == len(set(won)) == bound
    assert used(first)[0] == bound
    assert states(first) == {"reserved": bound, "not_asked:over_budget": n - bound}
    first.close()


BOUNDS = [
    ({"calls": 2}, 2), ({"calls_per_hour": 3}, 3), ({"tokens": 25}, 2),
    ({"tokens_per_hour": 30}, 3), ({"usd": 0.0002}, 2), ({"usd_per_hour": 0.00035}, 3),
    ({"calls": 0}, 0), ({"calls": 10**30}, 5), ({"calls": 4, "tokens_per_hour": 20}, 2),
]  # fmt: skip


@pytest.mark.parametrize(("bounds", "allowed"), BOUNDS)
def test_each_bound_holds(any_store: Store, bounds: dict[str, float], allowed: int) -> None:
    budget = Budget.model_validate(bounds)
    found = [take(any_store, one, budget) for one in owed(any_store, 5)]
    assert [isinstance(one, Reserved) for one in found] == [True] * allowed + [False] * (
        5 - allowed
    )
    assert set(found[allowed:]) <= {budgets.OVER_BUDGET}
    assert used(any_store) == (allowed, 10 * allowed, 100 * allowed)
    with any_store.transaction() as tx:
        left = budgets.left(tx, "next", budget, NOW)
    assert left.keys() == bounds.keys()
    each = {"calls": 1, "tokens": 10, "usd": 1e-4}
    for name, rest in left.items():
        assert rest == pytest.approx(bounds[name] - allowed * each[name.removesuffix("_per_hour")])


def test_an_hour_ends_and_the_whole_does_not(any_store: Store) -> None:
    budget, asks = Budget(calls_per_hour=2, calls=3), owed(any_store, 6, wait_s=9e3)
    got = [isinstance(take(any_store, one, budget), Reserved) for one in asks[:3]]
    got += [isinstance(take(any_store, one, budget, now=NOW + HOUR), Reserved) for one in asks[3:]]
    assert got == [True, True, False, True, False, False]
    assert used(any_store)[0] == 3


def test_why_a_ticket_is_refused(any_store: Store) -> None:
    late, stopped, twice = owed(any_store, 3)
    budget = Budget(calls=9)
    assert take(any_store, ask(), budget) == budgets.NO_TICKET
    assert take(any_store, late, budget, now=NOW + 600) == budgets.EXPIRED
    with any_store.transaction() as tx:
        budgets.stop(tx, "next", "ann", "it is rude", NOW)
        assert budgets.stopped(tx) == {"next": {"who": "ann", "why": "it is rude", "at": NOW}}
    assert take(any_store, stopped, budget) == budgets.STOPPED
    with any_store.transaction() as tx:
        assert budgets.resume(tx, "next") and not budgets.resume(tx, "next")
    assert isinstance(take(any_store, twice, budget), Reserved)
    assert take(any_store, twice, budget) == budgets.NO_TICKET
    with any_store.transaction() as tx:
        other = budgets.reserve(tx, late.ticket, "other", budget, ONE, NOW)
        assert other == budgets.NO_TICKET, "a ticket of one candidate is none of another"
        assert not budgets.refuse(tx, twice.ticket, "next", "breaker")
    assert states(any_store) == {"not_asked:expired": 1, "not_asked:stopped": 1, "reserved": 1}
    assert used(any_store)[0] == 1


def test_little_time_left_is_too_little(any_store: Store) -> None:
    (one,) = owed(any_store, 1)
    with any_store.transaction() as tx:
        found = budgets.reserve(tx, one.ticket, "next", Budget(calls=1), ONE, NOW + 550, 60.0)
    assert found == budgets.EXPIRED


def test_sent_is_said_once_and_may_be_said_again(any_store: Store) -> None:
    first, second = owed(any_store, 2)
    held = [take(any_store, one, Budget(calls=9)) for one in (first, second)]
    assert isinstance(held[0], Reserved) and isinstance(held[1], Reserved)
    for _ in range(2):
        with any_store.transaction() as tx:
            assert budgets.mark_sent(tx, held[0], NOW)
    with any_store.transaction() as tx:
        tx.execute(update(tickets).where(tickets.c.key == second.ticket).values(state="not_asked"))
    with any_store.transaction() as tx:
        assert not budgets.mark_sent(tx, held[1], NOW), "a ticket that was given up is no leave"
        assert not budgets.mark_sent(tx, held[0], NOW + 600)


SETTLED = [
    ((4, 30), (4, 30)), ((0, 0), (0, 0)), ((None, None), (10, 100)), ((None, 30), (10, 30)),
    ((10**30, 10**30), (10, 100)), ((-5, -5), (0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("told", "kept"), SETTLED)
def test_what_was_not_used_is_given_back(
    any_store: Store, told: tuple[int | None, int | None], kept: tuple[int, int]
) -> None:
    held = take(any_store, owed(any_store, 1)[0], Budget(calls=9))
    assert isinstance(held, Reserved)
    with any_store.transaction() as tx:
        assert budgets.settle_cost(tx, held, *told) == (1, *kept)
    assert used(any_store) == used(any_store, held.hour) == (1, *kept)
    with any_store.transaction() as tx:
        row = tx.execute(select(tickets.c.tokens, tickets.c.microusd)).one()
    assert tuple(row) == kept


def test_tickets_are_counted_by_state_and_breakers_kept(any_store: Store) -> None:
    first, *_ = owed(any_store, 3)
    take(any_store, first, Budget(calls=0))
    with any_store.transaction() as tx:
        counted = budgets.tickets_by_state(tx)
        assert counted == {"next": {"owed": 2, "not_asked:over_budget": 1}}
        for state in ("open", "closed"):
            budgets.put_breakers(tx, "w", {"next": state}, NOW)
        assert budgets.all_breakers(tx) == {"next": {"state": "closed", "who": "w", "at": NOW}}


REFUSED = [
    ({"url": "http://models.example/v1", "private": False}, "clear text"),
    ({"budget": {"usd": 5}}, "price"),
    ({"key": "a", "key_file": "b"}, "not both"),
]


@pytest.mark.parametrize(("more", "said"), REFUSED)
def test_candidates_that_cannot_be_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, BadConfig), match=said):
        candidate(**more)

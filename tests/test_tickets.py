"""Tickets from owed to their end, and pairs that wait for them while nothing else does."""

import math
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from agent.buckets import event_key
from agent.pairs import PAIR
from agent.panes import Group
from agent.record import Ask
from agent.store import Store, closing, open_store, positions, retention, subjects, tickets
from agent.store.tables import calls
from agent.store.ticket_tables import TICKET_STATES, spent
from agent.store.ticket_tables import tickets as table
from agent.store.tickets import answer_id, ticket_of
from consumers.recorder import Recorder, instruments
from tests.road import InboxRoad, native
from tests.shadowing import (
    answer,
    asking,
    closed,
    flushed,
    mark_sent,
    paired,
    rows,
    send,
    states,
)

START, DAY_S = 1_767_225_600, 86_400.0
MAIN = Group("support", "b", "paired:new")


def counted(store: Store) -> dict[str, int]:
    """The tickets by state that there are any of; they are all tickets."""
    with store.transaction() as tx:
        found = tickets.counts(tx, time.time())
        assert sum(found.values()) == tx.scalar(select(func.count()).select_from(table))
    assert {state for _, state in found} in (set(), set(TICKET_STATES))
    return {state: n for (_, state), n in found.items() if n}


def test_an_answer_settles_its_ticket_in_the_flush_that_stores_it(any_store: Store) -> None:
    road = flushed(any_store, asking(), [native(n) for n in range(3)])
    first, second, third = road.listener.asks
    assert counted(any_store) == {"owed": 3}
    mark_sent(any_store, [first, second])
    send(road, [answer(first), answer(second, status="error", response=None), answer(third)])
    # The third was never sent: whatever says that it answers it does not.
    assert states(any_store) == ["answered", "failed", "owed"]
    send(road, [answer(first, status="error"), native(9)])
    assert states(any_store)[:3] == ["answered", "failed", "owed"]


def test_only_its_own_candidate_answers_a_ticket(store: Store) -> None:
    road = flushed(store, asking(), [native(1)])
    (ask,) = road.listener.asks
    mark_sent(store, [ask])
    send(road, [answer(ask, variant="shadow:other"), answer(ask, id=answer_id(bytes(16)))])
    assert states(store) == ["sent"]
    assert ticket_of(answer_id(ask.ticket)) == ask.ticket
    assert [ticket_of(one) for one in ("shadow-1", "shadow-" + "A" * 32, "shadow-" + "g" * 32,
                                       ask.ticket.hex(), "")] == [None] * 5  # fmt: skip


def test_a_request_that_was_lost_is_nobodys_failure(any_store: Store) -> None:
    """The worker was killed between its commit and the topic: the ticket is all that is left."""
    published: list[Ask] = []
    broken = [True]

    def fault(step: str) -> None:
        if step == "committed" and broken:
            broken.clear()
            raise RuntimeError("killed")

    road = InboxRoad(any_store, asking(wait_s=61.0), on_step=fault)
    with pytest.raises(RuntimeError):
        send(road, [native(1)])
    published += road.listener.asks
    assert (published, states(any_store)) == ([], ["owed"])
    again = InboxRoad(any_store, road.config)
    again.drain()  # the call is stored: it is not owed again
    published += again.listener.asks
    assert (published, states(any_store)) == ([], ["owed"])
    assert closed(any_store, again, time.time() + 30)[1] == START
    through, pairs = closed(any_store, again, time.time() + 62)
    assert through == pairs
    assert counted(any_store) == {"not_asked": 1} and not paired(any_store)


def test_an_answer_that_comes_as_its_ticket_expires_is_folded_once(postgres_url: str) -> None:
    """The flush that settles and the process that gives up begin together, on the same rows."""
    store = open_store(postgres_url)
    config = asking()
    road = flushed(store, config, [native(n) for n in range(60)])
    mark_sent(store, road.listener.asks)
    gate, later = threading.Barrier(2, timeout=30), time.time() + 601

    def close() -> None:
        gate.wait()
        closed(other, road, later)

    def meet(step: str) -> None:
        if step == "advance":
            gate.wait()
            time.sleep(0.02)  # so that the closer has the first rows locked, or waits for them

    other = open_store(postgres_url)
    closer = threading.Thread(target=close)
    closer.start()
    flushed(store, config, [answer(ask) for ask in road.listener.asks], meet)
    closer.join(60)
    closed(store, road, later)
    ends = counted(store)
    assert sum(ends.values()) == 60 and set(ends) <= {"answered", "expired"}
    row = paired(store)[MAIN]
    assert row.calls.words[PAIR] == 60
    assert row.summaries["error"].mean() == pytest.approx(ends.get("expired", 0) / 60)
    for one in (other, store):
        one.close()


def test_a_probe_has_a_ticket_of_its_own_and_no_pair(any_store: Store) -> None:
    road = flushed(any_store, asking(), [native(1)])
    (ask,) = road.listener.asks
    mark_sent(any_store, [ask])
    send(road, [answer(ask)])
    with any_store.transaction() as tx:
        probe = tickets.owe_probe(tx, ask.ticket, "typos", time.time(), 600.0)
        assert tickets.owe_probe(tx, ask.ticket, "typos", time.time(), 600.0) is None
        assert tickets.owe_probe(tx, bytes(16), "typos", time.time(), 600.0) is None
    assert probe == event_key("ticket", "new", "support", "call-1", "typos")
    through, pairs = closed(any_store, road)  # no pane waits for it
    assert through == pairs
    again = replace(ask, ticket=probe)
    mark_sent(any_store, [again])
    send(road, [answer(again, variant="probe:new")])
    closed(any_store, road)
    assert counted(any_store) == {"answered": 2}
    assert paired(any_store)[MAIN].calls.words == {PAIR: 1}


def test_an_end_gives_up_what_is_out(any_store: Store) -> None:
    road = flushed(any_store, asking(), [native(n) for n in range(2)])
    mark_sent(any_store, road.listener.asks[:1])
    road.worker.finish("live")
    assert counted(any_store) == {"expired": 1, "not_asked": 1}
    assert paired(any_store)[MAIN].calls.words == {PAIR: 1}


def test_tickets_end_with_their_days_and_with_whom_they_are_about(any_store: Store) -> None:
    road = flushed(any_store, asking(more={"store": {"text_days": 1}}),
                   [native(1, unit="ann"), native(2, unit="bob")])  # fmt: skip
    road.worker.house._next_house = math.inf  # a slow turn would make pairs before she is forgotten
    mark_sent(any_store, road.listener.asks)
    send(road, [answer(ask) for ask in road.listener.asks])
    with any_store.transaction() as tx:
        done = subjects.forget(tx, "ann")
        assert (done["tickets"], done["calls"], done["texts"]) == (1, 2, 2)
        assert tx.scalar(select(func.count()).select_from(calls)) == 2
        tx.execute(spent.insert(), [
            {"candidate": "new", "hour": hour, "calls": 1, "tokens": 1, "microusd": 1}
            for hour in (-1, int(time.time()))
        ])  # fmt: skip
    closed(any_store, road)
    assert paired(any_store)[MAIN].calls.words == {PAIR: 1}
    for days, left, hours in ((29.9, 1, 2), (30.1, 0, 1)):
        with any_store.transaction() as tx:
            retention.prune(tx, road.config, time.time() + days * DAY_S)
            assert tx.scalar(select(func.count()).select_from(table)) == left
            assert tx.scalar(select(func.count()).select_from(spent)) == hours


def test_the_page_shows_what_was_skipped_and_where_tickets_stand(store: Store) -> None:
    config, asked = asking(), list[Ask]()
    shown = instruments(config)
    recorder = Recorder(config, store, shown, ask=asked.extend)
    road = InboxRoad(store, config)
    road.worker.listener = road.worker.house.listener = recorder
    send(road, [native(1), native(2, prompt=None)])
    assert [ask.call.id for ask in asked] == ["call-1"]
    page = shown[0].page().decode()
    assert 'vedette_shadow_skipped_total{candidate="new",reason="no_prompt"} 1.0' in page
    states = [f'vedette_shadow_tickets{{candidate="new",state="{one}"}}' for one in TICKET_STATES]
    numbers = [float(page.partition(one)[2].split()[0]) for one in states]
    assert numbers == [1.0, *[0.0] * 6]
    recorder.resigned()
    page = shown[0].page().decode()
    assert "vedette_shadow_tickets{" not in page and "vedette_shadow_skipped_total{" in page
    assert len(rows(store)) == 1


def test_calls_that_only_use_the_id_of_an_answer_are_none(any_store: Store) -> None:
    road = flushed(any_store, asking(), [native(0)])
    (ask,) = road.listener.asks
    mark_sent(any_store, [ask])
    failed = {"status": "error", "response": None}
    others: list[dict[str, Any]] = [
        {"service": "x"}, {"variant": "shadow:other"}, {"service": "x", "origin": "production"},
    ]  # fmt: skip
    send(road, [answer(ask, **one, **failed) for one in others])
    assert counted(any_store) == {"sent": 1}
    send(road, [answer(ask)])
    send(road, [answer(ask, service="y", **failed)])
    closed(any_store, road)
    row = paired(any_store)[MAIN]
    assert (row.calls.words, row.summaries["error"].mean()) == ({PAIR: 1}, 0.0)


def test_two_calls_of_one_id_are_one_ask(any_store: Store) -> None:
    road = flushed(any_store, asking(), [native(0), native(0, variant="canary", prompt="And?")])
    assert [ask.call.variant for ask in road.listener.asks] == ["production"]
    assert [ask.call.prompt for ask in road.listener.asks] == ["Question 0?"]
    assert counted(any_store) == {"owed": 1}


def test_answers_that_wait_to_be_read_are_no_failures(any_store: Store) -> None:
    """No scorer ran for longer than a ticket waits."""
    road = flushed(any_store, asking(), [native(0), native(1)])
    mark_sent(any_store, road.listener.asks[:1])
    later = time.time() + 601
    topic = road.config.shadow.answers if road.config.shadow is not None else ""
    with any_store.transaction() as tx:
        positions.register(tx, topic, [0, 1], "shadow")
        positions.mark_caught_up(tx, [(topic, 0, -1)], later)
        closing.close_panes(tx, "live", road.config, later)
    assert counted(any_store) == {"sent": 1, "not_asked": 1}
    with any_store.transaction() as tx:
        positions.mark_caught_up(tx, [(topic, 1, -1)], later)
        closing.close_panes(tx, "live", road.config, later)
    assert counted(any_store) == {"expired": 1, "not_asked": 1}


def test_what_is_out_is_not_looked_for_among_all_that_is_kept(store: Store) -> None:
    road = flushed(store, asking(), [native(0), native(10)])
    first = road.listener.asks[0].call.at
    with store.transaction() as tx:
        assert tickets.first_out(tx, "live", first) == first
        assert tickets.first_out(tx, "live", first + 1) == first + 10
        assert tickets.first_out(tx, "live", first + 11) is None

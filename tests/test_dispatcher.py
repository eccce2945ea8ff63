"""The dispatcher: no ticket, no call; bounds of queues and concurrency; several candidates."""

import asyncio
import time
from collections import Counter

import pytest
from sqlalchemy import Connection, make_url, select

from agent.errors import StoreDown
from agent.record import Answer, Call
from agent.store import Store, budgets, open_store
from agent.store.ticket_tables import tickets
from shadow import dispatcher as module
from shadow import lanes
from shadow.asks import to_bytes
from shadow.dispatcher import UNKNOWN, Dispatcher
from shadow.drive import Drive
from tests.live.proxy import Proxy
from tests.shadows import Box, Ear, Voice, ask, asks_of, candidate, dispatch, owe, shadow, states


def test_candidates_are_asked_beside_each_other_within_their_bounds(any_store: Store) -> None:
    told = shadow(a=candidate(concurrency=2), b=candidate(concurrency=5, budget={"calls": 3}))
    voices = {"a": Voice(pause_s=0.02, together=2), "b": Voice(pause_s=0.02)}
    asks = asks_of(any_store, 12, "a") + asks_of(any_store, 6, "b")
    box = Box()
    ear = dispatch(told, any_store, voices, asks, box)
    assert (voices["a"].most, len(voices["a"].asked)) == (2, 12)
    assert (voices["b"].most <= 3, len(voices["b"].asked)) == (True, 3)
    assert ear.refused == [("b", "over_budget")] * 3
    assert states(any_store) == {"sent": 15, "not_asked:over_budget": 3}
    assert sorted(r["variant"] for r in box.records) == ["shadow:a"] * 12 + ["shadow:b"] * 3
    assert all(voice.closed for voice in voices.values())


def test_no_ticket_no_call_and_no_second_call_of_one(store: Store) -> None:
    voice, (one, two) = Voice(), asks_of(store, 2)
    ear = dispatch(shadow(), store, {"next": voice}, [ask(), one, one, two, one])
    assert sorted(voice.asked) == ["c0", "c1"]
    assert ear.refused == [("next", "no_ticket")] * 3


def test_the_kill_switch_is_looked_at_before_every_call(store: Store) -> None:
    told, asks = shadow(next=candidate(concurrency=1)), asks_of(store, 5)

    def sink(key: bytes, record: bytes) -> None:
        with store.transaction() as tx:
            budgets.stop(tx, "next", "ann", "enough", 0.0)

    voice = Voice()
    ear = dispatch(told, store, {"next": voice}, asks, sink)
    # The second may have looked while the answer of the first was on its way.
    assert 1 <= len(voice.asked) <= 2
    assert set(ear.refused) == {("next", "stopped")}


def test_a_breaker_that_is_open_settles_tickets_as_not_asked(store: Store) -> None:
    told = shadow(next=candidate(concurrency=1, breaker={"failures": 3, "open_s": 600}))
    voice = Voice("error", error="reset")
    ear = dispatch(told, store, {"next": voice}, asks_of(store, 8))
    assert len(voice.asked) == 3
    assert ear.breakers == [("next", "closed"), ("next", "open")]
    assert states(store) == {"sent": 3, "not_asked:breaker": 5}


def test_a_refused_ask_leaves_the_try_to_the_next(store: Store) -> None:
    told = shadow(next=candidate(concurrency=1, breaker={"failures": 1, "open_s": 1e-3}))

    class Mending(Voice):
        async def ask(self, call: Call) -> Answer:
            self.status = "error" if call.id == "c0" else "ok"
            return await super().ask(call)

    first, second = asks_of(store, 2)
    ear = dispatch(told, store, {"next": Mending()}, [first, ask(), second])
    assert [answer.status for _, answer in ear.answers] == ["error", "ok"]
    assert ear.refused == [("next", "no_ticket")]
    assert ear.breakers[-1] == ("next", "closed")


def test_a_try_that_fails_before_its_call_is_no_try(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = shadow(next=candidate(concurrency=1, breaker={"failures": 1, "open_s": 1e-3}))
    marked, voice = budgets.mark_sent, Voice("error", error="reset")

    def broken(tx: Connection, held: budgets.Reserved, now: float) -> bool:
        if len(voice.asked) == 1 and held.ticket == asks[1].ticket:
            voice.status = "ok"
            raise RuntimeError("SECRET")
        return marked(tx, held, now)

    asks = asks_of(store, 3)
    monkeypatch.setattr(budgets, "mark_sent", broken)
    ear = dispatch(told, store, {"next": voice}, asks)
    assert ear.refused == [("next", "internal")] and voice.asked == ["c0", "c2"]
    assert ear.breakers[-1] == ("next", "closed")


def test_what_is_reserved_settles_at_what_was_used(store: Store) -> None:
    told = shadow(next=candidate(price={"input": 1.0, "output": 2.0}, answer_tokens=50))
    dispatch(told, store, {"next": Voice(tokens_in=4, tokens_out=3)}, asks_of(store, 2))
    with store.transaction() as tx:
        left = budgets.left(tx, "next", candidate(budget={"tokens": 1000}).budget, time.time())
        assert left == {"tokens": 1000 - 2 * 7}
    dispatch(told, store, {"next": Voice(tokens_in=4, tokens_out=10**9)}, asks_of(store, 1))
    with store.transaction() as tx:
        left = budgets.left(tx, "next", candidate(budget={"tokens": 1000}).budget, time.time())
    assert 1000 - 14 - 150 < left["tokens"] < 1000 - 14 - 50, "a lie settles at the cap"


BYTES = [
    (b"\xff{", "json"), (None, "empty"), (to_bytes(ask("nobody")), "unconfigured"),
    (b"[" * 9000, "json"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "why"), BYTES)
def test_a_bad_record_is_counted_and_never_raises(
    store: Store, value: bytes | None, why: str
) -> None:
    ear = Ear()
    Dispatcher(shadow(), {"next": Voice()}, store, Box(), ear).take(value, time.time())
    assert ear.refused == [(UNKNOWN, why)]


def test_a_queue_that_is_full_drops_and_the_rest_is_untouched(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, ear = shadow(next=candidate(), other=candidate()), Ear()
    one = Dispatcher(told, {"next": Voice(), "other": Voice()}, store, Box(), ear)
    asks = [ask(number=number) for number in range(lanes.QUEUE_ASKS + 3)]
    assert [one.offer(each) for each in asks].count(True) == lanes.QUEUE_ASKS
    assert ear.refused == [("next", "full")] * 3
    monkeypatch.setattr(lanes, "QUEUE_BYTES", 1000)
    assert [one.offer(ask("other"), 400) for _ in range(4)] == [True, True, False, False]
    assert one.waiting() == {"next": lanes.QUEUE_ASKS, "other": 2}
    one.take(to_bytes(ask("other")), time.time() - 601)
    assert ear.refused[-1] == ("other", "expired")


def test_the_room_of_what_was_asked_is_free_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "QUEUE_BYTES", 1000)

    async def go() -> list[bool]:
        one = Dispatcher(shadow(), {"next": Voice()}, store, Box(), Ear())
        one.start()
        found = []
        for each in asks_of(store, 4):
            found.append(one.offer(each, 800))
            await asyncio.wait_for(one.idle(), 20)
        await one.stop(1.0)
        return found

    assert asyncio.run(go()) == [True] * 4


def test_answers_are_handed_over_again_until_they_are_taken(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    tries = list[bytes]()

    def sink(key: bytes, record: bytes) -> None:
        tries.append(key)
        if len(tries) < 3:
            raise StoreDown("broker")

    asks = asks_of(store, 1)
    ear = dispatch(shadow(), store, {"next": Voice()}, asks, sink)
    assert (tries, ear.lost) == ([asks[0].ticket] * 3, [])


def test_an_answer_that_nobody_can_take_is_counted_and_paid(store: Store) -> None:
    def sink(key: bytes, record: bytes) -> None:
        raise ValueError("too large")

    ear = dispatch(
        shadow(), store, {"next": Voice(tokens_in=1, tokens_out=1)}, asks_of(store, 1), sink
    )
    assert (ear.lost, len(ear.answers)) == (["next"], 1)
    with store.transaction() as tx:
        assert tx.scalar(select(tickets.c.tokens)) == 2


def test_a_defect_ends_one_ask_and_not_the_dispatcher(store: Store) -> None:
    class Broken(Voice):
        async def ask(self, call: Call) -> Answer:
            if call.id == "c0":
                raise RuntimeError("SECRET")
            return await super().ask(call)

    voice = Broken()
    ear = dispatch(shadow(), store, {"next": voice}, asks_of(store, 3))
    assert ear.refused == [("next", "internal")]
    assert sorted(voice.asked) == ["c1", "c2"]


def test_no_call_is_made_while_the_database_is_away(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.05)
    url, voice, ear = make_url(postgres_url), Voice(), Ear()
    direct = open_store(postgres_url)
    asks = asks_of(direct, 6)
    assert url.port is not None

    async def go(store: Store, way: Proxy) -> None:
        one = Dispatcher(shadow(), {"next": voice}, store, Box(), ear)
        one.start()
        way.set("refuse")
        for each in asks:
            await one.put(each)
        await asyncio.sleep(1.0)
        assert voice.asked == []
        way.set("pass")
        await asyncio.wait_for(one.idle(), 30)
        await one.stop(1.0)

    with Proxy(url.port) as way:
        where = url.set(port=way.port).render_as_string(hide_password=False)
        store = open_store(where)
        asyncio.run(go(store, way))
        store.close()
    assert states(direct) == {"sent": 6}
    direct.close()


STOPS = [
    pytest.param(120.0, Voice(pause_s=0.02), 8, 8, id="what is queued is asked"),
    pytest.param(5.0, Voice(late=True), 2, 2, id="for half of the time"),
    pytest.param(0.1, Voice(pause_s=600.0), 2, 0, id="what hangs is cut off"),
]


@pytest.mark.parametrize(("patience_s", "voice", "begun", "ended"), STOPS)
def test_a_stop_has_patience_and_an_end(
    store: Store, patience_s: float, voice: Voice, begun: int, ended: int
) -> None:
    told, box = shadow(next=candidate(concurrency=2)), Box()

    async def go() -> None:
        one = Dispatcher(told, {"next": voice}, store, box, Ear())
        one.start()
        voice.begins = lambda: not any(task.cancelling() for task in one._loops)
        for each in asks_of(store, 8):
            await one.put(each)
        while len(voice.asked) < 2:
            await asyncio.sleep(0.01)
        await one.stop(patience_s)

    asyncio.run(go())
    assert (len(voice.asked), len(box.records)) == (begun, ended)
    # Those that were not begun expire as not asked; those that were cut off, as failures.
    assert +Counter(states(store)) == +Counter({"sent": begun, "owed": 8 - begun})


def test_the_drive_asks_in_a_thread_of_its_own(store: Store) -> None:
    voice, box, ear = Voice(), Box(), Ear()
    drive = Drive(lambda: Dispatcher(shadow(), {"next": voice}, store, box, ear))
    for _ in range(3):
        drive.give(asks_of(store, 100))
        assert drive.drain(20)
    drive.close()
    assert len(box.records) == 300 and states(store) == {"sent": 300}


def test_probes_that_wait_take_no_more_room_than_asks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "QUEUE_BYTES", 10_000)
    text = "Please ask Emily where the ferry leaves today."
    one = ask(prompt=text, contexts=("x" * 6_000,))
    owe(store, one, now=time.time())
    voice = Voice()
    told = shadow(next=candidate(probes=1.0, concurrency=1))
    ear = dispatch(told, store, {"next": voice}, [one])
    assert ear.refused == [("next", "full")] and len(voice.asked) == 2


def test_a_good_answer_is_probed_within_the_same_budget(any_store: Store) -> None:
    told = shadow(next=candidate(probes=1.0, budget={"calls": 3}))
    asks = [ask(number=n, prompt="Please ask Peter where the ferry leaves today.") for n in (0, 1)]
    owe(any_store, *asks, now=time.time())
    voice, box = Voice(together=2), Box()
    ear = dispatch(told, any_store, {"next": voice}, asks, box)
    assert len(voice.asked) == 3 and {why for _, why in ear.refused} == {"over_budget"}
    plain, (probe,) = ([r for r in box.records if r["variant"] == v]
                       for v in ("shadow:next", "probe:next"))  # fmt: skip
    assert len(plain) == 2 and probe["pair"] in ("c0", "c1")
    assert probe["reference"] == plain[0]["response"]
    assert probe["prompt"] != plain[0]["prompt"]
    assert probe["segment"]["probe"] and probe["id"] not in {r["id"] for r in plain}

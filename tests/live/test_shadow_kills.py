"""kill -9 of the worker and of the dispatcher, and a database that stops, while calls flow."""

import random
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from agent.pairs import LATE, PAIR
from agent.shadows import Budget
from agent.store import Store, budgets
from agent.store.tables import calls
from agent.store.tickets import SETTLED, answer_id
from deploy.local.database import Database
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.endpoint import Endpoint
from tests.live.shadow_road import ShadowRoad, by_state, settled
from tests.live.test_kafka_road import received
from tests.live.test_main_job import page
from tests.live.test_shadow_road import MAIN
from tests.shadowing import paired, rows
from tests.shadows import states

AT_ONCE = 24


def more(store: Store, fake: Endpoint, calls: int, asked: int) -> bool:
    """Whether more was stored and more was asked."""
    return received(store) >= calls and len(fake.asked) >= asked


def late(store: Store) -> int:
    """How many answers are stored of tickets that were given up before."""
    given_up = {answer_id(bytes(row.key)) for row in rows(store) if row.state == "expired"}
    with store.transaction() as tx:
        return len(given_up & set(tx.scalars(select(calls.c.id))))


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.prove)])
@pytest.mark.timeout(1500)
def test_kills_leave_every_pair_folded_once(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path, kills: int
) -> None:
    """Now the dispatcher and now the worker dies, at moments of ours, with calls in flight.

    More may run at once than come, so what is delivered again has been asked already.
    """
    draws = random.Random(kills)
    with Endpoint("slow") as fake:
        where = tmp_path / "a", broker, topic, postgres_url, fake.url
        # A call takes 0.4 s.
        road = ShadowRoad(*where, wait_s=12.0, session_s=1.5, timeout_s=10.0, stream=False,
                          concurrency=AT_ONCE)  # fmt: skip
        with road.running():
            with road.traffic(15.0):
                for kill in range(kills):
                    stored, asked = received(store), len(fake.asked)
                    goal = stored + draws.randint(10, 30), asked + draws.randint(10, 90)
                    road.until(partial(more, store, fake, *goal), 180)
                    word = ("shadow", "run")[kill % 2]
                    road.kill(word)
                    road.start(word)
                road.until(partial(more, store, fake, received(store) + 10, len(fake.asked) + 10))
            road.until(lambda: settled(store, road.sent))
            road.until(lambda: road.is_paired(store))
    found = by_state(store)
    assert sum(found.values()) == road.sent and set(found) <= {*SETTLED, "not_asked"}
    counted = sum(found.get(state, 0) for state in SETTLED)
    words = paired(store, 1)[MAIN].calls.words
    assert words[PAIR] == counted and set(words) <= {PAIR, LATE}
    prompts = Counter(body["messages"][0]["content"] for _, body in fake.asked)
    assert set(prompts.values()) == {1}, "somebody was asked twice"
    # What was marked as sent when the dispatcher died was perhaps never asked.
    assert found["answered"] <= len(fake.asked) <= counted
    # What ran then has no answer; what else expired was answered while no worker was there.
    assert 0 < found["expired"] - late(store) <= (kills + 1) // 2 * AT_ONCE
    with store.transaction() as tx:
        left = budgets.left(tx, "next", Budget(calls=5000), time.time())
    assert 5000 - left["calls"] == sum(row.tokens > 0 for row in rows(store))


def test_nobody_is_asked_while_the_database_is_stopped(
    broker: Broker,
    topic: MakeTopic,
    postgres_server: Database,
    postgres_url: str,
    store: Store,
    tmp_path: Path,
) -> None:
    """The dispatcher wakes up with calls in flight, room for more, and 80 asks that wait."""
    with Endpoint("slow") as fake:
        # No call in flight, and no ask that waits, may run out of time while this goes on.
        road = ShadowRoad(tmp_path / "a", broker, topic, postgres_url, fake.url,
                          stream=False, timeout_s=120.0)  # fmt: skip
        with road.running():
            road.send(4)
            road.until(lambda: len(fake.asked) == 4)
            dispatcher = road.processes["shadow"]
            dispatcher.send_signal(signal.SIGSTOP)
            road.send(80)
            road.until(lambda: states(store).get("owed") == 80)
            time.sleep(0.5)  # they are on their way
            postgres_server.stop()
            try:
                dispatcher.send_signal(signal.SIGCONT)
                road.send(16)
                for port in road.ports.values():
                    road.until(partial(is_away, port), 60)
                road.until(lambda: waiting(road) >= 60, 60)
                assert len(fake.asked) == 4
            finally:
                postgres_server.start()
            fake.mode = "ok"
            road.until(lambda: settled(store, 100))
            road.until(lambda: road.is_paired(store))
    assert states(store) == {"answered": 100} and len(fake.asked) == 100
    assert paired(store, 1)[MAIN].calls.words == {PAIR: 100}


def waiting(road: ShadowRoad) -> float:
    return road.says("shadow", "vedette_shadow_waiting_asks", candidate="next")


def is_away(port: int) -> bool:
    status, why = page(port, "/readyz")
    return status == 503 and "database" in why

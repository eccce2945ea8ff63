"""A candidate from its questions to the verdict, and in every trouble that an endpoint makes."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from agent.pairs import PAIR
from agent.panes import Group
from agent.store import Store, reads
from agent.store.tables import calls
from agent.store.tickets import answer_id
from tests.conftest import MakeTopic
from tests.live.asking import rss_mb
from tests.live.broker import Broker
from tests.live.endpoint import Endpoint
from tests.live.shadow_road import ShadowRoad, by_state, settled
from tests.live.test_kafka_road import received
from tests.shadowing import paired, rows
from tests.shadows import states
from tests.waiting import wait_until

MAIN = Group("shop", "next-1", "paired:next")
BETTER = {
    "service": "shop", "design": "paired", "arms": ["production", "shadow:next"],
    "primary": "response_refusal", "good": {"response_refusal": "low"},
}  # fmt: skip


def test_a_better_candidate_is_asked_and_found_out(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    """Production refuses every question, and the candidate answers: 120 pairs of one mind."""
    n = 120
    experiments = {"experiments": {"x": BETTER | {"start": time.time() - 60.0}}}
    with Endpoint() as fake:
        where = tmp_path / "a", broker, topic, postgres_url, fake.url
        road = ShadowRoad(*where, more=experiments)
        with road.running():
            road.send(n)
            road.until(lambda: settled(store, n))
            road.until(lambda: road.is_paired(store))
            lines = road.told("readout")
    assert states(store) == {"answered": n} and len(fake.asked) == n
    with store.transaction() as tx:
        stored = tx.execute(select(calls).where(calls.c.variant == "shadow:next")).all()
    owed = {answer_id(bytes(row.key)): row.pair for row in rows(store)}
    assert {row.id: row.pair for row in stored} == owed and len(stored) == n
    assert paired(store, 1)[MAIN].calls.words == {PAIR: n}
    primary = next(line for line in lines if line["role"] == "primary")
    assert primary["verdict"] == "better" and primary["estimate"] == -1.0


TROUBLES = (
    "slow", "hang", "429", "500", "reset", "endless", "gigabyte", "gzip_bomb", "bad_json",
    "redirect",
)  # fmt: skip


def test_no_trouble_of_an_endpoint_costs_a_ticket_or_production(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    """Its mode changes while calls flow: each trouble opens the breaker, its end closes it."""
    gauge = "vedette_shadow_breaker_open_ratio"
    breakers = {"failures": 3, "open_s": 0.3, "most_s": 0.6}
    with Endpoint() as fake:
        road = ShadowRoad(tmp_path / "a", broker, topic, postgres_url, fake.url,
                          breaker=breakers, timeout_s=1.0)  # fmt: skip

        def breaker(is_open: bool) -> Callable[[], bool]:
            return lambda: (road.says("shadow", gauge, candidate="next") > 0) is is_open

        with road.running():
            with road.traffic(8.0):  # at 20 a busy machine asks so late that its queue is full
                road.until(lambda: len(fake.asked) >= 20)
                before = rss_mb(road.processes["shadow"].pid)
                for mode in TROUBLES:
                    fake.mode = mode
                    road.until(breaker(True), 20)
                    fake.mode = "ok"
                    road.until(breaker(False), 20)
                grown = rss_mb(road.processes["shadow"].pid) - before
            road.until(lambda: settled(store, road.sent))
            road.until(lambda: road.is_paired(store))
    assert grown < 40
    found = by_state(store)
    assert set(found) == {"answered", "failed", "not_asked"}
    assert states(store)["not_asked:breaker"] == found["not_asked"]
    asked = found["answered"] + found["failed"]
    assert asked - 3 * len(TROUBLES) <= len(fake.asked) <= asked  # some were given up unsent
    assert found["failed"] >= 3 * len(TROUBLES)
    assert paired(store, 1)[MAIN].calls.words == {PAIR: asked}
    production_is_whole(store, road.sent, asked)


def production_is_whole(store: Store, production: int, answers: int) -> None:
    """Every call and every answer was taken once, whatever the candidate did."""
    wait_until(lambda: received(store) == production + answers)
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        origins = Counter(tx.scalars(select(calls.c.origin)))
    assert ledger.sums and origins == {"production": production, "shadow": answers}

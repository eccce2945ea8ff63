"""What the closer says of the ledger, and whose lag a worker shows."""

import json

import numpy as np
import pytest
from sqlalchemy import update

from abtest.verdict import INVALID, why_invalid
from agent.config import load_config
from agent.record import Partition
from agent.store import Store
from agent.store.tables import offsets
from consumers import house
from consumers.gauges import Gauges
from consumers.house import Held
from consumers.recorder import Recorder, instruments
from tests.experiments import NOW, split, told, travel
from tests.exposition import value
from tests.road import InboxRoad, as_bytes, native


@pytest.fixture
def road(store: Store, monkeypatch: pytest.MonkeyPatch) -> InboxRoad:
    """A worker that looks after its house at every step, and shows what it finds."""
    monkeypatch.setattr(house, "_HOUSE_S", 0.0)
    monkeypatch.setattr(house, "_LEDGER_S", 0.0)
    made = InboxRoad(store)
    made.worker.house.listener = Recorder(load_config(), store, instruments(load_config()))
    made.inbox.append(as_bytes(native(number) for number in range(20)))
    made.drain()
    return made


def shown(road: InboxRoad) -> Recorder:
    listener = road.worker.house.listener
    assert isinstance(listener, Recorder)
    return listener


@pytest.mark.parametrize("error", [1, -3])
def test_the_closer_shows_a_gap_of_the_ledger(road: InboxRoad, error: int) -> None:
    tally = shown(road).tally
    assert value(tally, "vedette_ledger_gap_calls") == 0
    with road.store.transaction() as tx:
        tx.execute(update(offsets).values(found=offsets.c.found + error))
    road.worker.step(0.0)
    assert value(tally, "vedette_ledger_gap_calls") == error


def test_who_does_not_close_says_nothing_of_the_ledger(road: InboxRoad) -> None:
    tally = shown(road).tally
    Gauges(tally).resign()
    with pytest.raises(KeyError):
        value(tally, "vedette_ledger_gap_calls")


def test_the_lag_of_a_partition_that_went_away_is_no_longer_shown(road: InboxRoad) -> None:
    tally, labels = shown(road).tally, {"topic": "inbox", "partition": "0"}
    assert value(tally, "vedette_consumer_lag_records", **labels) == 0
    held: dict[Partition, Held] = {}
    road.worker.house.keep(held)
    with pytest.raises(KeyError):
        value(tally, "vedette_consumer_lag_records", **labels)
    # It is shown again when the partition comes back.
    road.inbox.append([(0.0, json.dumps(native(99)).encode())])
    road.drain()
    assert value(tally, "vedette_consumer_lag_records", **labels) == 0


def test_why_an_experiment_is_invalid_is_shown(store: Store, rng: np.random.Generator) -> None:
    config = told()
    travel(store, config, split(rng, 1500, 0.0, share=0.62))
    listener = Recorder(config, store, instruments(config))
    listener.experiments(NOW)
    found = {
        reason: value(listener.tally, "vedette_experiment_invalid", experiment="x", reason=reason)
        for reason in INVALID
    }
    assert found == {"sample_ratio": 1, "self_test": 0, "sign": 0}


def test_an_invalid_verdict_says_why_in_one_word() -> None:
    for word, said in INVALID.items():
        assert why_invalid(f"invalid ({said}, p = 1e-05)") == word
    assert [why_invalid(verdict) for verdict in ("worse", "not yet", "")] == ["", "", ""]

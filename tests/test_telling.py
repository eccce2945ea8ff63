"""Telling: every change once, what rings again and again, and the road never waits for it."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from agent.config import Config
from agent.findings import Finding
from agent.store import Store
from agent.store.findings import Kept
from consumers import house, telling
from consumers.courier import Undelivered, Way
from consumers.metrics import Tally
from consumers.recorder import Recorder, instruments
from consumers.telling import Teller, ways_of
from tests.alerting import DRIFT, START, Hook, alerting, drift, hooked, kept
from tests.conftest import Clock
from tests.exposition import BURNS, samples, value
from tests.road import InboxRoad, as_bytes
from tests.test_watch import TOLD, configured, records
from tests.waiting import wait_until


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hooked() as made:
        yield made


class Topic:
    """A topic in this process: what it acknowledged."""

    way = "topic"

    def __init__(self) -> None:
        self.told: list[tuple[bytes, str]] = []
        self.away = False

    def deliver(self, rows: Sequence[Kept]) -> None:
        if self.away:
            raise Undelivered("broker: sending failed (KafkaTimeoutError)")
        self.told += [(one.finding.key, one.finding.state) for one in rows]

    def close(self) -> None:
        """Nothing is open."""


class Desk:
    """A teller, its clocks, and what it counted."""

    def __init__(self, store: Store, config: Config, *ways: Way) -> None:
        self.now, self.tally = Clock(), Tally()
        self.store = store
        self.teller = Teller(config, store, self.tally, ways or ways_of(config), self.now)

    def turn(self, *found: Finding, seconds: float = 0.0) -> list[str]:
        """Store findings, tell, and wait for the outcome; the states that are current."""
        self.now.advance(seconds)
        kept(self.store, *found, now=self.now())
        rows = self.teller.tell(self.now())
        self.teller.settle(30.0)
        return [one.finding.state for one in rows]

    def failed(self, way: str = "webhook") -> float:
        return value(self.tally, "vedette_alerts_failed_total", way=way)


@contextmanager
def desk(store: Store, config: Config, *ways: Way) -> Iterator[Desk]:
    made = Desk(store, config, *ways)
    try:
        yield made
    finally:
        made.teller.close()


def ends(hook: Hook) -> list[list[bool]]:
    """Of each post, whether its alerts are over."""
    return [["endsAt" in alert for alert in post] for post in hook.posts]


def test_what_rings_is_sent_again_and_what_ended_for_five_minutes(
    any_store: Store, hook: Hook
) -> None:
    with desk(any_store, alerting(webhook=hook.address)) as here:
        assert here.turn(drift("pending")) == ["pending"]
        assert hook.posts == []
        here.turn(DRIFT)
        here.turn(seconds=59)
        assert ends(hook) == [[False]]
        here.turn(seconds=1)
        here.turn(BURNS, seconds=1)  # a change waits for nothing
        assert ends(hook) == [[False], [False], [False, False]]
        assert here.turn(drift("resolved"), seconds=1) == ["firing", "resolved"]
        assert sorted(ends(hook)[-1]) == [False, True]
        for _ in range(5):
            here.turn(seconds=60)
        assert [sorted(one) for one in ends(hook)[-5:]] == [[False, True]] * 5
        assert here.turn(seconds=60) == ["firing"]
        assert ends(hook)[-1] == [False]
    assert value(here.tally, "vedette_alerts_sent_total", way="webhook") == 17
    assert here.failed() == 0


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [("status", "answered 500"), ("slow", "did not answer within 0.5 s"), ("dead", "ConnectError")],
)
def test_a_webhook_that_fails_is_counted_named_once_and_told_when_it_is_back(
    store: Store, caplog: pytest.LogCaptureFixture, trouble: str, reason: str
) -> None:
    with hooked() as hook:
        address = hook.address
        where = address if trouble != "dead" else "http://127.0.0.1:9/api/v2/alerts"
        config = alerting(webhook=where, timeout_s=0.5 if trouble == "slow" else 20)
        with desk(store, config) as here, caplog.at_level(logging.INFO):
            if trouble != "dead":
                here.turn(DRIFT)
            hook.status, hook.wait_s = (
                500 if trouble == "status" else 200,
                1.0 * (trouble == "slow"),
            )
            for _ in range(3):
                here.turn(DRIFT, seconds=60)
            assert here.failed() == 3
            assert [reason in one.message for one in caplog.records] == [True]
            if trouble == "dead":
                return
            # It rang and ended while the webhook was away, longer ago than five minutes.
            here.turn(drift("resolved"), seconds=60)
            here.turn(seconds=400)
            wait_until(lambda: len(hook.posts) == 6)  # also those that nobody waited for
            hook.status, hook.wait_s = 200, 0.0
            hook.posts.clear()
            here.turn(seconds=60)
            assert ends(hook) == [[True]]
            assert caplog.records[-1].message.endswith("takes them again")


def test_one_webhook_that_is_away_holds_no_other(store: Store, hook: Hook) -> None:
    both = ["http://127.0.0.1:9/x", hook.address]
    with desk(store, alerting(webhook=both)) as here:
        here.turn(DRIFT)
    assert ends(hook) == [[False]] and here.failed() == 1


def test_many_alerts_go_in_posts_of_a_bounded_size(store: Store, hook: Hook) -> None:
    storm = [drift(name=(("model", f"m-{at}"),)) for at in range(150)]
    with desk(store, alerting(webhook=hook.address)) as here:
        here.turn(*storm)
    assert [len(post) for post in hook.posts] == [64, 64, 22]


def test_the_topic_hears_of_a_change_once_whoever_tells(any_store: Store) -> None:
    topic, config = Topic(), alerting()
    with desk(any_store, config, topic) as first:
        first.turn(DRIFT)
        first.turn(drift(n=999), seconds=60)
        first.teller.forget()  # another process closes, and hands back
        first.turn(seconds=60)
        assert topic.told == [(DRIFT.key, "firing")]
    with desk(any_store, config, topic) as second:
        second.turn()
        assert len(topic.told) == 1
        topic.away = True
        second.turn(drift("resolved"))
        second.turn(seconds=30)
        assert (len(topic.told), second.failed("topic")) == (1, 1)
        topic.away = False
        second.turn(seconds=30)
        second.turn(seconds=60)
        assert topic.told == [(DRIFT.key, "firing"), (DRIFT.key, "resolved")]


def test_a_source_that_ends_tells_its_last_numbers(store: Store, hook: Hook) -> None:
    here = Desk(store, alerting(webhook=hook.address))
    here.turn(DRIFT)
    kept(store, drift(n=400))
    here.teller.finish(here.now())
    assert [post[0]["annotations"]["n"] for post in hook.posts] == ["312", "400"]


def test_who_dies_before_it_noted_the_acknowledgement_tells_again(store: Store) -> None:
    topic, config = Topic(), alerting()
    first = Desk(store, config, topic)
    kept(store, DRIFT)
    first.teller.tell(START)
    wait_until(lambda: len(topic.told) == 1)  # acknowledged, never settled
    with desk(store, config, topic) as second:
        second.turn()
    assert topic.told == [(DRIFT.key, "firing")] * 2


def road_s(store: Store, config: Config, some: list[dict[str, Any]]) -> tuple[float, Recorder]:
    """How long the road takes for records while something rings."""
    recorder = Recorder(config, store, instruments(config), ways_of(config, broker=False))
    road = InboxRoad(store, config, TOLD)
    road.worker.house.listener = road.worker.listener = recorder
    road.inbox.append(as_bytes(some))
    began = time.perf_counter()
    road.drain()
    took_s = time.perf_counter() - began
    road.worker.finish("backfill")
    return took_s, recorder


def test_a_webhook_that_never_answers_costs_the_road_nothing(
    store: Store, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "_HOUSE_S", 0.0)
    monkeypatch.setattr(telling, "_CLOSE_S", 0.1)
    with hooked() as hook:
        hook.wait_s = 60.0
        told = {"alerts": {"webhook": hook.address, "timeout_s": 60, "resend_s": 0.05}}
        config = configured().model_copy(update={"alerts": alerting(**told["alerts"]).alerts})
        kept(store, DRIFT, now=time.time())
        took_s, recorder = road_s(store, config, records(rng, 1600, 1600, 0.0))
        assert took_s < hook.wait_s  # one answer takes longer
        recorder.close()
        assert len(hook.posts) == 0
        hook.wait_s = 0.0


def test_a_change_along_the_road_reaches_the_webhook_and_the_page(
    store: Store, rng: np.random.Generator, hook: Hook
) -> None:
    alerts = {"webhook": hook.address, "link": "https://vedette.example"}
    config = configured().model_copy(update={"alerts": alerting(**alerts).alerts})
    _, recorder = road_s(store, config, records(rng, 1600, 1000, 0.15))
    recorder.finish(time.time())
    mine = [one for post in hook.posts for one in post if one["labels"]["model"] == "*"]
    assert mine[-1]["labels"]["alertname"] == "VedetteDrift"
    summary = mine[-1]["annotations"]["summary"]
    assert summary.startswith("response_relevance of support / * fell from a mean of 0.7")
    shown = {key[0] for key in samples(recorder.tally) if key[0].startswith("vedette_finding_")}
    assert len(shown) == 4
    rings = {"service": "support", "model": "*", "variant": "", "segment": ""}
    rings |= {"metric": "response_relevance"}
    assert value(recorder.tally, "vedette_drift_firing", **rings) == 1
    state = value(recorder.tally, "vedette_finding_state", kind="drift", state="firing", **rings)
    assert state == 1

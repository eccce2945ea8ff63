"""The real Alertmanager takes what is told, hands it on, and hears when it is over."""

from collections.abc import Iterator

import pytest

from agent.store import Store
from deploy.local.child import Unavailable
from tests.alerting import DRIFT, Hook, alerting, drift, hooked
from tests.conftest import absent
from tests.exposition import BURNS
from tests.live.alertmanager import Alertmanager
from tests.test_alerts import HOSTILE
from tests.test_telling import Desk, desk
from tests.waiting import wait_until


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hooked() as made:
        yield made


@pytest.fixture
def alertmanager(hook: Hook) -> Iterator[Alertmanager]:
    try:
        server = Alertmanager(f"http://127.0.0.1:{hook.port}/")
    except Unavailable as why:
        absent(why)
    with server:
        yield server


def heard(hook: Hook) -> list[tuple[str, str]]:
    """Name and state of every alert that was handed on."""
    return [
        (alert["labels"]["alertname"], alert["status"])
        for post in hook.posts
        for alert in post["alerts"]
    ]


def told(here: Desk, alertmanager: Alertmanager) -> set[str]:
    assert here.failed() == 0
    return {one["labels"]["alertname"] for one in alertmanager.alerts()}


def test_alerts_fire_and_resolve(store: Store, hook: Hook, alertmanager: Alertmanager) -> None:
    config = alerting(webhook=alertmanager.address, link="https://vedette.example/", timeout_s=5)
    with desk(store, config) as here:
        here.turn(DRIFT, BURNS)
        assert told(here, alertmanager) == {"VedetteDrift", "VedetteBurnRate"}
        wait_until(lambda: len(heard(hook)) == 2)
        assert set(heard(hook)) == {("VedetteDrift", "firing"), ("VedetteBurnRate", "firing")}
        here.turn(seconds=60)
        here.turn(drift("resolved", as_of=DRIFT.as_of + 60), seconds=60)
        assert told(here, alertmanager) == {"VedetteBurnRate"}
        wait_until(lambda: ("VedetteDrift", "resolved") in heard(hook))
        here.turn(drift(began=DRIFT.began + 900, as_of=DRIFT.as_of + 900), seconds=60)
        assert told(here, alertmanager) == {"VedetteDrift", "VedetteBurnRate"}
    every = [alert for post in hook.posts for alert in post["alerts"]]
    one = next(alert for alert in every if alert["labels"]["alertname"] == "VedetteDrift")
    assert one["annotations"]["threshold"] == "16.5"
    assert one["generatorURL"] == f"https://vedette.example/findings#{DRIFT.key.hex()}"


def test_hostile_names_are_taken(store: Store, hook: Hook, alertmanager: Alertmanager) -> None:
    name = (("service", HOSTILE), ("model", 'm"\\{}\n'), ("metric", "error"))
    with desk(store, alerting(webhook=alertmanager.address, timeout_s=5)) as here:
        here.turn(drift(name=name, summary=HOSTILE))
        (alert,) = alertmanager.alerts()
        assert here.failed() == 0
    assert alert["labels"]["model"] == 'm"\\{}\ufffd' and len(alert["labels"]["service"]) == 128

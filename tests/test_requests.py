"""Asks on their way to the dispatcher: under their ticket, and never a reason to wait."""

from typing import cast

import pytest

from agent.errors import BadRecord, StoreDown
from agent.record import Ask, Call
from consumers.pump.admin import configured_topics
from consumers.pump.sender import Sender
from consumers.requests import RequestsTopic
from tests.shadowing import asking


class Broker:
    """A sender that takes what it is given, or is away."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, bytes]] = []
        self.away, self.tried, self.failures = False, 0, 0

    def send(self, topic: str, value: bytes, key: bytes) -> None:
        self.tried += 1
        self.failures += 1
        if self.away:
            raise StoreDown("broker: away")
        self.taken.append((topic, key, value))

    def take_failures(self) -> int:
        found, self.failures = self.failures, 0
        return found


def as_name(ask: Ask) -> bytes:
    return ask.call.id.encode()


ASKS = [Ask(bytes([n]) * 16, "new", Call(f"c-{n}", 0.0, "m")) for n in range(3)]


def test_each_ask_is_sent_under_its_ticket() -> None:
    broker = Broker()
    RequestsTopic(cast(Sender, broker), "asks", as_name)(ASKS)
    assert broker.taken == [("asks", bytes([n]) * 16, f"c-{n}".encode()) for n in range(3)]


def test_what_the_broker_refused_later_is_not_kept_for_ever() -> None:
    broker = Broker()
    topic = RequestsTopic(cast(Sender, broker), "asks", as_name)
    for _ in range(3):
        topic(ASKS)
    assert broker.failures == len(ASKS)


def test_an_ask_that_has_no_form_costs_no_other() -> None:
    def named(ask: Ask) -> bytes:
        if ask.call.id == "c-1":
            raise BadRecord("encoding")
        return as_name(ask)

    broker = Broker()
    RequestsTopic(cast(Sender, broker), "asks", named)(ASKS)
    assert [value for _, _, value in broker.taken] == [b"c-0", b"c-2"]


def test_a_broker_that_is_away_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, now = Broker(), [100.0]
    monkeypatch.setattr("consumers.requests.time.monotonic", lambda: now[0])
    topic = RequestsTopic(cast(Sender, broker), "asks", as_name)
    broker.away = True
    topic(ASKS)
    topic(ASKS)
    assert broker.tried == 1  # their tickets expire as not asked
    broker.away, now[0] = False, 121.0
    topic(ASKS)
    assert len(broker.taken) == 3


def test_the_topic_of_requests_is_made_and_is_no_input() -> None:
    roles = {topic.name: topic.role for topic in configured_topics(asking())}
    assert roles["vedette-shadow-requests"] == "shadow requests"
    assert roles["vedette-shadow-answers"] == "shadow answers"

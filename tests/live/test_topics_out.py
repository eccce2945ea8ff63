"""What goes out again: scored calls and dead letters as topics, and both without their topic."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaProducer
from sqlalchemy import select

from agent.config import load_config
from agent.store import open_store, reads
from agent.store.tables import dead_letters
from consumers import commands
from consumers.deadletter import publish_letters
from consumers.pump.sender import Sender
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.test_hostile_road import counted, letters_of
from tests.live.test_kafka_road import configured, produce, received
from tests.live.test_main_job import vedette
from tests.live.test_outages import Service, ended, everything_is_counted_once, serving
from tests.road import InboxRoad
from tests.waiting import wait_until

N = 1500
WORD = "Zanzibar"


def test_scored_calls_are_published_without_their_texts(
    broker: Broker, topic: MakeTopic, sqlite_url: str, tmp_path: Path
) -> None:
    name, out = topic(partitions=2), topic()
    produce(broker, name, range(N), prompt=f"Where is {WORD}?", segment={"tenant": "acme"})
    run = Service(tmp_path / "run", name, broker.address, sqlite_url, scored=out)
    with serving(run) as service:
        published = letters_of(broker, out, N)
        assert counted(service, "vedette_scored_unpublished_total") == 0
        assert ended(service) == 0, service.log()
    bodies = [json.loads(record.value) for record in published]
    assert {body["id"] for body in bodies} == {f"call-{number}" for number in range(N)}
    one = next(body for body in bodies if body["id"] == "call-1")
    assert (one["model"], one["status"], one["segment"]) == ("model-1", "ok", {"tenant": "acme"})
    assert one["scores"]["latency"] == 0.625
    assert one["scores"]["response_refusal"] == 0.0
    assert not any(WORD.encode() in record.value for record in published)
    with closing(open_store(sqlite_url)) as store:
        everything_is_counted_once(store, N)


def test_dead_letters_are_replayed_to_their_topic(
    broker: Broker, topic: MakeTopic, sqlite_url: str, tmp_path: Path
) -> None:
    """A judgement that came before its call is put back when the call is there."""
    name, dead = topic(), topic()
    early = {"feedback_for": "call-1", "at": 1_767_225_700, "value": 1.0}
    producer = KafkaProducer(bootstrap_servers=broker.address)
    producer.send(name, value=json.dumps(early).encode(), key=b"k", headers=[("mine", b"kept")])
    producer.send(name, value=b"no json")
    producer.close()
    run = Service(tmp_path / "run", name, broker.address, sqlite_url, dead_letters=dead)
    with serving(run) as service:
        assert len(letters_of(broker, dead, 2)) == 2
        produce(broker, name, range(3))
        wait_until(lambda: counted(service, "vedette_requests_total") == 3)
        assert ended(service) == 0
    words = ("dead-letters", "--replay", "--reason", "unknown_call")
    assert vedette(tmp_path / "run", *words).wait(60) == 0
    back = letters_of(broker, name, 6)[-1]
    assert (json.loads(back.value), back.key) == (early, b"k")
    assert dict(back.headers) == {"mine": b"kept", "x-replay-count": b"1"}
    with serving(run) as service:
        wait_until(lambda: counted(service, "vedette_calls_total") == 1)
        assert ended(service) == 0
    with closing(open_store(sqlite_url)) as store, store.transaction() as tx:
        ledger = reads.ledger(tx)
    assert (ledger.terms["feedback"], ledger.terms["invalid"], ledger.received) == (1, 1, 6)
    assert ledger.sums


def test_a_letter_too_large_for_its_topic_keeps_no_other_from_it(
    broker: Broker, topic: MakeTopic, sqlite_url: str
) -> None:
    dead = topic(max_message_bytes="2000")
    with closing(open_store(sqlite_url)) as store:
        way = InboxRoad(store)
        way.inbox.append([(1.0, b"{" + b"x" * 4000), (1.0, b"{one"), (1.0, b"{two")])
        way.drain()
        with closing(Sender(configured(broker, dead).kafka)) as sender:
            assert publish_letters(store, sender, dead, "g") == 3
            assert publish_letters(store, sender, dead, "g") == 0
    assert {record.value for record in letters_of(broker, dead, 2)} == {b"{one", b"{two"}


def test_a_record_that_the_broker_refuses_for_good_ends_no_sender(
    broker: Broker, topic: MakeTopic
) -> None:
    name = topic(max_message_bytes="2000")
    with closing(Sender(configured(broker, name).kafka)) as sender:
        with pytest.raises(ValueError, match="too large for the broker"):
            sender.deliver(name, [(b"k", b"x" * 4000)], arrival=1.0)
        sender.deliver(name, [(b"k", b"one")], arrival=1.0)
        sender.send(name, b"x" * 4000)
        assert sender.flush() == ["MessageSizeTooLargeError"]
        sender.send(name, b"two")
        assert sender.flush() == []
    assert {record.value for record in letters_of(broker, name, 2)} == {b"one", b"two"}


def test_without_their_topics_nothing_is_lost_and_nothing_waits(
    broker: Broker, topic: MakeTopic, sqlite_url: str, tmp_path: Path
) -> None:
    name = topic()
    produce(broker, name, range(N))
    producer = KafkaProducer(bootstrap_servers=broker.address)
    producer.send(name, value=b"no json")
    producer.close()
    missing = {"scored": f"{name}-scored", "dead_letters": f"{name}-dead"}
    run = Service(tmp_path / "run", name, broker.address, sqlite_url, **missing)
    with serving(run) as service:
        wait_until(lambda: counted(service, "vedette_dead_letters_total") == 1)
        wait_until(lambda: counted(service, "vedette_scored_unpublished_total") > 0)
        with closing(open_store(sqlite_url, writer=False)) as store:
            wait_until(lambda: received(store) == N + 1)
            assert service.says("/livez")[0] == 200
            assert ended(service, 40) == 0, service.log()
            for key, absent in missing.items():
                assert f"kafka.{key}: the broker has no topic {absent}; `vede" in service.log()
            broker_row = commands.check(load_config(run.folder / "vedette.yaml"))[-2]
            assert broker_row["detail"] == (
                f"kafka.dead_letters ({name}-dead), kafka.scored ({name}-scored): "
                "no such topic; `vedette topics --create`"
            )
            with store.transaction() as tx:
                (letter,) = tx.execute(select(dead_letters)).all()
                ledger = reads.ledger(tx)
    assert (letter.reason, bytes(letter.value), letter.sent_at) == ("json", b"no json", None)
    assert ledger.sums
    assert ledger.terms["scored"] == N

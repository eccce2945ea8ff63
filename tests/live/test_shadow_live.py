"""`vedette shadow` on a real broker and PostgreSQL: asks in, answers out, tickets that add up."""

import signal
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer

from agent.store import Store
from tests.conftest import MakeTopic
from tests.live.asking import Asking, asks_of, next_one, said
from tests.live.broker import Broker
from tests.live.endpoint import Endpoint
from tests.live.test_main_job import page
from tests.shadows import ask, states
from tests.waiting import wait_until


def test_asks_come_back_as_answers(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    with Endpoint() as fake:
        run = Asking(tmp_path / "a", broker, topic, postgres_url, next=next_one(fake.url))
        asks = asks_of(store, 100)
        with run.running() as process:
            run.send(*asks)
            wait_until(lambda: states(store) == {"sent": 100})
            producer = KafkaProducer(bootstrap_servers=broker.address)
            for value in (b"\xff\xfe", b"", b"[" * 90_000, b'{"ticket": 1}', None):
                producer.send(run.topics[0], value, key=b"k")
            producer.close()
            run.send(*asks[:20])  # once more: nobody is asked twice
            run.send(ask(), at=time.time() - 700)
            reasons = ("json", "empty", "not_an_object")
            name = "vedette_shadow_unasked_total"
            wait_until(lambda: run.says(name, candidate="next", reason="no_ticket") == 20)
            wait_until(lambda: run.says(name, candidate="next", reason="expired") == 1)
            counts = [run.says(name, candidate="unknown", reason=one) for one in reasons]
            assert counts == [2, 2, 1]
            wait_until(lambda: len(run.answers()) == 100)
            assert run.says("vedette_shadow_calls_total", candidate="next", status="ok") == 100
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, run.log()
            assert time.monotonic() - began < 15
        assert len(fake.asked) == 100 and fake.most <= 8
    answers = run.answers()
    assert {one["id"] for one in answers} == {f"shadow-{one.ticket.hex()}" for one in asks}
    assert {one["pair"] for one in answers} == {one.call.id for one in asks}
    assert not [path for path in run.folder.iterdir() if path.is_dir()], "Faust left folders"


@pytest.mark.timeout(300)
def test_a_broker_that_comes_back_is_gone_on_with(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    with Endpoint() as fake:
        run = Asking(tmp_path / "a", broker, topic, postgres_url, next=next_one(fake.url))
        with run.running() as process:
            run.send(*asks_of(store, 10))
            wait_until(lambda: len(fake.asked) == 10)
            broker.restart()
            run.send(*asks_of(store, 10, first=10))
            began = time.monotonic()
            wait_until(lambda: len(run.answers()) == 20 or process.poll() is not None, 70)
            if process.poll() is not None:  # also allowed: its supervisor starts it again
                assert process.poll() not in (0, None) and time.monotonic() - began < 60
                with run.running():
                    wait_until(lambda: len(fake.asked) == 20, 60)
    assert states(store) == {"sent": 20} and len(fake.asked) == 20


def test_dispatchers_share_the_work_and_follow_each_other(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    with Endpoint() as fake:
        first = Asking(tmp_path / "a", broker, topic, postgres_url, next=next_one(fake.url))
        second = Asking(tmp_path / "b", broker, topic, postgres_url, first, next=next_one(fake.url))
        name, labels = "vedette_shadow_calls_total", {"candidate": "next", "status": "ok"}
        with second.running():
            with first.running() as process:
                sent = 0
                while not (first.says(name, **labels) and second.says(name, **labels)):
                    first.send(*asks_of(store, 10, first=sent))
                    sent += 10
                    time.sleep(0.5)
                    assert sent < 1000, "one of them has all partitions"
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0, first.log()
            first.send(*asks_of(store, 20, first=sent))
            wait_until(lambda: states(store) == {"sent": sent + 20}, 90)
            # A ticket is sent before its question is on the way.
            wait_until(lambda: len(fake.asked) >= sent + 20)
        assert len(fake.asked) == sent + 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("stall_s", [16.0, pytest.param(120.0, marks=pytest.mark.prove)])
def test_a_broker_that_is_gone_for_good_ends_the_process(
    broker: Broker,
    topic: MakeTopic,
    postgres_url: str,
    store: Store,
    tmp_path: Path,
    stall_s: float,
) -> None:
    """After `limits.stall_s`, and in less than a minute however long that is."""
    limits = {"stall_s": stall_s}
    with Endpoint() as fake:
        where = tmp_path / "a", broker, topic, postgres_url
        run = Asking(*where, limits=limits, next=next_one(fake.url))
        with run.running() as process:
            run.send(*asks_of(store, 5))
            wait_until(lambda: len(fake.asked) == 5)
            broker.kill()
            began = time.monotonic()
            try:
                wait_until(lambda: page(run.port, "/readyz")[0] == 503, 30)
                assert process.wait(60) == 70
                assert time.monotonic() - began < min(60, 4 * stall_s)
            finally:
                broker.start()


def test_the_kill_switch_works_from_outside(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    with Endpoint() as fake:
        run = Asking(tmp_path / "a", broker, topic, postgres_url, next=next_one(fake.url))
        with run.running():
            run.send(*asks_of(store, 5))
            wait_until(lambda: len(fake.asked) == 5)
            assert (
                said(run, "--stop", "next", "--why", "it is rude")["stopped"]["why"] == "it is rude"
            )
            run.send(*asks_of(store, 5, first=5))
            wait_until(lambda: states(store) == {"sent": 5, "not_asked:stopped": 5})
            told = said(run, "--resume", "next")
            assert told["stopped"] is None and told["left"] == {"calls": 4995}
            assert told["tickets"] == {"sent": 5, "not_asked:stopped": 5}
            run.send(*asks_of(store, 5, first=10))
            wait_until(lambda: len(fake.asked) == 10)
            wait_until(lambda: said(run, "--status")["breaker"] is not None)
            assert said(run, "--status")["breaker"]["state"] == "closed"


def test_a_call_that_hangs_does_not_hold_up_the_end(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    with Endpoint("hang") as fake:
        one = next_one(fake.url, timeout_s=120)
        run = Asking(tmp_path / "a", broker, topic, postgres_url, next=one)
        with run.running() as process:
            run.send(*asks_of(store, 5))
            wait_until(lambda: len(fake.asked) == 5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(25) == 0, run.log()

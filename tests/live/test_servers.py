"""The servers of the tests are real: they keep their data over a crash and end with the tests."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from deploy.local.child import Child, DidNotStart, await_ready
from deploy.local.database import Database
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.waiting import wait_until


def produce(broker: Broker, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address, reconnect_backoff_max_ms=500)
    for value in values:
        producer.send(topic, value)
    producer.flush(timeout=30)
    producer.close()


def consume(broker: Broker, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=broker.address, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    found: list[bytes] = []
    until = time.monotonic() + 30
    while len(found) < count and time.monotonic() < until:
        for records in consumer.poll(timeout_ms=200).values():
            found += [record.value for record in records]
    consumer.close()
    return found


def test_a_record_makes_the_round_and_survives_kill_9(broker: Broker, topic: MakeTopic) -> None:
    name = topic()
    produce(broker, name, [b"one", b"two"])
    assert consume(broker, name, 2) == [b"one", b"two"]
    broker.restart()
    produce(broker, name, [b"three"])
    assert consume(broker, name, 3) == [b"one", b"two", b"three"]


def test_topics_have_the_partitions_and_options_asked_for(topic: MakeTopic, broker: Broker) -> None:
    name = topic(3, max_message_bytes="1000")
    consumer = KafkaConsumer(bootstrap_servers=broker.address)
    assert consumer.partitions_for_topic(name) == {0, 1, 2}
    consumer.close()
    producer = KafkaProducer(bootstrap_servers=broker.address)
    with pytest.raises(Exception, match="Message"):
        producer.send(name, b"x" * 2000).get(timeout=10)
    producer.close()


def test_a_commit_survives_a_crash_of_postgres() -> None:
    with Database(durable=True) as server:
        where = server.create_database().replace("+psycopg", "")
        with psycopg.connect(where) as connection:
            connection.execute("CREATE TABLE kept (n int)")
            connection.execute("INSERT INTO kept VALUES (7)")
        server.restart()
        with psycopg.connect(where) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]
            assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_databases_are_fresh_and_can_be_dropped_in_use(postgres_server: Database) -> None:
    first, second = postgres_server.create_database(), postgres_server.create_database()
    assert first != second
    left_open = psycopg.connect(first.replace("+psycopg", ""))
    postgres_server.drop_database(first)
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")
    left_open.close()
    postgres_server.drop_database(second)


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    server = Child(("sh", "-c", "echo no such luck >&2; exit 3"), tmp_path)
    with pytest.raises(DidNotStart, match=r"exit code 3[\s\S]*no such luck"):
        await_ready(server, lambda: False, "it did not start")


def test_a_server_ends_when_its_test_run_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    script = (
        "import pathlib, sys, time; from deploy.local.child import Child; "
        "print(Child(('sleep', '60'), pathlib.Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    command = (sys.executable, "-c", script, str(folder))
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        run.send_signal(signal.SIGKILL)
    wait_until(lambda: not (folder.exists() or _alive(pid)), 5)


def _alive(pid: int) -> bool:
    try:
        # An orphan that nobody waits for stays as a zombie, which is dead enough.
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False

"""The road from a real broker: every call once, whoever reads it and whatever breaks."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewPartitions
from kafka.errors import KafkaConnectionError
from sqlalchemy import func, select

from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.monitor import Monitor
from agent.score import Panel
from agent.store import Store, open_store, positions, reads
from agent.store.tables import calls, dead_letters
from consumers.pump import Pump
from consumers.worker import Worker
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.proxy import Proxy
from tests.road import Quiet, native
from tests.waiting import wait_until

N = 2000


def configured(broker: Broker, topic: str, group: str = "g", address: str = "") -> Config:
    kafka = {
        "brokers": [address or broker.address],
        "topics": {topic: {}},
        "group": f"{topic}-{group}",
        "session_timeout_s": 6,
        "heartbeat_s": 0.5,
        "metadata_max_age_s": 1,
    }
    return load_config(kafka=kafka)


def produce(broker: Broker, topic: str, numbers: range, **changes: object) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all", linger_ms=5)
    for number in numbers:
        record = native(number, **changes)
        stamp = int((record["at"] + record["latency_s"]) * 1000)
        value = json.dumps(record).encode()
        producer.send(topic, value=value, key=str(number).encode(), timestamp_ms=stamp)
    producer.flush()
    producer.close()


class Running:
    """A worker in a thread of its own, with a store of its own."""

    def __init__(self, config: Config, url: str, name: str, panel: Panel | None = None) -> None:
        self.store: Store = open_store(url)
        self.listener = Quiet()
        self.pump = Pump(config)
        monitor = Monitor(config, self.store, panel or Panel([]))
        self.worker = Worker(config, self.store, self.pump, monitor, self.listener, name)
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:
            self.failure = error

    def close(self) -> None:
        self.worker.stop()
        self._thread.join(20)
        self.pump.close()
        self.store.close()


@contextmanager
def running(
    config: Config, url: str, *names: str, panel: Panel | None = None
) -> Iterator[list[Running]]:
    workers = [Running(config, url, name, panel) for name in names]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.close()


def received(store: Store) -> int:
    with store.transaction() as tx:
        return reads.ledger(tx).received


def test_two_workers_count_every_call_once(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store
) -> None:
    name = topic(partitions=4)
    produce(broker, name, range(N))
    with running(configured(broker, name), postgres_url, "one", "two") as workers:
        wait_until(lambda: received(workers[0].store) >= N)
        produce(broker, name, range(N, N + 100))
        wait_until(lambda: received(workers[0].store) >= N + 100)
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        rows = tx.scalar(select(func.count()).select_from(calls))
        positions = reads.partitions(tx)
    assert ledger.sums
    assert rows == ledger.terms["scored"] == N + 100
    assert sum(row["next"] for row in positions) == N + 100


def test_a_connection_that_fails_takes_no_record_with_it(
    broker: Broker, topic: MakeTopic, sqlite_url: str
) -> None:
    name = topic()
    produce(broker, name, range(10))
    with running(configured(broker, name), sqlite_url, "one") as [worker]:
        wait_until(lambda: received(worker.store) == 10)
        consumer = worker.pump._consumer
        poll = consumer.poll

        def failing(**_: object) -> object:
            consumer.poll = poll
            raise KafkaConnectionError("gone")

        consumer.poll = failing
        wait_until(lambda: consumer.poll is poll)
        produce(broker, name, range(10, 20))
        wait_until(lambda: received(worker.store) == 20)
        with worker.store.transaction() as tx:
            assert reads.ledger(tx).terms["scored"] == 20


class Raw(str):
    """A header key that encodes to bytes which are not UTF-8; the broker takes it."""

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


def test_a_poisoned_record_is_stepped_over_and_told(
    broker: Broker, topic: MakeTopic, sqlite_url: str
) -> None:
    name = topic()
    producer = KafkaProducer(bootstrap_servers=broker.address, linger_ms=500)
    for number in range(10):
        headers = [(Raw("x"), b"1")] if number == 5 else []
        producer.send(name, value=json.dumps(native(number)).encode(), headers=headers)
    producer.flush()
    producer.close()
    produce(broker, name, range(10, 15))
    with running(configured(broker, name), sqlite_url, "one") as (worker,):
        wait_until(lambda: received(worker.store) >= 15)
        with worker.store.transaction() as tx:
            ledger = reads.ledger(tx)
            lost = tx.execute(select(dead_letters)).all()
    assert ledger.sums
    assert ledger.terms["scored"] == 10
    assert ledger.terms["unreadable"] == 5
    assert sum(row.last_offset - row.offset + 1 for row in lost) == 5
    assert {row.reason for row in lost} == {"undecodable"}


def test_a_topic_made_anew_is_refused_until_it_is_accepted(
    broker: Broker, topic: MakeTopic, sqlite_url: str
) -> None:
    name = topic()
    produce(broker, name, range(20))
    config = configured(broker, name)
    with running(config, sqlite_url, "one") as (worker,):
        wait_until(lambda: received(worker.store) >= 20)
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.delete_topics([name])
    time.sleep(1)
    wanted = {"num_partitions": 1, "replication_factor": 1}
    admin.create_topics({name: wanted}, wait_for_metadata=True)
    admin.close()
    produce(broker, name, range(20, 60))
    with running(config, sqlite_url, "one") as (worker,):
        wait_until(lambda: worker.failure is not None)
        assert isinstance(worker.failure, BadConfig)
        assert "made anew" in str(worker.failure)
        assert received(worker.store) == 20
    with closing(open_store(sqlite_url)) as store, store.transaction() as tx:
        assert positions.restart_topic(tx, name) == 1
    with running(config, sqlite_url, "one") as (worker,):
        wait_until(lambda: received(worker.store) == 60)
        with worker.store.transaction() as tx:
            assert reads.ledger(tx).sums


def test_a_topic_made_anew_while_it_is_read_is_refused(
    broker: Broker, topic: MakeTopic, sqlite_url: str
) -> None:
    """Its new records begin again at 0: read on from 20, twenty of them would be lost unseen."""
    name = topic()
    produce(broker, name, range(20))
    with running(configured(broker, name), sqlite_url, "one") as (worker,):
        wait_until(lambda: received(worker.store) == 20)
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        admin.delete_topics([name])
        time.sleep(1)
        wanted = {"num_partitions": 1, "replication_factor": 1}
        admin.create_topics({name: wanted}, wait_for_metadata=True)
        admin.close()
        produce(broker, name, range(20, 80))
        wait_until(lambda: worker.failure is not None)
        assert isinstance(worker.failure, BadConfig)
        assert received(worker.store) == 20


def test_partitions_added_while_running_are_read_from_their_head(
    broker: Broker, topic: MakeTopic, sqlite_url: str
) -> None:
    name = topic()
    with running(configured(broker, name), sqlite_url, "one") as (worker,):
        add_partitions(broker, name, worker)


def test_a_join_that_outlives_a_poll_is_not_forgotten(
    broker: Broker, topic: MakeTopic, sqlite_url: str
) -> None:
    name = topic()
    with Proxy(broker.faulty_port, broker.proxy_port) as way:
        config = configured(broker, name, address=broker.proxied_address)
        with running(config, sqlite_url, "one") as (worker,):
            way.set("delay", 0.15)  # a join is four chunks: three polls of 0.2 s
            add_partitions(broker, name, worker)
            way.set("pass")


def add_partitions(broker: Broker, name: str, worker: Running) -> None:
    """From one partition to three between two batches; every call must be counted."""
    produce(broker, name, range(10))
    wait_until(lambda: received(worker.store) >= 10)
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_partitions({name: NewPartitions(3)})
    admin.close()
    time.sleep(1)
    produce(broker, name, range(10, 100))
    wait_until(lambda: received(worker.store) >= 100)
    with worker.store.transaction() as tx:
        assert reads.ledger(tx).terms["scored"] == 100

"""Where reading goes on when the broker, or the group, is not what it was."""

import json
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, TopicPartition
from sqlalchemy import update

from agent.store import Store, open_store, reads
from agent.store.tables import offsets
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.test_kafka_road import (
    Running,
    configured,
    produce,
    received,
    running,
)
from tests.live.test_main_job import vedette
from tests.live.test_outages import Service, everything_is_counted_once, has_more, serving
from tests.road import native
from tests.waiting import wait_until


def test_records_that_expired_unread_are_a_counted_gap(
    broker: Broker, topic: MakeTopic, sqlite_url: str
) -> None:
    name = topic()
    config = configured(broker, name)
    produce(broker, name, range(10))
    with running(config, sqlite_url, "one") as (worker,):
        wait_until(lambda: received(worker.store) == 10)
    produce(broker, name, range(10, 30))
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.delete_records({TopicPartition(name, 0): 17})
    admin.close()
    with running(config, sqlite_url, "one") as (worker,):
        wait_until(lambda: received(worker.store) == 23)
        with worker.store.transaction() as tx:
            (place,) = reads.partitions(tx)
            ledger = reads.ledger(tx)
    assert (place["next"], place["lost"]) == (30, 7)
    assert worker.listener.gaps == [7]
    assert ledger.sums
    assert ledger.terms["scored"] == 23


def test_an_offset_past_the_end_is_refused_in_one_line(
    broker: Broker, topic: MakeTopic, sqlite_url: str, tmp_path: Path
) -> None:
    name = topic()
    produce(broker, name, range(20))
    with running(configured(broker, name), sqlite_url, "one") as (worker,):
        wait_until(lambda: received(worker.store) == 20)
    with closing(open_store(sqlite_url)) as store, store.transaction() as tx:
        tx.execute(update(offsets).values(next=50))
    with serving(Service(tmp_path / "run", name, broker.address, sqlite_url)) as service:
        assert service.process is not None
        assert service.process.wait(90) == 2
    last = service.log().splitlines()[-1]
    assert last.startswith(f"vedette: kafka.topics.{name}: partition 0 ends at 20 but was read to")
    assert "Traceback" not in service.log()


def test_sending_what_the_topic_will_not_keep_is_warned_of(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps(native(0)) + "\n")
    for keeps_ms, warned in (("3600000", True), ("-1", False)):
        run = Service(
            tmp_path / keeps_ms, topic(retention_ms=keeps_ms), broker.address, "sqlite://"
        )
        assert vedette(run.folder, "send", str(path)).wait(60) == 0
        assert "sent 1 records" in run.log()
        assert ("days old" in run.log()) is warned


@pytest.mark.parametrize("turns", [4, pytest.param(8, marks=pytest.mark.prove)])
def test_workers_that_join_and_leave_lose_and_double_nothing(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, turns: int
) -> None:
    n, name = 500 * turns, topic(partitions=6)
    config = configured(broker, name)
    fleet = [Running(config, postgres_url, f"worker-{i}") for i in range(2)]
    try:
        for turn in range(turns):
            share, before = n // turns, received(store)
            produce(broker, name, range(turn * share, (turn + 1) * share))
            fleet.append(Running(config, postgres_url, f"worker-{turn + 2}"))
            wait_until(partial(has_more, store, before))
            leaver = fleet.pop(0)
            leaver.close()
            assert leaver.failure is None
        wait_until(lambda: received(store) >= n)
    finally:
        for worker in fleet:
            worker.close()
    assert [worker.failure for worker in fleet] == [None, None]
    everything_is_counted_once(store, n)

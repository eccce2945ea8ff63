"""A worker that is slower than its topic: the queue stays bounded and nothing is lost."""

import time
from contextlib import closing

import pytest

from agent.config import Config, load_config
from agent.monitor import Monitor
from agent.score import Panel
from agent.store import open_store
from consumers.pump import Pump
from consumers.worker import Worker
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.test_kafka_road import configured, produce, received
from tests.live.test_outages import everything_is_counted_once
from tests.road import Quiet
from tests.waiting import wait_until

N = 4000


def bounded(config: Config, **bounds: int) -> Config:
    return load_config(kafka=config.kafka.model_dump() | {"poll_records": 100} | bounds)


@pytest.mark.parametrize("bounds", [{"queue_records": 500}, {"queue_bytes": 1 << 20}])
def test_a_slow_worker_holds_a_bounded_queue_and_keeps_its_place_in_the_group(
    broker: Broker, topic: MakeTopic, sqlite_url: str, bounds: dict[str, int]
) -> None:
    name = topic(partitions=2)
    produce(broker, name, range(N), prompt="x" * 2000)
    config = bounded(configured(broker, name), **bounds)
    listener = Quiet()
    with closing(open_store(sqlite_url)) as store, closing(Pump(config)) as pump:
        worker = Worker(config, store, pump, Monitor(config, store, Panel([])), listener, "slow")
        held = []
        wait_until(lambda: bool(worker.partitions or worker.step(0.1)) and pump._queued > 100)
        until = time.monotonic() + 8  # longer than the session of 6 s: only the poll thread lives
        while time.monotonic() < until:
            time.sleep(0.05)
            held.append((pump._queued, pump._bytes))
        records, size = (max(column) for column in zip(*held, strict=True))
        # What is over the bound when it is seen came in one poll.
        assert 100 < records <= bounds.get("queue_records", 8000) + 100
        assert size <= bounds.get("queue_bytes", 64 << 20) + 100 * 2500
        assert held[-1][0] > 0, "the queue was lost: the group threw this member out"

        until = time.monotonic() + 120
        while received(store) < N and time.monotonic() < until:
            worker.step(0.1)
        everything_is_counted_once(store, N)
        assert listener.fences == 0

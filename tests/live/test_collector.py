"""A real OpenTelemetry Collector, where there is one, puts what the SDK sends on our topics.

`OTELCOL_BIN` names a collector with the otlp receiver and the kafka exporter; `collector/` beside
this file is the source of one, and docs/connect/otel-collector.md says how it is built.
"""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from sqlalchemy import select

from agent.config import load_config
from agent.store import Store
from agent.store.tables import calls
from deploy.local.child import Child, await_ready, free_port
from tests.conftest import MakeTopic, named
from tests.docs import keys
from tests.live.broker import Broker
from tests.live.test_clients import send_two
from tests.live.test_kafka_road import running
from tests.waiting import wait_until

PAGE = "connect/otel-collector.md"
PAGE_TOPICS = ("otlp_spans", "otlp_logs")


@pytest.fixture(autouse=True)
def command() -> str:
    return named("OTELCOL_BIN", "OpenTelemetry Collector")


@contextmanager
def collecting(command: str, folder: Path, told: dict[str, Any]) -> Iterator[str]:
    """A collector with a configuration; gives where it takes OTLP over HTTP."""
    folder.mkdir()
    port = free_port()
    told["receivers"] = {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(told))
    server = Child([command, "--config", "config.yaml"], folder)
    await_ready(server, lambda: _listens(port), "collector")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.end(signal.SIGTERM)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stored(store: Store) -> dict[str, Any]:
    with store.transaction() as tx:
        return {row.id: row for row in tx.execute(select(calls))}


def records(broker: Broker, topics: tuple[str, str], partitions: int) -> list[Any]:
    consumer = KafkaConsumer(bootstrap_servers=broker.address, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(name, part) for name in topics for part in range(partitions)])
    found: list[Any] = []
    while len({one.topic for one in found}) < 2:
        found += [one for part in consumer.poll(500).values() for one in part]
    consumer.close()
    return found


def read_whole(broker: Broker, url: str, sent: list[str], told: dict[str, Any]) -> None:
    """A worker with the page's configuration stores both calls with their texts."""
    told["kafka"]["brokers"], told["kafka"]["group"] = [broker.address], f"g-{sent[0]}"
    config = load_config(kafka=told["kafka"])
    with running(config, url, "one") as (worker,):
        wait_until(lambda: len(stored(worker.store)) == 2)
        found = stored(worker.store)
    assert sorted(found) == sorted(sent)
    for row in found.values():
        assert (row.service, row.model) == ("bot", "m-8b")
        assert row.prompt_chars and row.response_chars, "a call without its texts"
        assert json.loads(row.scores)["latency"] > 0


def test_the_configuration_of_the_page_keeps_a_trace_in_one_partition(
    command: str, broker: Broker, sqlite_url: str, tmp_path: Path
) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    wanted = {name: {"num_partitions": 4, "replication_factor": 1} for name in PAGE_TOPICS}
    admin.create_topics(wanted, wait_for_metadata=True)
    admin.close()
    told = keys(PAGE, "receivers:")
    told["exporters"]["kafka"]["brokers"] = [broker.address]
    with collecting(command, tmp_path / "collector", told) as endpoint:
        sent = send_two(endpoint)
    read_whole(broker, sqlite_url, sent, keys(PAGE, "kafka:"))
    found = records(broker, PAGE_TOPICS, 4)
    assert all(len(one.key) == 32 for one in found)
    assert len({(one.key, one.partition) for one in found}) == len({one.key for one in found}) == 2


def test_json_and_whole_batches_are_read_too(
    command: str, broker: Broker, topic: MakeTopic, sqlite_url: str, tmp_path: Path
) -> None:
    spans, logs = topic(), topic()
    told = keys(PAGE, "receivers:")
    told["exporters"]["kafka"] = {
        "brokers": [broker.address],
        "traces": {"topic": spans, "encoding": "otlp_json"},
        "logs": {"topic": logs, "encoding": "otlp_json"},
    }
    with collecting(command, tmp_path / "collector", told) as endpoint:
        sent = send_two(endpoint)
    page = keys(PAGE, "kafka:")
    page["kafka"]["topics"] = {name: {"format": "otlp"} for name in (spans, logs)}
    read_whole(broker, sqlite_url, sent, page)
    assert all(
        one.key is None and one.value[:1] == b"{" for one in records(broker, (spans, logs), 1)
    )

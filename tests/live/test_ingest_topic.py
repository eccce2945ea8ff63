"""Logs that are taken in for a broker: acknowledged by it, keyed, and with their format."""

import asyncio
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from agent.config import Config, load_config
from agent.errors import BadConfig, StoreDown
from consumers.pump.sender import Sender
from consumers.server import sinks
from consumers.server.sinks import Batch, TopicSink
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.proxy import Proxy
from tests.road import native
from tests.serving import served
from tests.telemetry import CHAT, protobuf, span, traces
from tests.waiting import wait_until

PROTOBUF = {"Content-Type": "application/x-protobuf"}


def told(tmp_path: Path, address: str, **topics: dict[str, str]) -> Config:
    kafka = {"brokers": [address], "topics": topics}
    url = f"sqlite:///{tmp_path}/v.db"
    return load_config(store={"url": url}, kafka=kafka, server={"ingest": "kafka"})


def test_records_are_on_their_topic_when_they_are_answered(
    broker: Broker, topic: MakeTopic, tmp_path: Path
) -> None:
    calls, old, spans = (topic() for _ in range(3))
    config = told(tmp_path, broker.address, **{
        old: {"source": "backfill"}, calls: {}, spans: {"format": "otlp"},
    })  # fmt: skip
    sink, message = TopicSink(config), protobuf(traces(span(CHAT)))
    with served(config, sink=sink, clock=lambda: 1_767_225_700.5) as client:
        rows = [native(1, unit="u"), {"id": "x"}]
        assert client.post("/ingest", json=rows).json()["accepted"] == 1
        assert client.post("/v1/traces", content=message, headers=PROTOBUF).status_code == 200
        huge = native(2, prompt="x" * (17 << 20))
        assert client.post("/ingest", json=huge).status_code == 413
    consumer = KafkaConsumer(bootstrap_servers=broker.address, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(name, 0) for name in (calls, old, spans)])
    found = [next(consumer) for _ in range(3)]
    consumer.close()
    heads = {(one.topic, one.key, tuple(one.headers), one.timestamp) for one in found}
    at = 1_767_225_700_500
    assert (calls, b"u", (("vedette-format", b"native"),), at) in heads
    assert {one.topic for one in found} == {calls, spans}
    (sent,) = (one.value for one in found if one.topic == spans)
    assert sent == message


@pytest.mark.parametrize(
    "away", [StoreDown("broker: connecting failed"), BadConfig("kafka.security", "was refused")]
)
def test_a_broker_that_is_away_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: Exception
) -> None:
    tried = list[int]()

    def refuse(_: Sender) -> None:
        tried.append(1)
        raise away

    monkeypatch.setattr(Sender, "open", refuse)
    monkeypatch.setattr(sinks, "_TRY_S", 60.0)
    config = told(tmp_path, "127.0.0.1:1", calls={})
    with served(config, sink=TopicSink(config)) as client:
        answer = client.post("/ingest", json=native(1))
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert answer.json() == {"error": str(away)}
        assert client.post("/ingest", json=native(1)).status_code == 503
    assert len(tried) == 1, "each request tried to connect anew"


def test_a_broker_that_goes_away_keeps_nobody_waiting(
    broker: Broker, topic: MakeTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "_TRY_S", 8.0)
    with Proxy(broker.faulty_port, broker.proxy_port) as way:
        config = told(tmp_path, broker.proxied_address, **{topic(): {}})
        with served(config, sink=TopicSink(config)) as client:
            assert client.post("/ingest", json=native(1)).status_code == 200
            way.set("blackhole")
            began = time.monotonic()
            assert client.post("/ingest", json=native(2)).status_code == 503
            told_at = time.monotonic()
            assert client.post("/ingest", json=native(3)).status_code == 503
            assert told_at - began < 30 and time.monotonic() - told_at < 4
            way.set("pass")
            wait_until(lambda: client.post("/ingest", json=native(4)).status_code == 200, 30)


def test_a_sender_goes_on_after_it_gave_records_up(broker: Broker, topic: MakeTopic) -> None:
    name, told_where = topic(), {"brokers": [broker.proxied_address]}
    with Proxy(broker.faulty_port, broker.proxy_port) as way:
        config = load_config(kafka=told_where).kafka
        with closing(Sender(config, block_s=8.0, delivery_s=8.0)) as sender:
            sender.send(name, b"one")
            assert sender.flush() == []
            way.set("blackhole")
            sender.send(name, b"two")
            assert sender.flush(30.0) == ["KafkaTimeoutError"]
            way.set("pass")
            sender.send(name, b"three")
            assert sender.flush(30.0) == []


def test_no_queue_grows_behind_a_slow_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(sinks, "_QUEUE", 2)
    monkeypatch.setattr(TopicSink, "_deliver", lambda *_: over.wait(20))
    sink, one = TopicSink(told(tmp_path, "127.0.0.1:1", calls={})), Batch("native", 0.0, ())

    async def three() -> None:
        waiting = [asyncio.create_task(sink.put(one)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(StoreDown, match="2 requests wait"):
            await sink.put(one)
        over.set()
        await asyncio.gather(*waiting)
        await sink.put(one)

    asyncio.run(three())
    sink.close()

"""What a dispatcher could not read is stepped over; what it had only read is read again."""

import struct
import time
from collections import Counter
from pathlib import Path

import crc32c
from kafka import KafkaProducer

from agent.store import Store
from consumers.pump.unread import Unread
from shadow.asks import to_bytes
from tests.conftest import MakeTopic
from tests.live.asking import Asking, asks_of, next_one
from tests.live.broker import Broker
from tests.live.endpoint import Endpoint
from tests.live.test_kafka_road import configured
from tests.live.test_poison import ATTRIBUTES_AT, CRC_AT, break_the_compression, flip_a_byte, poison
from tests.shadows import states
from tests.waiting import wait_until

HEADER = b"a-header"


def break_the_header(batch: bytearray) -> None:
    """The name of a header is no text, and the checksum is right."""
    at = batch.index(HEADER)
    batch[at : at + len(HEADER)] = b"\xff" * len(HEADER)
    struct.pack_into(">I", batch, CRC_AT, crc32c.crc32c(bytes(batch[ATTRIBUTES_AT:])))


def test_records_that_cannot_be_decoded_are_stepped_over(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    name = "vedette_shadow_unasked_total"
    broken = {3: flip_a_byte, 6: break_the_header, 8: break_the_compression, 11: flip_a_byte}
    with Endpoint() as fake:
        run = Asking(tmp_path / "a", broker, topic, postgres_url, next=next_one(fake.url))
        asks = asks_of(store, 24)
        for number, one in enumerate(asks[:12]):  # a batch of its own each
            packed = {"compression_type": "gzip"} if number == 8 else {}
            producer = KafkaProducer(bootstrap_servers=broker.address, **packed)
            where = {"partition": 0, "timestamp_ms": int(time.time() * 1000)}
            producer.send(run.topics[0], to_bytes(one), headers=[(HEADER.decode(), b"")], **where)
            producer.close()
        broker.stop()
        for offset, change in broken.items():
            poison(broker.segment(run.topics[0]), offset, change)
        broker.start()
        with run.running() as process:
            wait_until(lambda: run.says(name, candidate="unknown", reason="undecodable") == 4, 60)
            wait_until(lambda: len(fake.asked) == 8)
            whole = Unread(configured(broker, run.topics[0]).kafka, run.topics[0], run.topics[0],
                           {"topic": run.topics[0]})  # fmt: skip
            wait_until(lambda: whole.look()[0] == (12, 12))
            whole.close()
            run.send(*asks[12:])
            wait_until(lambda: len(fake.asked) == 20)
            assert process.poll() is None
        assert run.log().count("cannot be decoded") == 4, run.log()
    assert states(store) == {"sent": 20, "owed": 4}


def test_asks_that_wait_in_a_killed_dispatcher_are_asked_by_the_next(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    with Endpoint("slow") as fake:
        one = next_one(fake.url, concurrency=1, timeout_s=10)
        run = Asking(tmp_path / "a", broker, topic, postgres_url, next=one)
        with run.running() as process:
            run.send(*asks_of(store, 40))
            wait_until(lambda: run.says("vedette_shadow_waiting_asks", candidate="next") > 30)
            wait_until(lambda: len(fake.asked) >= 3)
            time.sleep(1.5)  # in which all would have been committed
            process.kill()
            process.wait()
        before = len(fake.asked)
        assert before < 30
        fake.mode = "ok"
        with run.running():
            wait_until(lambda: "owed" not in states(store), 60)
            wait_until(lambda: len(fake.asked) == states(store)["sent"])
    found = states(store)
    assert found["sent"] >= 39 and sum(found.values()) == 40, found
    said = Counter(body["messages"][-1]["content"] for _, body in fake.asked)
    assert max(said.values()) == 1, "somebody was asked twice"

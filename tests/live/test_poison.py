"""Records that the client cannot decode: stepped over, told as ranges, their neighbours scored."""

import json
import struct
import uuid
from collections.abc import Callable
from pathlib import Path

import crc32c
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from sqlalchemy import select

from agent.store import reads
from agent.store.tables import calls, dead_letters
from tests.live.broker import Broker
from tests.live.test_kafka_road import configured, received, running
from tests.road import native
from tests.waiting import wait_until

# A record batch of Kafka, version 2: the checksum covers all that follows it.
LENGTH_AT, CRC_AT, ATTRIBUTES_AT, RECORDS_AT = 8, 17, 21, 61


def flip_a_byte(batch: bytearray) -> None:
    batch[-3] ^= 0xFF


def break_the_compression(batch: bytearray) -> None:
    """The payload is no gzip any more, and the checksum is right."""
    batch[RECORDS_AT : RECORDS_AT + 20] = b"\xff" * 20
    struct.pack_into(">I", batch, CRC_AT, crc32c.crc32c(bytes(batch[ATTRIBUTES_AT:])))


def poison(path: Path, wanted: int, change: Callable[[bytearray], None]) -> None:
    """Change the batch of a file that begins at the offset `wanted`."""
    data, at = bytearray(path.read_bytes()), 0
    while at < len(data):
        first, length = struct.unpack_from(">qi", data, at)
        end = at + LENGTH_AT + 4 + length
        if first == wanted:
            batch = data[at:end]
            change(batch)
            data[at:end] = batch
            path.write_bytes(data)
            return
        at = end
    raise AssertionError(f"no batch begins at {wanted}")


N = 12
CASES = [
    (compression, change, in_a_batch)
    for compression, change in (
        (None, flip_a_byte), ("gzip", flip_a_byte), ("gzip", break_the_compression)
    )
    for in_a_batch in (1, 4)
]  # fmt: skip


def produced(broker: Broker, compression: str | None, in_a_batch: int) -> str:
    """A topic of `N` records, so many a batch."""
    topic = f"broken-{uuid.uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    producer = KafkaProducer(
        bootstrap_servers=broker.address, compression_type=compression, linger_ms=2000
    )
    for number in range(N):
        producer.send(topic, value=json.dumps(native(number)).encode())
        if (number + 1) % in_a_batch == 0:
            producer.flush()
    producer.close()
    return topic


@pytest.fixture(scope="module")
def topics(broker: Broker) -> list[str]:
    """Of each case one whose batch at offset 4 is broken."""
    made = [produced(broker, compression, in_a_batch) for compression, _, in_a_batch in CASES]
    broker.stop()
    for topic, (_, change, _) in zip(made, CASES, strict=True):
        poison(broker.segment(topic), 4, change)
    broker.start()
    return made


@pytest.mark.parametrize("case", range(len(CASES)))
def test_a_broken_batch_is_told_and_its_neighbours_flow(
    broker: Broker, topics: list[str], sqlite_url: str, case: int
) -> None:
    in_a_batch = CASES[case][2]
    with running(configured(broker, topics[case]), sqlite_url, "one") as (worker,):
        wait_until(lambda: received(worker.store) >= N)
        with worker.store.transaction() as tx:
            ledger = reads.ledger(tx)
            lost = tx.execute(select(dead_letters)).all()
            scored = {row.id for row in tx.execute(select(calls.c.id))}
    broken = set(range(4, 4 + in_a_batch))
    assert scored == {f"call-{number}" for number in set(range(N)) - broken}
    assert ledger.sums
    assert ledger.terms["unreadable"] == len(broken)
    assert {k for row in lost for k in range(row.offset, row.last_offset + 1)} == broken
    assert {row.reason for row in lost} == {"undecodable"}

"""Dead letters on their way out: from the table to the topic, and back to the input."""

import time
from contextlib import suppress
from typing import Any

from agent.errors import StoreDown
from agent.store import Store, letters
from consumers.pump.sender import Sender

_BATCH = 200


def headers_of(row: dict[str, Any], group: str) -> list[tuple[str, bytes]]:
    """Why a record is dead, in the words of Kafka Connect (text) and of Spring (big-endian)."""
    topic, reason = row["topic"].encode(), row["reason"].encode()
    partition, offset = int(row["partition"]), int(row["offset"])
    return [
        *letters.headers_of(row),
        ("__connect.errors.topic", topic),
        ("__connect.errors.partition", str(partition).encode()),
        ("__connect.errors.offset", str(offset).encode()),
        ("__connect.errors.stage", b"VEDETTE"),
        ("__connect.errors.exception.class.name", b"vedette.BadRecord"),
        ("__connect.errors.exception.message", reason),
        ("kafka_dlt-original-topic", topic),
        ("kafka_dlt-original-partition", partition.to_bytes(4, "big", signed=True)),
        ("kafka_dlt-original-offset", offset.to_bytes(8, "big", signed=True)),
        ("kafka_dlt-original-timestamp", int(row["arrival"] * 1000).to_bytes(8, "big")),
        ("kafka_dlt-original-consumer-group", group.encode()),
        ("kafka_dlt-exception-fqcn", b"vedette.BadRecord"),
        ("kafka_dlt-exception-message", reason),
        ("vedette-last-offset", str(row["last_offset"]).encode()),
    ]


def publish_letters(store: Store, sender: Sender, topic: str, group: str) -> int:
    """Send waiting letters to the dead-letter topic; those not acknowledged go on waiting.

    Raises StoreDown when the broker or the database is away.
    """
    with store.transaction() as tx:
        rows = letters.unsent(tx, _BATCH)
    sent = []
    for row in rows:
        # One that is too large for the topic stays in the table alone.
        with suppress(ValueError):
            sender.send(
                topic,
                row["value"],
                key=row["record_key"],
                arrival=row["arrival"],
                headers=headers_of(row, group),
            )
        sent.append(row["id"])
    if sent:
        if failed := sender.flush():
            raise StoreDown(f"broker: dead letters were not taken ({failed[0]})")
        with store.transaction() as tx:
            letters.mark_sent(tx, sent, time.time())
    return len(sent)

"""Dead letters on their way out: from the table to the topic, and back to the input."""

import secrets
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from agent.errors import BadConfig, StoreDown
from agent.store import Store, letters, positions, writes
from consumers import inbox
from consumers.formats import said
from consumers.pump.sender import Sender

_BATCH = 200
# A record that came back so often will come back again.
_REPLAYS_MAX = 3
_TOO_LARGE = "MessageSizeTooLargeError"  # for the topic, as its broker says
# Taken anew for each batch; a process that ended in one keeps others waiting for so long.
_LEASE_S = 60.0


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

    One that is too large for the topic stays in the table alone. Raises StoreDown when the broker
    or the database is away.
    """
    with store.reading() as tx:
        rows = letters.unsent(tx, _BATCH)
    for row in rows:
        with suppress(ValueError):
            sender.send(
                topic,
                row["value"],
                key=row["record_key"],
                arrival=row["arrival"],
                headers=headers_of(row, group),
            )
    failed = sender.flush() if rows else []
    if _TOO_LARGE in failed:
        _publish_each(sender, topic, rows, group)
    elif failed:
        raise StoreDown(f"broker: dead letters were not taken ({failed[0]})")
    if rows:
        with store.transaction() as tx:
            letters.mark_sent(tx, [row["id"] for row in rows], time.time())
    return len(rows)


def _publish_each(sender: Sender, topic: str, rows: Sequence[dict[str, Any]], group: str) -> None:
    """One at a time: what is too large for the topic must not keep the others from it."""
    for row in rows:
        with suppress(ValueError):
            sender.deliver(
                topic,
                [(row["record_key"], row["value"])],
                arrival=row["arrival"],
                headers=headers_of(row, group),
            )


def replay_letters(
    store: Store, sender: Sender, topics: Collection[str], reason: str | None, now: float
) -> dict[str, int]:
    """Put dead letters on their input again, each at most three times; how many, and how many not.

    A letter keeps its bytes, its key and its time. The count of replays is kept in the store, since
    a header can be forged. Raises StoreDown when the broker or the database is away, and BadConfig
    while another process replays: between them a letter would come back twice.
    """
    done, last, known = {"replayed": 0, "refused": 0}, 0, {*topics, inbox.TOPIC}
    holder = f"replay {secrets.token_hex(8)}"
    try:
        while rows := _replayable(store, holder, reason, last):
            last = rows[-1]["id"]
            chosen = [r for r in rows if r["replays"] < _REPLAYS_MAX and r["topic"] in known]
            done["replayed"] += len(chosen)
            done["refused"] += len(rows) - len(chosen)
            _put_back(store, sender, chosen, now)
    finally:
        with suppress(StoreDown), store.transaction() as tx:
            positions.drop_lease(tx, holder)
    return done


def _replayable(store: Store, holder: str, reason: str | None, last: int) -> list[dict[str, Any]]:
    with store.transaction() as tx:
        if not positions.take_lease(tx, "replay", holder, time.time(), _LEASE_S):
            raise BadConfig("dead letters", "are being replayed by another process")
        return letters.replayable(tx, reason, last)


def _put_back(store: Store, sender: Sender, rows: Sequence[dict[str, Any]], now: float) -> None:
    # A record is on its input again by one of its letters.
    records = {letters.record_of(row): row for row in rows if not row["back"]}.values()
    here = [row for row in records if row["topic"] == inbox.TOPIC]
    away = [row for row in records if row["topic"] != inbox.TOPIC]
    for row in away:
        count = ("x-replay-count", str(row["replays"] + 1).encode())
        sender.send(
            row["topic"],
            row["value"],
            key=row["record_key"],
            arrival=row["arrival"],
            headers=[*letters.headers_of(row), count],
        )
    if away and (failed := sender.flush()):
        raise StoreDown(f"broker: replayed records were not taken ({failed[0]})")
    with store.transaction() as tx:
        writes.append_inbox(
            tx, [(r["arrival"], r["value"], said(letters.headers_of(r))) for r in here]
        )
        letters.mark_replayed(tx, [row["id"] for row in rows], now)

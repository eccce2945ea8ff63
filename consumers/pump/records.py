"""From the client's record to ours: bounded headers, and an arrival that the clock allows."""

from typing import Any

from agent.record import RawRecord

_HEADERS_MAX = 64
_HEADER_BYTES_MAX = 8192
# Headers that only a dead letter may carry: on an input they are forged.
_RESERVED = ("__connect.errors.", "kafka_dlt-", "x-replay-count")


def to_raw(record: Any, now: float) -> RawRecord:
    """One record; its arrival is the broker's timestamp, never later than now."""
    stamp = record.timestamp
    arrival = now if stamp is None or stamp < 0 else min(stamp / 1000, now)
    return RawRecord(
        record.topic,
        record.partition,
        record.offset,
        arrival,
        record.value,
        record.key,
        _headers(record.headers) if record.headers else (),
    )


def _headers(headers: list[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    kept: dict[str, bytes] = {}
    for name, value in headers[:_HEADERS_MAX]:
        short = value is not None and len(value) <= _HEADER_BYTES_MAX and len(name) <= 256
        if short and not name.startswith(_RESERVED):
            kept.setdefault(name, value or b"")
    return tuple(kept.items())

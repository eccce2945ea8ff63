"""Scored calls on their way out: ids, groups and scores to a topic, never a text."""

import math
import time
from collections.abc import Iterator

import orjson

from agent.columns import rows_of
from agent.errors import StoreDown
from agent.monitor import Flush
from consumers.pump.sender import Sender

_RETRY_S = 20.0


def scored_values(flush: Flush) -> Iterator[tuple[bytes, bytes]]:
    """The key (its id) and the value of each stored call: `{"id", ..., "scores": {metric: n}}`."""
    for call, scores in zip(flush.calls, rows_of(flush.columns), strict=True):
        body = {
            "id": call.id,
            "at": call.at,
            "service": call.service,
            "model": call.model,
            "variant": call.variant,
            "segment": dict(call.segment),
            "status": call.status,
            "scores": {name: value for name, value in scores.items() if math.isfinite(value)},
        }
        yield call.id.encode(), orjson.dumps(body)


class ScoredTopic:
    """Publishes what a flush stored, after its commit; a copy for others, not the record.

    The client batches, so the worker never waits for an acknowledgement. While the broker is away
    nothing is queued for it: the calls are in the store, and those not published are counted.
    """

    def __init__(self, sender: Sender, topic: str) -> None:
        self._sender, self._topic = sender, topic
        self._again_at = 0.0

    def publish(self, flush: Flush) -> int:
        """Send the calls of a flush; how many could not be."""
        if time.monotonic() < self._again_at:
            return len(flush.calls)
        sent = 0
        try:
            for key, value in scored_values(flush):
                self._sender.send(self._topic, value, key=key)
                sent += 1
        except (StoreDown, ValueError):
            self._again_at = time.monotonic() + _RETRY_S
        return len(flush.calls) - sent + self._sender.take_failures()

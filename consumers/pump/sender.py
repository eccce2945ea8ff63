"""Producing: all that is written to topics, from dead letters to what is taken in over HTTP."""

import hashlib
import threading
import time
from collections.abc import Sequence
from functools import partial

from kafka import KafkaProducer
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    UnknownError,
)

from agent.broker import Kafka
from agent.errors import StoreDown
from consumers.pump.connection import settings, translated

_REQUEST_S = 10.0

Headers = Sequence[tuple[str, bytes]]


def key_of(value: bytes) -> bytes:
    """A key for a record that has none: the same record always goes to the same partition."""
    return hashlib.blake2b(value, digest_size=8).digest()


def first_topic(config: Kafka) -> str:
    """The input topic that records go to where no other is named."""
    return next(iter(config.topics))


class Sender:
    """A producer with acks from all replicas; made at the first use.

    `block_s` is how long `send` waits for a topic that nobody knows, `delivery_s` how long a record
    is tried.
    """

    def __init__(self, config: Kafka, block_s: float = 10.0, delivery_s: float = 30.0) -> None:
        self._config, self._block_s, self._delivery_s = config, block_s, delivery_s
        self._producer: KafkaProducer | None = None
        self._stuck: KafkaProducer | None = None
        self._opening = threading.Lock()
        self._failed: list[str] = []
        self.sent = 0

    def open(self) -> KafkaProducer:
        """Connect now and not at the first record; raises StoreDown when the broker is away.

        A producer that numbers its records ends by what the broker refuses for good, such as one
        too large for its topic, and sends no more once it gave one up (kafka-python 3.0.12; the
        attribute is private): another is made.
        """
        with self._opening:
            producer = self._producer
            if producer is not None and (
                producer is self._stuck or producer._transaction_manager.has_fatal_error()
            ):
                self.close(0.0)
            if self._producer is None:
                self._producer = self._connect()
            return self._producer

    def _connect(self) -> KafkaProducer:
        with translated("connecting"):
            return KafkaProducer(
                **settings(self._config),
                acks="all",
                linger_ms=5,
                batch_size=64 << 10,
                max_request_size=16 << 20,
                max_block_ms=int(self._block_s * 1000),
                delivery_timeout_ms=int(self._delivery_s * 1000),
                request_timeout_ms=int(min(_REQUEST_S, self._delivery_s / 2) * 1000),
            )

    def reach(self, topic: str) -> bool:
        """Connect and learn where a topic lies, before anybody is kept waiting by that."""
        try:
            with translated(f"looking for {topic}"):
                return bool(self.open().partitions_for(topic))
        except (StoreDown, ValueError):  # no topic can be called so
            return False

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        arrival: float | None = None,
        headers: Headers = (),
    ) -> None:
        """Queue one record; `arrival` (epoch seconds) becomes its timestamp.

        Raises StoreDown when the broker cannot be reached, ValueError when it is too large.
        """
        at = None if arrival is None else int(arrival * 1000)
        producer = self.open()
        with translated(f"sending to {topic}"):
            try:
                future = producer.send(
                    topic, value=value, key=key, headers=list(headers), timestamp_ms=at
                )
            except MessageSizeTooLargeError:
                raise ValueError("record is too large for the producer") from None
        future.add_errback(self._note)
        future.add_errback(partial(self._see_stuck, producer))
        self.sent += 1

    def _note(self, error: BaseException) -> None:
        self._failed.append(type(error).__name__)

    def _see_stuck(self, producer: KafkaProducer, error: BaseException) -> None:
        if isinstance(error, KafkaTimeoutError):
            self._stuck = producer

    def deliver(
        self,
        topic: str,
        records: Sequence[tuple[bytes | None, bytes | None]],
        *,
        arrival: float,
        headers: Headers = (),
    ) -> None:
        """Send records (key, value) and return once all are safe; raises as `send` does.

        Raises StoreDown when one was not acknowledged: then nobody knows which were taken.
        """
        producer, at = self.open(), int(arrival * 1000)
        with translated(f"sending to {topic}"):
            try:
                told = {"headers": list(headers), "timestamp_ms": at}
                sent = [producer.send(topic, value=v, key=k, **told) for k, v in records]
                for future in sent:
                    future.add_errback(partial(self._see_stuck, producer))
                for future in sent:
                    future.get(self._delivery_s)
            except MessageSizeTooLargeError:
                raise ValueError("record is too large for the broker") from None

    def flush(self, timeout_s: float = 30.0) -> list[str]:
        """Wait for the acknowledgements; the names of the errors that records ended with."""
        until = time.monotonic() + timeout_s
        while self._producer is not None:
            try:
                self._producer.flush(timeout=max(until - time.monotonic(), 0.0))
            except UnknownError:
                # A batch that was too large is sent in two, and is not waited for.
                if time.monotonic() < until:
                    continue
                self._failed.append("KafkaTimeoutError")
            except KafkaError as error:
                self._failed.append(type(error).__name__)
            break
        failed, self._failed = self._failed, []
        return failed

    def take_failures(self) -> int:
        """How many records were given up since the last call or flush; waits for nothing."""
        failed, self._failed = self._failed, []
        return len(failed)

    def close(self, timeout_s: float = 2.0) -> None:
        """Give up what is queued after a time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.close(timeout=timeout_s)
            except KafkaError:  # it was to wait for its records first, and has not ended
                producer._sender.force_close()

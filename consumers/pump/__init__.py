"""The Kafka source: a thread that polls and does nothing slow, behind a bounded queue.

The poll thread owns the consumer. A rebalance only changes memory: a new partition is paused
at once and starts when the worker has said where, from SQL. This package is the only home of
kafka-python.
"""

import logging
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import (
    AuthorizationError,
    InvalidSessionTimeoutError,
    LogTruncationError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailedError,
)
from kafka.structs import OffsetAndMetadata

from agent.config import Config
from agent.errors import BadConfig, StoreDown
from agent.record import Partition, RawRecord, Unreadable
from consumers.pump.connection import has_fast_crc, settings, translated
from consumers.pump.exchange import Exchange, size_of
from consumers.pump.records import to_raw
from consumers.source import Chunk, Start, Tip

_log = logging.getLogger("vedette.pump")

_POLL_S = 0.2  # a worker that waits for records waits at most this long for a pause to lift
_TIPS_S = 2.0  # how often the ends of idle partitions are asked for
_RETRY_S = 1.0
# What only a person can mend.
_LASTING = AuthorizationError, InvalidSessionTimeoutError, SaslAuthenticationFailedError


class Pump(Exchange):
    """Reads the configured topics as a member of the consumer group."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.kafka)
        self._last_arrival: dict[Partition, float] = {}
        self._stop = threading.Event()
        self._full = False
        self._next_tips = 0.0
        self._any_topic = min(config.kafka.topics)
        if not has_fast_crc():
            _log.warning("the crc32c package is missing: consuming is 10 times slower without it")
        self._consumer = self._connect()
        self._thread = threading.Thread(target=self._run, name="vedette-poll", daemon=True)
        self._thread.start()

    def _connect(self) -> KafkaConsumer:
        config = self._config
        with translated("connecting"):
            consumer = KafkaConsumer(
                **settings(config),
                group_id=config.group,
                enable_auto_commit=False,
                auto_offset_reset="none",  # SQL says where; the client must never jump by itself
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                session_timeout_ms=int(config.session_timeout_s * 1000),
                heartbeat_interval_ms=int(config.heartbeat_s * 1000),
                max_poll_records=config.poll_records,
            )
            missing = [t for t in sorted(config.topics) if not consumer.partitions_for_topic(t)]
        if missing:
            consumer.close(timeout_ms=1000)
            raise BadConfig(f"kafka.topics.{missing[0]}", "the broker has no such topic")
        consumer.subscribe(sorted(config.topics), listener=_Listener(self))
        return consumer

    # What the rebalance listener calls, on the client's IO thread: memory only.

    def _assigned(self, partitions: Sequence[Any]) -> None:
        with self._lock:
            for tp in partitions:
                # Paused and given some position, or poll() would ask the broker for one.
                self._consumer.pause(tp)
                self._consumer.seek(tp, 0)
                self._renew((tp.topic, tp.partition))

    def _taken(self, partitions: Sequence[Any]) -> None:
        with self._lock:
            for tp in partitions:
                key = tp.topic, tp.partition
                self._drop(key)
                self._generations[key] = self._generations.get(key, 0) + 1
                self._revoked.append(key)

    def close(self) -> None:
        """Stop polling and leave the group."""
        self._stop.set()
        self._thread.join(timeout=10)

    # The poll thread.

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self._turn()
                except _LASTING:
                    raise
                except Exception as error:
                    self._note_trouble(type(error).__name__)
                    self._stop.wait(_RETRY_S)
                self._turned_at = time.monotonic()
        except Exception as error:
            self._end(error)
        finally:
            self._leave()

    def _turn(self) -> None:
        self._steer()
        if time.monotonic() >= self._next_tips:
            # A broker that is away makes poll() return nothing; this question it must answer.
            self._ask_tips()
            self._note_trouble("")
            self._next_tips = time.monotonic() + _TIPS_S
        self._queue(self._poll())

    def _note_trouble(self, name: str) -> None:
        if name and not self._trouble:
            _log.warning("the broker does not answer: %s", name)
        elif self._trouble and not name:
            _log.info("the broker answers again")
        with self._lock:
            self._trouble = name
            self._lock.notify_all()

    def _end(self, error: Exception) -> None:
        reason: Exception = StoreDown(f"broker: {type(error).__name__}")
        if isinstance(error, AuthorizationError | SaslAuthenticationFailedError):
            reason = BadConfig("kafka.security", f"the broker refused us ({type(error).__name__})")
        if isinstance(error, InvalidSessionTimeoutError):
            problem = "is outside of what the broker allows a group (group.*.session.timeout.ms)"
            reason = BadConfig("kafka.session_timeout_s", problem)
        with self._lock:
            self._fatal = reason
            self._lock.notify_all()

    def _leave(self) -> None:
        try:
            self._commit_now()
            self._consumer.close(timeout_ms=3000)
        except Exception as error:  # closing must not hide why we close
            _log.warning("closing the consumer failed: %s", type(error).__name__)

    def _steer(self) -> None:
        """Carry out what the worker and the rebalance listener asked for."""
        with self._lock:
            seeks, self._seeks = self._seeks, {}
            held = {(tp.topic, tp.partition) for tp in self._consumer.assignment()}
            for key, (generation, offset) in seeks.items():
                if key in held and self._generations.get(key) == generation:
                    self._consumer.seek(TopicPartition(*key), offset)
                    self._running.add(key)
            self._set_flow(held)
            new = {key: generation for key, generation in self._new.items() if key in held}
        self._commit_now()
        if new:
            self._describe(new)

    def _set_flow(self, held: set[Partition]) -> None:
        # Hysteresis: pause when the queue is full, resume when it is half empty.
        config = self._config
        share = max(self._queued / config.queue_records, self._bytes / config.queue_bytes)
        self._full = share >= 1 or (self._full and share > 0.5)
        flowing = set() if self._full else self._running & held
        paused = {(tp.topic, tp.partition) for tp in self._consumer.paused()}
        if stopped := held - flowing - paused:
            self._consumer.pause(*(TopicPartition(*key) for key in stopped))
        if resumed := flowing & paused:
            self._consumer.resume(*(TopicPartition(*key) for key in resumed))

    def _describe(self, new: Mapping[Partition, int]) -> None:
        tps = [TopicPartition(*key) for key in new]
        begins = self._consumer.beginning_offsets(tps, timeout_ms=5000)
        ends = self._consumer.end_offsets(tps, timeout_ms=5000)
        with self._lock:
            for tp in tps:
                key = tp.topic, tp.partition
                if self._new.get(key) == new[key]:
                    del self._new[key]
                    everyone = tuple(sorted(self._consumer.partitions_for_topic(tp.topic) or ()))
                    self._starts[key] = Start(
                        *key, new[key], begins[tp], ends[tp], everyone, self._topic_id(tp.topic)
                    )

    def _topic_id(self, topic: str) -> str | None:
        found = self._consumer._client.cluster.topic_id(topic)
        return str(found) if found else None

    def _commit_now(self) -> None:
        with self._lock:
            commits, self._commits = self._commits, {}
        if commits:
            self._consumer.commit_async(
                {TopicPartition(*k): OffsetAndMetadata(n, "", -1) for k, n in commits.items()}
            )

    def _ask_tips(self) -> None:
        """Ask where idle partitions end: nothing before that time can still arrive unread."""
        with self._lock:
            keys = sorted(self._running)
        at = time.time()
        asked = [TopicPartition(*key) for key in keys] or [TopicPartition(self._any_topic, 0)]
        ends = self._consumer.end_offsets(asked, timeout_ms=2000)
        with self._lock:
            for key in keys:
                self._tips[key] = Tip(ends[TopicPartition(*key)], at)

    def _poll(self) -> dict[Partition, list[RawRecord | Unreadable]]:
        """One poll, guarded: a record that the client cannot decode is stepped over and told.

        After such an exception the consumer must be moved before it is polled again, or poll()
        never returns (kafka-python 3.0.12; the attribute is private, so the version is pinned).
        And a join that outlives the poll which began it is forgotten when only new partitions
        were its cause: the group hears nothing more of us, so the next poll must ask again.
        """
        if self._consumer._coordinator.rejoining:
            self._consumer._coordinator.request_rejoin()
        try:
            polled = self._consumer.poll(timeout_ms=int(_POLL_S * 1000))
        except (OffsetOutOfRangeError, LogTruncationError):
            with self._lock:
                for key in list(self._running):
                    self._renew(key)
            return {}
        except Exception as error:
            return self._step_over(error)
        now = time.time()
        return {
            (tp.topic, tp.partition): [to_raw(record, now) for record in records]
            for tp, records in polled.items()
        }

    def _step_over(self, error: Exception) -> dict[Partition, list[RawRecord | Unreadable]]:
        broken = self._consumer._fetcher._next_partition_records
        # Of a connection that failed it says nothing, though what was read last still stands there.
        if broken is None or not _is_of_decoding(error):
            raise error
        tp = broken.topic_partition
        broken.drain()
        self._consumer._fetcher._next_partition_records = None
        offset = self._consumer.position(tp)
        self._consumer.seek(tp, offset + 1)
        key = tp.topic, tp.partition
        arrival = self._last_arrival.get(key, 0.0)
        return {key: [Unreadable(*key, offset, offset, arrival, type(error).__name__)]}

    def _queue(self, polled: dict[Partition, list[RawRecord | Unreadable]]) -> None:
        with self._lock:
            for key, records in polled.items():
                if key in self._running and records:
                    self._last_arrival[key] = records[-1].arrival
                    chunk = Chunk(*key, self._generations[key], tuple(records))
                    self._chunks.append(chunk)
                    self._queued += len(records)
                    self._bytes += size_of(chunk)
            self._lock.notify_all()


def _is_of_decoding(error: Exception) -> bool:
    """Whether it came up where the client unpacks what it has fetched."""
    taking = Fetcher.PartitionRecords.take.__code__
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is taking for frame, _ in frames)


class _Listener(ConsumerRebalanceListener):
    def __init__(self, pump: Pump) -> None:
        self._pump = pump

    def on_partitions_assigned(self, assigned: Sequence[Any]) -> None:
        self._pump._assigned(assigned)

    def on_partitions_revoked(self, revoked: Sequence[Any]) -> None:
        self._pump._taken(revoked)

    def on_partitions_lost(self, lost: Sequence[Any]) -> None:
        self._pump._taken(lost)

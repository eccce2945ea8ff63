"""How fast the road is on this machine: real broker, sender, worker and store, all beside it."""

import multiprocessing
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Protocol

import orjson

from agent.broker import Kafka
from agent.config import Config, load_config
from agent.errors import StoreDown
from agent.monitor import Flush, Monitor
from agent.record import Partition
from agent.score import Panel, load_panel
from agent.store import Store, open_store
from consumers.inbox import Inbox
from consumers.listener import Listener
from consumers.pump import Pump
from consumers.pump.admin import create_topics, delete_topics
from consumers.pump.sender import Sender
from consumers.source import Source
from consumers.worker import Worker

PARTITIONS = 4
_TEXT = (
    "the parcel left our warehouse on Monday and should reach you within three working days "
    "please open the settings page choose security and press reset then follow the link that "
    "we send to your address if nothing arrives look into the folder for unwanted mail first "
)


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run: calls a second from the first send to the last commit.

    `stages_us` is the reader's wall time a call by stage, waiting for records included.
    """

    name: str
    calls: int
    calls_per_s: float
    stages_us: dict[str, float]


class Reader(Protocol):
    """What is measured: it reads the topic turn by turn and knows what is done."""

    @property
    def partitions(self) -> Set[Partition]: ...
    @property
    def done(self) -> int: ...
    @property
    def stages_s(self) -> dict[str, float]: ...
    def step(self, timeout_s: float) -> int: ...


class Drain:
    """Takes what the client reads and drops it: the client alone, which nothing can be above."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self.partitions: set[Partition] = set()
        self.stages_s: dict[str, float] = {}
        self.done = 0

    def step(self, timeout_s: float) -> int:
        """One turn; the number of records that it took."""
        for start in self._pump.starts():
            self._pump.seek(start, start.begin)
            self.partitions.add((start.topic, start.partition))
        n = sum(len(chunk.records) for chunk in self._pump.take(timeout_s))
        self.done += n
        return n


class Road:
    """The worker on a store of its own, timed by stage."""

    def __init__(self, config: Config, source: Source, store: Store, panel: Panel) -> None:
        self._watch = Stopwatch()
        monitor = Monitor(config, store, panel, on_step=self._watch.step)
        self._worker = Worker(config, store, source, monitor, self._watch, "bench")
        self.step = self._worker.step

    @property
    def partitions(self) -> Set[Partition]:
        """What it reads now."""
        return self._worker.partitions

    @property
    def done(self) -> int:
        """Calls stored."""
        return self._watch.stored

    @property
    def stages_s(self) -> dict[str, float]:
        """Wall time by stage."""
        return self._watch.stages_s


class Stopwatch(Listener):
    """The worker's listener in a measurement: time by stage, and calls stored."""

    def __init__(self) -> None:
        self.stages_s: dict[str, float] = defaultdict(float)
        self.stored = 0
        self._step, self._began = "start", time.perf_counter()

    def step(self, name: str) -> None:
        """A step begins and the one before it ends."""
        now = time.perf_counter()
        self.stages_s[self._step] += now - self._began
        self._step, self._began = name, now

    def flushed(self, flush: Flush) -> None:
        """Count what was stored."""
        self.stored += len(flush.calls)


def make_records(n: int, chars: int) -> list[bytes]:
    """Native records one millisecond apart, with prompt and answer of `chars` characters each."""
    now = time.time() - n / 1000
    texts, known = [], _TEXT.split()
    for i in range(97):  # a prime: prompts and answers do not repeat in step with the models
        words = known[i % 41 :] + known[: i % 41]
        line = f"Order {i * 7919}. " + " ".join(words) + ". "
        texts.append((line * (1 + chars // len(line)))[:chars])
    return [
        orjson.dumps(
            {
                "id": f"bench-{i}",
                "at": now + i / 1000,
                "model": f"model-{i % 4}",
                "service": "bench",
                "unit": f"user-{i % 997}",
                "prompt": texts[i % 97],
                "response": texts[(i * 31) % 97],
                "latency_s": 0.4 + (i % 113) / 100,
                "ttft_s": 0.1,
                "tokens_in": 200 + i % 50,
                "tokens_out": 150 + i % 90,
                "cost_usd": 0.0004,
            }
        )
        for i in range(n)
    ]


def send_records(
    kafka: Kafka, topic: str, records: Sequence[bytes], ready: Event, go: Event
) -> None:
    """Send as fast as the broker takes; the target of a process of its own."""
    sender = Sender(kafka)
    sender.open()
    ready.set()
    go.wait(60)
    for i, value in enumerate(records):
        sender.send(topic, value, key=i.to_bytes(4, "big"))
    sender.flush()
    sender.close()


@contextmanager
def fresh_topic(config: Config) -> Iterator[Config]:
    """The configuration with a new topic as its only input; the topic goes when the block ends."""
    topic = f"vedette-bench-{uuid.uuid4().hex[:8]}"
    told = config.kafka.model_dump() | {"topics": {topic: {"format": "native"}}, "group": topic}
    config = config.model_copy(update={"kafka": Kafka(**told)})
    create_topics(config, PARTITIONS, 1)
    try:
        yield config
    finally:
        delete_topics(config.kafka, [topic])


def measure_client(config: Config, records: Sequence[bytes]) -> Run:
    """How fast the client alone reads what is being sent."""
    with fresh_topic(config) as told:
        pump = Pump(told)
        try:
            return _measure("client alone", Drain(pump), told, records)
        finally:
            pump.close()


def measure_road(config: Config, name: str, panel: Panel, records: Sequence[bytes]) -> Run:
    """How fast sent records are stored, on SQLite in a folder of its own.

    Raises StoreDown when the broker is away or the road stands still for a minute.
    """
    with fresh_topic(config) as told, tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'bench.db'}")
        pump = Pump(told)
        try:
            return _measure(name, Road(told, pump, store, panel), told, records)
        finally:
            pump.close()
            store.close()


def measure_inbox(config: Config, name: str, panel: Panel, records: Sequence[bytes]) -> Run:
    """The same road without a broker or a sender beside it: what a call costs by itself."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'bench.db'}")
        inbox = Inbox(store)
        inbox.append([(time.time(), value) for value in records])
        road = Road(config, inbox, store, panel)
        began = time.perf_counter()
        _work(road, len(records))
        elapsed_s = time.perf_counter() - began
        store.close()
    return _run(name, road, elapsed_s)


def _measure(name: str, reader: Reader, config: Config, records: Sequence[bytes]) -> Run:
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    topic = next(iter(config.kafka.topics))
    process = context.Process(target=send_records, args=(config.kafka, topic, records, ready, go))
    process.start()
    try:
        _join_group(reader)
        if not ready.wait(60):
            raise StoreDown("broker: the sender was not ready in a minute")
        reader.step(0.0)  # ends the stage that waited for the sender
        reader.stages_s.clear()
        began = time.perf_counter()
        go.set()
        _work(reader, len(records))
        elapsed_s = time.perf_counter() - began
    finally:
        process.terminate()
        process.join()
    return _run(name, reader, elapsed_s)


def _run(name: str, reader: Reader, elapsed_s: float) -> Run:
    stages = {step: s / reader.done * 1e6 for step, s in reader.stages_s.items()}
    return Run(name, reader.done, reader.done / elapsed_s, stages)


def _join_group(reader: Reader) -> None:
    for _ in range(300):
        reader.step(0.1)
        if len(reader.partitions) == PARTITIONS:
            return
    raise StoreDown("broker: the group was not joined in 30 s")


def _work(reader: Reader, n: int) -> None:
    last, moved_at = 0, time.monotonic()
    while reader.done < n:
        reader.step(0.2)
        if reader.done > last:
            last, moved_at = reader.done, time.monotonic()
        elif time.monotonic() > moved_at + 60:
            raise StoreDown(f"broker: stands still at {last} of {n} calls")


def rule_panel() -> Panel:
    """Every scorer that needs no model."""
    return load_panel(load_config(models=False))


def bench_road(config: Config, calls: int, chars: int) -> list[Run]:
    """The client alone, record metrics only, all rule scorers, and the road without a broker."""
    records = make_records(calls, chars)
    return [
        measure_client(config, records),
        measure_road(config, "record metrics only", Panel([]), records),
        measure_road(config, "all rule scorers", rule_panel(), records[: calls // 3]),
        measure_inbox(config, "record metrics, no broker", Panel([]), records),
    ]

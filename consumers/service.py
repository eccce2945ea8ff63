"""The processes: a worker on Kafka with its endpoint, and one that reads a file to its end."""

import itertools
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any, TypeVar

from agent.config import Config
from agent.errors import StoreDown
from agent.monitor import Monitor
from agent.record import Call, Half
from agent.score import Panel, load_panel
from agent.store import Store
from consumers.courier import Way
from consumers.exporter import Health, serve
from consumers.formats import parse
from consumers.inbox import Inbox
from consumers.metrics import Tally
from consumers.pump import Pump
from consumers.pump.admin import topic_states
from consumers.pump.sender import Sender
from consumers.recorder import Recorder, instruments
from consumers.requests import RequestsTopic
from consumers.scored import ScoredTopic
from consumers.stores import open_writer
from consumers.telling import ways_of
from consumers.worker import Worker
from shadow.asks import to_bytes
from shadow.drive import Drive

_log = logging.getLogger("vedette")
T = TypeVar("T")
# Makes what asks candidates: of the inbox, what counts, and the time that records have come to.
Cast = Callable[[Inbox, Tally, Callable[[], float]], Drive]

_APPEND = 1000  # records a commit of the inbox
# Where candidates answer in between; and how long is waited for that before more is read.
_APPEND_ASKED, _ANSWERS_S = 250, 120.0
_HUNG = 70  # the exit code of a process that its own watchdog ended
_PATIENCE_S = 120.0
_GRACE_S = 25.0  # a stop that takes longer ends hard; Kubernetes gives 30 s


def worker_name() -> str:
    """Who holds this process's leases."""
    return f"{socket.gethostname()}-{os.getpid()}"


def run_worker(config: Config) -> None:
    """Read Kafka until SIGTERM; raises BadConfig and StoreDown when it cannot start."""
    kafka, stall_s, ways = config.kafka, config.limits.stall_s, ways_of(config)
    tally, health = instruments(config)
    with ExitStack() as held:
        # The port first: who waits for models or a database can be asked why.
        endpoint = serve(tally, health, config.exporter.host, config.exporter.port)
        server = held.enter_context(closing(endpoint))
        panel = load_panel(config)
        panel.engine.on_time = tally.stage
        store = held.enter_context(closing(patiently(health, lambda: open_writer(config))))
        # The worker's thread sends: a missing topic may cost it a second in twenty, no more.
        letters, scored, asked = (
            held.enter_context(closing(Sender(kafka, block_s=1.0))) for _ in range(3)
        )
        out = ScoredTopic(scored, kafka.scored) if kafka.scored else None
        sender = letters if kafka.dead_letters else None
        ask = RequestsTopic(asked, config.shadow.requests, to_bytes) if config.shadow else None
        recorder = Recorder(config, store, (tally, health), ways, sender, out, ask)
        held.enter_context(closing(recorder))
        pump = held.enter_context(closing(patiently(health, lambda: Pump(config))))
        see_topics(config, asked)
        monitor = Monitor(config, store, panel, on_step=recorder.step)
        worker = Worker(config, store, pump, monitor, recorder, worker_name())

        def hung() -> bool:
            return pump.stalled(stall_s) or not health.alive(True)

        with stopping(worker.stop), watched(hung, stall_s):
            _log.info("reading %s, metrics on port %d", sorted(kafka.topics), server.port)
            worker.run()


def see_topics(config: Config, asked: Sender) -> None:
    """Say which topics are not there that are written to: what goes there waits or is dropped."""
    with suppress(StoreDown):  # the pump or a sender says so when it matters
        for topic in topic_states(config):
            if not topic.partitions:
                told = "%s: the broker has no topic %s; `vedette topics --create`"
                _log.warning(told, topic.key, topic.name)
    if config.shadow:  # a first send that takes a second costs twenty seconds of asks
        any(asked.reach(config.shadow.requests) for _ in range(10))


def patiently(health: Health, action: Callable[[], T]) -> T:
    """A dependency that is away at the start is waited for, two minutes."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return action()
        except StoreDown as error:
            health.ready(False, str(error))
            health.progress()
            if time.monotonic() >= until:
                raise
        time.sleep(2)


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT ask for an end, which comes by itself when that takes too long."""

    def ask(_: int, __: Any) -> None:
        stop()
        # The second signal, or the end of the grace, ends the process at once.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
        signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
        signal.setitimer(signal.ITIMER_REAL, _GRACE_S)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def watched(hung: Callable[[], bool], stall_s: float) -> Iterator[None]:
    """End the process, for its supervisor, when it hangs: twice seen, as one that slept wakes."""
    over = threading.Event()

    def watch() -> None:
        seen = 0
        while not over.wait(stall_s / 4):
            seen = seen + 1 if hung() else 0
            if seen == 2:
                _log.critical("no step was completed for %g s: the process ends", stall_s)
                os._exit(_HUNG)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def arrival_of(call: Call, now: float) -> float:
    """When a record of a file would have arrived: at its answer's end, never later than now."""
    return min(now, call.at + (call.latency_s or 0.0))


def arrivals(values: Iterable[bytes], config: Config) -> Iterator[tuple[float, bytes]]:
    """Each record with its arrival; one that holds no call arrived with the record before it.

    2026-11-25: as they arrived now, one unreadable line in an old log made all after it late.
    """
    first, before = list[bytes](), None
    for value in values:
        now = time.time()
        at = _told_arrival(value, config, now)
        if at is None and before is None and len(first) < _APPEND:
            first.append(value)
            continue
        before = at if at is not None else now if before is None else before
        yield from ((before, one) for one in first)
        first = []
        yield before, value
    yield from ((time.time(), one) for one in first)


def _told_arrival(value: bytes, config: Config, now: float) -> float | None:
    """The latest arrival of the calls of a record; None where it holds none."""
    items = parse(value, config.inbox.format, config, now)
    held = (item.call if isinstance(item, Half) else item for item in items)
    return max((arrival_of(one, now) for one in held if isinstance(one, Call)), default=None)


def watch_records(
    config: Config,
    store: Store,
    panel: Panel,
    records: Iterable[tuple[float, bytes]],
    heard: Callable[[int], None] = lambda _: None,
    ways: Sequence[Way] = (),
    cast: Cast | None = None,
) -> Recorder:
    """Take records (arrival, value) through the whole road: inbox, worker, closing.

    With `cast` candidates are asked, too: their answers stand where the records have come to.
    """
    inbox, shown, read_to = Inbox(store), instruments(config), [0.0]
    with ExitStack() as held:
        drive = cast(inbox, shown[0], lambda: read_to[0]) if cast is not None else None
        if drive is not None:
            held.enter_context(closing(drive))
        ask = drive.give if drive is not None else None
        recorder = Recorder(config, store, shown, ways, ask=ask)
        monitor = Monitor(config, store, panel, on_step=recorder.step)
        worker = Worker(config, store, inbox, monitor, recorder, worker_name())
        for batch in _batches(records, _APPEND if drive is None else _APPEND_ASKED):
            read_to[0] = max([read_to[0], *(arrival for arrival, _ in batch)])
            inbox.append(batch)
            _drained(worker)
            heard(len(batch))
            if drive is not None:
                if not drive.drain(_ANSWERS_S):
                    _log.warning("candidates are slow: their answers are read as they come")
                _drained(worker)
        _drained(worker)
        worker.finish(config.inbox.source)
    recorder.finish(time.time())
    return recorder


def _batches(
    records: Iterable[tuple[float, bytes]], size: int
) -> Iterator[list[tuple[float, bytes]]]:
    left = iter(records)
    while batch := list(itertools.islice(left, size)):
        yield batch


def _drained(worker: Worker) -> None:
    """Work until the inbox is empty."""
    idle = 0
    while idle < 2:
        idle = 0 if worker.step(0.0) else idle + 1

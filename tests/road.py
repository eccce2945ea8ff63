"""What tests of the road share: a worker on a store, fed by the inbox or by a broker."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from agent.config import Config, load_config
from agent.monitor import Flush, Monitor
from agent.record import Ask
from agent.score import Panel
from agent.store import Store
from consumers.inbox import Inbox
from consumers.listener import Listener
from consumers.worker import Worker


class Quiet(Listener):
    """A listener that only remembers."""

    def __init__(self) -> None:
        self.fences = 0
        self.gaps: list[int] = []
        self.letters: list[str] = []
        self.why_not_ready = ""
        self.flushes = 0
        self.asks: list[Ask] = []
        self.skipped: Counter[tuple[str, str]] = Counter()

    def flushed(self, flush: Flush) -> None:
        self.flushes += 1
        self.asks += flush.asks
        self.skipped += flush.skipped
        self.letters += [letter.reason for letter in flush.letters]

    def lost(self, topic: str, records: int) -> None:
        self.gaps.append(records)

    def fenced(self) -> None:
        self.fences += 1

    def ready(self, state: bool, why: str) -> None:
        self.why_not_ready = why


def native(number: int, **changes: Any) -> dict[str, Any]:
    """One native record; calls are a second apart."""
    return {
        "id": f"call-{number}",
        "at": 1_767_225_600 + number,
        "model": f"model-{number % 3}",
        "service": "support",
        "prompt": f"Question {number}?",
        "response": f"Answer {number}.",
        "latency_s": 0.5 + (number % 7) / 8,
        "tokens_in": 10 + number % 5,
        "tokens_out": 20,
        "status": "ok",
    } | changes


def as_bytes(records: Iterable[dict[str, Any]]) -> list[tuple[float, bytes]]:
    """Records as the inbox takes them; they arrive when their answer was complete."""
    rows = []
    for record in records:
        arrival = record.get("at", 0) + (record.get("latency_s") or 0)
        rows.append((float(arrival), json.dumps(record).encode()))
    return rows


class InboxRoad:
    """A worker that reads the inbox of a store."""

    def __init__(
        self,
        store: Store,
        config: Config | None = None,
        panel: Panel | None = None,
        on_step: Callable[[str], None] = lambda _: None,
        batch: int = 500,
    ) -> None:
        self.config = config or load_config()
        self.store, self.listener = store, Quiet()
        self.inbox = Inbox(store, batch)
        monitor = Monitor(self.config, store, panel or Panel([]), on_step=on_step)
        self.worker = Worker(self.config, store, self.inbox, monitor, self.listener, "test")

    def drain(self) -> None:
        """Work until nothing is left in the inbox."""
        idle = 0
        while idle < 2:
            idle = 0 if self.worker.step(0.0) else idle + 1

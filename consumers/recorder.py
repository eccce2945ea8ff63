"""Tells the metrics what the worker did, and carries dead letters and scored calls out."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

import numpy as np

from abtest.keeping import lines_of
from abtest.verdict import short_word, why_invalid
from agent.columns import missing_by_reason, take
from agent.config import Config
from agent.errors import StoreDown
from agent.findings import Finding
from agent.monitor import Flush
from agent.record import UNKNOWN_FIELDS, Ask, Partition
from agent.store import Store
from agent.store.tables import CALL_OUTCOMES, RECORD_OUTCOMES
from consumers.alerts import SENTENCE_CHARS
from consumers.budgets import BUDGETS, budget_rows
from consumers.courier import Way
from consumers.deadletter import publish_letters
from consumers.exporter import Health
from consumers.gauges import Gauges, labels_of
from consumers.labels import clean
from consumers.listener import Listener
from consumers.metrics import LABEL_OVERFLOW, Tally
from consumers.pump.sender import Sender
from consumers.scored import ScoredTopic
from consumers.telling import Teller
from watch.pace import Standing

_log = logging.getLogger("vedette")

UNKNOWN_FIELD_CALLS = "vedette_unknown_field_calls_total"
_PUBLISH_S = 2.0


def instruments(config: Config) -> tuple[Tally, Health]:
    """What a process shows of itself, from before it can work."""
    tally = Tally(config.slo, config.exporter.label_values_max, version=version("vedette"))
    return tally, Health(config.limits.stall_s)


class Recorder(Listener):
    """The worker's listener in a running process."""

    def __init__(
        self,
        config: Config,
        store: Store,
        shown: tuple[Tally, Health],
        ways: Sequence[Way] = (),
        sender: Sender | None = None,
        scored: ScoredTopic | None = None,
        ask: Callable[[Sequence[Ask]], None] | None = None,
    ) -> None:
        self.tally, self.health = shown
        self._gauges = Gauges(self.tally)
        self._teller = Teller(config, store, self.tally, ways)
        self._config, self._store, self._sender, self._scored = config, store, sender, scored
        self._ask = ask
        self._next_publish = 0.0
        self._step, self._step_began = "start", time.perf_counter()

    def step(self, name: str) -> None:
        """A step of the road begins and the one before it ends: the loop lives."""
        now = time.perf_counter()
        self.tally.stage(self._step, now - self._step_began)
        self._step, self._step_began = name, now
        self.health.progress()

    def flushed(self, flush: Flush) -> None:
        """Count what a transaction did."""
        for topic, ledger in flush.ledgers.items():
            self.tally.records(topic, {name: ledger[name] for name in RECORD_OUTCOMES})
            self.tally.calls(topic, {name: ledger[name] for name in CALL_OUTCOMES})
            self.tally.beside(topic, ledger["late"], ledger["conflicts"])
        for reason, n in Counter(letter.reason for letter in flush.letters).items():
            self.tally.dead_letter(reason, n)
        self.tally.open_panes(flush.open_panes)
        self.tally.flush(len(flush.calls))
        if flush.beyond:
            self.tally.count(LABEL_OVERFLOW, ("group of a pane",), flush.beyond)
        self.tally.skipped(flush.skipped)
        self._observe(flush)
        if self._scored is not None:
            self.tally.unpublished(self._scored.publish(flush))
        if flush.asks and self._ask is not None:
            self._ask(flush.asks)

    def _observe(self, flush: Flush) -> None:
        groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for i, call in enumerate(flush.calls):
            groups[self.tally.capped((call.service, call.model, call.variant))].append(i)
        for group, members in groups.items():
            for status, n in Counter(flush.calls[i].status for i in members).items():
                self.tally.requests(group, status, n)
            unknown = sum(UNKNOWN_FIELDS in flush.calls[i].flags for i in members)
            self.tally.count(UNKNOWN_FIELD_CALLS, group[:1], unknown)
            index = np.array(members, dtype=np.int64)
            for column in (take(column, index) for column in flush.columns):
                there = column.values[~np.isnan(column.values)]
                self.tally.observe(group, column.metric, there, missing_by_reason(column))

    def lost(self, topic: str, records: int) -> None:
        """The broker had deleted records before they were read."""
        self.tally.lost(topic, records)

    def fenced(self) -> None:
        """Another worker has moved a partition on."""
        self.tally.fenced()

    def ledger(self, gap: int) -> None:
        """Whether what was received is the sum of its ends."""
        self._gauges.ledger_gap(gap)

    def tickets(self, counts: Mapping[tuple[str, str], int]) -> None:
        """How many tickets of each candidate are in each state."""
        self._gauges.tickets(counts)

    def filled(self, parts: Mapping[str, float]) -> None:
        """How full the parts of the store are whose bytes are bounded."""
        self._gauges.filled(parts)

    def dropped(self, letters: int) -> None:
        """Dead letters went because there were too many bytes of them."""
        self.tally.count("vedette_dead_letters_dropped_total", (), letters)

    def lag(self, partition: Partition, records: int | None) -> None:
        """How many records of a partition are unread."""
        self.tally.lag(*partition, records)

    def closed(self, source: str, through: float) -> None:
        """Panes were closed."""
        self.tally.closed_through(source, through)

    def experiments(self, now: float) -> None:
        """Show what the experiments say of their primary metric and guardrails."""
        with self._store.reading() as tx:
            lines = [
                line
                for name in self._config.experiments
                for line in lines_of(tx, self._config, name, now)
                if line.role in ("primary", "guardrail") and line.log_evidence is not None
            ]
        for line in lines:
            bounds = {"estimate": line.estimate, "lower": line.lower, "upper": line.upper}
            names = line.experiment, line.arms[-1], line.metric
            self._gauges.contrast(names, bounds, line.log_evidence or 0.0, short_word(line.verdict))
            for arm, n in line.n.items() if line.role == "primary" else ():
                self._gauges.events(line.experiment, arm, n)
        for name in {line.experiment for line in lines}:
            mine = {why_invalid(line.verdict) for line in lines if line.experiment == name}
            self._gauges.invalid(name, mine)

    def concluded(self, findings: Sequence[Finding]) -> None:
        """What an experiment came to is said once."""
        for one in findings:
            _log.warning("%s: %s", one.state, clean(one.summary, SENTENCE_CHARS))

    def found(self, findings: Sequence[Finding]) -> None:
        """Series left their baselines, or are back."""
        for one in findings:
            self._gauges.drift(labels_of(one)[1:], one.state == "firing")
            _log.warning("%s", clean(one.summary, SENTENCE_CHARS))

    def closes(self, now: float) -> None:
        """Show and tell what is found."""
        current = [kept.finding for kept in self._teller.tell(now)]
        for one in current:  # another process may have taken a new baseline
            if one.kind == "drift":
                self._gauges.drift(labels_of(one)[1:], one.state == "firing")
        self._gauges.findings(current)

    def burned(self, standing: Sequence[Standing], findings: Sequence[Finding]) -> None:
        """How fast budgets are spent, and what rings or ended."""
        self.tally.show_all(budget_rows(standing), only=BUDGETS)
        for one in findings:
            _log.warning("%s: %s", one.state, clean(one.summary, SENTENCE_CHARS))

    def resigned(self) -> None:
        """Another process closes panes now."""
        self._gauges.resign()
        self._teller.forget()

    def progress(self) -> None:
        """The loop came round."""
        self.health.progress()

    def ready(self, state: bool, why: str) -> None:
        """Whether the dependencies are there."""
        self.health.ready(state, why)

    def house(self) -> None:
        """Send the dead letters that wait; when the topic is away they stay in the store."""
        self._teller.settle()
        if self._sender is None or time.monotonic() < self._next_publish:
            return
        self._next_publish = time.monotonic() + _PUBLISH_S
        topic = self._config.kafka.dead_letters
        if topic is not None:
            try:
                publish_letters(self._store, self._sender, topic, self._config.kafka.group)
            except StoreDown as error:
                _log.warning("dead letters wait in the store: %s", error)
                self._next_publish = time.monotonic() + 10 * _PUBLISH_S

    def finish(self, now: float) -> None:
        """The source has ended: tell what was found in it."""
        self._teller.finish(now)

    def close(self) -> None:
        """Wait a moment for what is being told."""
        self._teller.close()

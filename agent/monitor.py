"""The order, visible: observe(readings) = plan -> score -> fold -> one transaction.

Nothing is counted before the transaction commits; when it does not, what was folded in memory
is dropped and read again from the store.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from agent import flush
from agent.asking import Asked, Stored, owe_asks
from agent.buckets import event_key
from agent.columns import (
    axis_columns,
    blame_failures,
    breach_columns,
    failed_columns,
    record_columns,
    score_column,
    take,
)
from agent.config import Config
from agent.errors import StoreDown
from agent.examples import keep_examples
from agent.feedback import accept_feedback
from agent.flush import Books, Fenced, Met, Scored
from agent.intake import Plan, Reading, Waiting, half_keys, make_plan, unpack_half
from agent.panes import Column
from agent.record import NOT_MEANT, Ask, Call, DeadLetter, Partition
from agent.score import Panel, Scores
from agent.scoring.languages import LANGUAGE, with_language
from agent.store import Store, Transaction, experiments, halves, tickets, writes

# Slices of a batch: models on a CPU take minutes for a whole one, which looks like a stall. This
# many calls of the longest texts take about one minute on two cores.
_SCORE_CALLS = 128

__all__ = ["Fenced", "Flush", "Monitor"]


@dataclass(slots=True)
class Flush:
    """What one transaction did, for those who count and publish it."""

    calls: list[Call] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    ledgers: dict[str, Counter[str]] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    open_panes: int = 0
    beyond: int = 0  # times that a group was folded into `other`: its pane has too many
    # What candidates are to be asked, and by (candidate, reason) what they are not.
    asks: list[Ask] = field(default_factory=list)
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)


class Monitor:
    """Takes readings through the whole road; one thread owns it.

    `on_step` hears the name of each step as it begins, for timing and for planted faults.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        panel: Panel,
        clock: Callable[[], float] = time.time,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.config, self.store, self.panel = config, store, panel
        self._clock, self.step = clock, on_step
        self._books: Books = {}
        # What a metric means, and the digest by which a pane says so.
        scorers = panel.metric_versions
        self._versions = scorers | {
            f"slo_{name}": objective.version(scorers.get(objective.metric, ""))
            for name, objective in config.slo.items()
        }
        self._digest = event_key(*sorted(map(":".join, self._versions.items()))).hex()[:12]
        self._panel_known = False

    def forget(self, partitions: Sequence[Partition] | None = None) -> None:
        """Drop what is held of partitions (of all): the store knows it."""
        for key in list(self._books) if partitions is None else partitions:
            self._books.pop(key, None)

    def observe(self, readings: Sequence[Reading], expire_before: float | None = None) -> Flush:
        """Score, fold and store a batch with exactly-once effect.

        Raises Fenced when a partition has moved on without us, StoreDown when the database is
        away, and BadRecord when a value cannot be stored; then nothing was counted.
        """
        for _ in range(5):  # each round another transaction got a half of ours: five never happen
            self.step("plan")
            plan = self._plan(readings, expire_before)
            scored = self._score(plan)
            try:
                with self._dropping_on_failure():
                    return self._write(readings, scored)
            except Met:
                continue
        raise StoreDown("halves of the same calls keep moving", 0.1)

    @contextmanager
    def _dropping_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.forget()
            raise

    def _plan(self, readings: Sequence[Reading], expire_before: float | None) -> Plan:
        keys, expired = half_keys(readings), []
        waiting: dict[str, Waiting] = {}
        if keys or expire_before is not None:
            with self.store.transaction() as tx:
                rows = halves.take(tx, keys)
                waiting = {key: unpack_half(row) for key, row in rows.items()}
                for part, reading in enumerate(readings if expire_before is not None else ()):
                    old = halves.expired(tx, reading.position, expire_before or 0.0)
                    expired += [(part, unpack_half(row)) for row in old if row.key not in keys]
        plan = make_plan(readings, waiting, expired, self.config.intake)
        if LANGUAGE in self.config.segments:
            plan.work = [replace(one, call=with_language(one.call)) for one in plan.work]
        return plan

    def _score(self, plan: Plan) -> Scored:
        calls = [work.call for work in plan.work]
        given = self._given(calls)
        for metric, row in given.items():
            for i, work in enumerate(plan.work):
                # A score taken before redaction is better than one taken after.
                old = work.taken.get(metric)
                if old is not None and old.status == "ok":
                    row[i] = old
        columns = record_columns(calls)
        columns += [score_column(metric, row) for metric, row in given.items()]
        columns += breach_columns(columns, self.config.slo)
        columns = blame_failures(columns, calls)
        scores = [
            {metric: row[i] for metric, row in given.items() if row[i].why != NOT_MEANT}
            for i in range(len(calls))
        ]
        beside = [one for metric, row in given.items() for one in axis_columns(metric, row)]
        beside += failed_columns(columns, calls, self.config.slo)
        return Scored(plan, columns, scores, beside)

    def _given(self, calls: Sequence[Call]) -> Scores:
        given: Scores = {}
        for first in range(0, max(len(calls), 1), _SCORE_CALLS):
            self.step("score")
            for metric, row in self.panel.score(calls[first : first + _SCORE_CALLS]).items():
                given.setdefault(metric, []).extend(row)
        return given

    def _write(self, readings: Sequence[Reading], scored: Scored) -> Flush:
        now, plan = self._clock(), scored.plan
        rows = flush.call_rows(scored, readings, self.config.slo, now)
        self._enter_panel()
        self.step("begin")
        with self.store.transaction() as tx:
            closed = writes.closed_through(tx, [r.position.source for r in readings])
            for reading in readings:
                book = flush.load_book(tx, reading, self._books, self.config)
                self._books[flush.place_of(reading)] = book
            flush.write_halves(tx, readings, scored, now + self.config.intake.join_wait_s)
            self.step("seen")
            accepted = flush.accept_calls(tx, plan, rows, now)
            judged = accept_feedback(tx, plan, accepted, now)
            self.step("fold")
            sheet = flush.Sheet(self.config, self._books, closed, self._digest)
            sheet.fold_calls(readings, scored, accepted)
            sheet.fold_feedback(readings, judged)
            self.step("write")
            sheet.write(tx, readings, now)
            flush.write_calls(tx, scored, rows, accepted, self.config, now)
            keep_examples(tx, scored, readings, accepted, self.config, now)
            _set_aside(tx, plan, now)
            asked = self._ask(tx, readings, plan, accepted, closed, now)
            self.step("advance")
            flush.advance(tx, readings, plan)
            self.step("commit")
        self.step("committed")
        done = self._done(readings, scored, accepted, closed)
        done.asks, done.skipped = asked.asks, asked.skipped
        return done

    def _ask(
        self, tx: Transaction, readings: Sequence[Reading], plan: Plan, accepted: Sequence[int],
        closed: dict[str, float], now: float,
    ) -> Asked:  # fmt: skip
        """Settle the tickets that are answered here, and owe what is to be asked."""
        works = [plan.work[i] for i in accepted]
        tickets.settle(tx, (work.call for work in works if work.call.origin == "shadow"))
        if self.config.shadow is None:
            return Asked()
        sources = [reading.position.source for reading in readings]
        found = [
            Stored(w.call, w.key, sources[w.part], closed.get(sources[w.part], 0.0), w.arrival)
            for w in works
        ]
        return owe_asks(tx, self.config, found, now)

    def _enter_panel(self) -> None:
        # In a transaction of its own: workers of one panel would wait for each other's flush.
        if not self._panel_known:
            with self.store.transaction() as tx:
                experiments.enter_panel(tx, self._digest, self._versions)
            self._panel_known = True

    def _done(
        self,
        readings: Sequence[Reading],
        scored: Scored,
        accepted: Sequence[int],
        closed: dict[str, float],
    ) -> Flush:
        plan = scored.plan
        done = Flush(letters=plan.letters)
        for reading, ledger in zip(readings, plan.ledgers, strict=True):
            position = reading.position
            book = self._books[flush.place_of(reading)]
            done.beyond, book.overflowed = done.beyond + book.overflowed, 0
            book.drop_closed(closed.get(position.source, 0.0), self.config.panes.width_s)
            done.ledgers.setdefault(position.topic, Counter()).update(ledger)
        done.open_panes = sum(len(book) for book in self._books.values())
        index = np.array(accepted, dtype=np.int64)
        done.calls = [plan.work[i].call for i in accepted]
        done.columns = [take(column, index) for column in scored.columns]
        return done


def _set_aside(tx: Transaction, plan: Plan, now: float) -> None:
    """Store a letter for each reason: it holds its whole record, and so all bad calls in it."""
    places = {(one.topic, one.partition, one.offset, one.reason): one for one in plan.letters}
    plan.letters = list(places.values())
    writes.insert_dead_letters(tx, plan.letters, now)

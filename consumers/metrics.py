"""What this process has counted, folded at once: no list of events, one lock."""

import math
import threading
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from agent.catalog import Metric, metric_named
from agent.exposed import SERIES, Series
from agent.sla import Objective
from consumers.budgets import bounds_of
from consumers.labels import Array, Caps, Child, Group, Labels, escape

LABEL_OVERFLOW = "vedette_label_overflow_total"
# Only who closes panes reads it; another process does not know that it is 0.
_UNREAD = "vedette_ledger_gap_calls"
_SHOWN = {row.metric: row for row in SERIES if row.metric}
_LABELS = {row.name: row.labels for row in SERIES}


class Tally:
    """Thread-safe counters, gauges and histograms of the series in the catalogue.

    `slo` merges the objectives into the buckets; `label_values_max` bounds the values of a label
    and `groups_max` the label sets of service, model and variant.
    """

    def __init__(
        self,
        slo: Mapping[str, Objective] | None = None,
        label_values_max: int = 200,
        groups_max: int = 500,
        version: str = "unknown",
    ) -> None:
        self._lock = threading.Lock()
        self._caps = Caps(label_values_max, groups_max, self._overflowed)
        self._bounds = {row.name: bounds_of(row, slo or {}) for row in SERIES if row.buckets}
        self._children: dict[str, dict[Labels, Child]] = {row.name: {} for row in SERIES}
        for row in SERIES:
            if not row.labels and row.name != _UNREAD:
                self._child(row.name, ())
        self._add("vedette_build_info", (version,), 1)

    def capped(self, group: Group) -> Group:
        """The labels that a group is counted under: its own, or `other` beyond the caps."""
        with self._lock:
            return self._caps.group(group)

    def requests(self, group: Group, status: str, n: int) -> None:
        """Count `n` calls that ended with `status`."""
        with self._lock:
            labels = self._caps.group(group)
            self._add("vedette_requests_total", (*labels, status), n)
            self._add("vedette_request_errors_total", labels, 0 if status == "ok" else n)

    def observe(
        self, group: Group, metric: str, values: npt.ArrayLike, missing: Mapping[str, int]
    ) -> None:
        """Fold a batch of one metric; values outside its range count as unscored, invalid."""
        row = metric_named(metric)
        given = np.asarray(values, dtype=np.float64)
        low, high = row.range
        high = np.finfo(np.float64).max if high is None else high
        taken = given[(given >= low) & (given <= high)]
        with self._lock:
            self._each("vedette_unscored_total", metric, missing)
            if len(taken) < len(given):
                self._add("vedette_unscored_total", (metric, "invalid"), len(given) - len(taken))
            if len(taken):
                self._take(self._caps.group(group), row, taken)

    def records(self, topic: str, outcomes: Mapping[str, int]) -> None:
        """Count records of a topic by what became of them."""
        with self._lock:
            self._each("vedette_records_total", topic, outcomes)

    def calls(self, topic: str, outcomes: Mapping[str, int]) -> None:
        """Count calls found in a topic's records by what became of them."""
        with self._lock:
            self._each("vedette_calls_total", topic, outcomes)

    def dead_letter(self, reason: str, n: int = 1) -> None:
        """Count records set aside."""
        self.count("vedette_dead_letters_total", (reason,), n)

    def unpublished(self, n: int) -> None:
        """Count stored calls that did not reach the topic of scored calls."""
        self.count("vedette_scored_unpublished_total", (), n)

    def skipped(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Count calls by the candidate that is not asked them, and why."""
        with self._lock:
            for labels, n in counts.items():
                self._add("vedette_shadow_skipped_total", labels, n)

    def lost(self, topic: str, n: int) -> None:
        """Count records that were gone before they were read."""
        self.count("vedette_records_lost_total", (topic,), n)

    def beside(self, topic: str, late: int, conflicts: int) -> None:
        """Count what is no outcome: late calls, and duplicates with another content."""
        self.count("vedette_late_calls_total", (topic,), late)
        self.count("vedette_id_conflicts_total", (topic,), conflicts)

    def fenced(self) -> None:
        """Count a flush that another worker's offset refused."""
        self.count("vedette_offset_fenced_total", (), 1)

    def lag(self, topic: str, partition: int, n: int | None) -> None:
        """Show what a partition has left to read; None forgets a partition that went away."""
        labels = (topic, str(partition))
        with self._lock:
            if n is None:
                known = self._known("vedette_consumer_lag_records", labels)
                self._children["vedette_consumer_lag_records"].pop(known, None)
            else:
                self._child("vedette_consumer_lag_records", labels).numbers[0] = n

    def stage(self, name: str, seconds: float) -> None:
        """Fold the time that one batch spent in a stage."""
        self.fold("vedette_stage_seconds", (name,), max(seconds, 0.0))

    def fold(self, name: str, labels: Labels, value: float) -> None:
        """Fold one value of a histogram."""
        with self._lock:
            self._fold(name, labels, np.array([value]))

    def flush(self, calls: int) -> None:
        """Fold the size of one flush."""
        self.fold("vedette_flush_calls", (), float(calls))

    def closed_through(self, source: str, epoch_s: float) -> None:
        """Show the end of the last closed pane of a source."""
        self.show("vedette_closed_through_timestamp_seconds", (source,), epoch_s)

    def count(self, name: str, labels: Labels, n: float = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._add(name, labels, n)

    def total(self, name: str) -> float:
        """A counter over all its labels."""
        with self._lock:
            return float(sum(child.numbers[0] for child in self._children[name].values()))

    def show(self, name: str, labels: Labels, value: float) -> None:
        """Show a number of a gauge."""
        with self._lock:
            self._child(name, labels).numbers[0] = value

    def show_all(self, rows: Iterable[tuple[str, Labels, float]], only: Iterable[str] = ()) -> None:
        """Show numbers (gauge, labels, value) of one moment, and of the gauges in `only` no other.

        Of two with the same labels, as the page shows them, the first counts.
        """
        with self._lock:
            shown = set[int]()
            for name, labels, value in rows:
                child = self._child(name, labels)
                if id(child) not in shown:
                    shown.add(id(child))
                    child.numbers[0] = value
            for name in only:
                there = self._children[name].items()
                self._children[name] = {key: one for key, one in there if id(one) in shown}

    def alerts(self, way: str, told: int, failed: int) -> None:
        """Count alerts that a webhook or topic has taken, and those that it has not."""
        self.count("vedette_alerts_sent_total", (way,), told)
        self.count("vedette_alerts_failed_total", (way,), failed)

    def open_panes(self, n: int) -> None:
        """Show how many panes still take calls."""
        self.show("vedette_open_panes", (), n)

    def health(self, ready: bool, progress_at: float) -> None:
        """Show readiness and the time of the last completed step."""
        self.show("vedette_ready", (), ready)
        self.show("vedette_last_progress_timestamp_seconds", (), progress_at)

    def parts(self, series: Series) -> list[tuple[str, str | None]]:
        """The samples of one label set: suffix of the name and bucket bound."""
        if series.kind != "histogram":
            return [("", None)]
        bounds = [*(repr(bound) for bound in self._bounds[series.name].tolist()), "+Inf"]
        return [*(("_bucket", bound) for bound in bounds), ("_count", None), ("_sum", None)]

    def snapshot(self) -> Iterator[tuple[Series, list[Child]]]:
        """A copy of all numbers of one moment, in the order of the catalogue."""
        with self._lock:
            copies = [
                [Child(one.labels, one.lines, one.numbers.copy()) for one in children.values()]
                for children in self._children.values()
            ]
        return zip(SERIES, copies, strict=True)

    def stages(self) -> dict[str, tuple[int, float, float]]:
        """Of each stage its batches, their seconds, and what 95 % of them stayed within."""
        name = "vedette_stage_seconds"
        with self._lock:
            held = {key[0]: one.numbers.copy() for key, one in self._children[name].items()}
        bounds = [*self._bounds[name].tolist(), math.inf]
        found = {}
        for stage, numbers in held.items():
            cumulated = np.cumsum(numbers[:-1])
            place = int(np.searchsorted(cumulated, 0.95 * cumulated[-1]))
            found[stage] = (int(cumulated[-1]), float(numbers[-1]), bounds[place])
        return found

    def page(self, openmetrics: bool = False) -> bytes:
        """The page as text; its lines are ready, only their numbers are written."""
        out: list[str] = []
        for series, children in self.snapshot():
            name = series.name
            if openmetrics and series.kind == "counter":
                name = name.removesuffix("_total")
            out.append(f"# HELP {name} {series.help}\n# TYPE {name} {series.kind}\n")
            for child in children:
                pairs = zip(child.lines, child.shown(), strict=True)
                out.extend([f"{line}{number!r}\n" for line, number in pairs])
        if openmetrics:
            out.append("# EOF\n")
        return "".join(out).encode()

    def _take(self, group: Group, row: Metric, values: Array) -> None:
        if row.kind == "score":
            self._fold("vedette_score_ratio", (*group, row.name), values)
        elif row.kind == "amount":
            series = _SHOWN[row.name]
            if series.kind == "histogram":
                self._fold(series.name, group, values)
            else:
                self._add(series.name, group, float(values.sum()))
        if row.bar is not None:
            bad = int(np.count_nonzero(row.failed(values)))
            self._add("vedette_evaluations_total", (*group, row.name, "pass"), len(values) - bad)
            self._add("vedette_evaluations_total", (*group, row.name, "fail"), bad)

    def _each(self, name: str, first: str, counts: Mapping[str, int]) -> None:
        for second, n in counts.items():
            self._add(name, (first, second), n)

    def _add(self, name: str, labels: Labels, n: float) -> None:
        self._child(name, labels).numbers[0] += n

    def _fold(self, name: str, labels: Labels, values: Array) -> None:
        numbers = self._child(name, labels).numbers
        places = np.searchsorted(self._bounds[name], values, side="left")
        numbers[:-1] += np.bincount(places, minlength=len(numbers) - 1)
        numbers[-1] += values.sum()

    def _child(self, name: str, labels: Labels) -> Child:
        children = self._children[name]
        child = children.get(labels)
        if child is None:
            known = self._known(name, labels)
            child = children.get(known) or self._born(name, known)
        return child

    def _born(self, name: str, labels: Labels) -> Child:
        series = next(row for row in SERIES if row.name == name)
        pairs = list(zip(series.labels, labels, strict=True))
        lines = []
        for suffix, bound in self.parts(series):
            shown = pairs if bound is None else [*pairs, ("le", bound)]
            inner = ",".join(f'{key}="{escape(value)}"' for key, value in shown)
            lines.append(f"{name}{suffix}{{{inner}}} " if inner else f"{name}{suffix} ")
        child = Child(labels, tuple(lines), np.zeros(max(1, len(lines) - 1)))
        self._children[name][labels] = child
        return child

    def _known(self, name: str, labels: Labels) -> Labels:
        return tuple(map(self._caps.value, _LABELS[name], labels))

    def _overflowed(self, name: str) -> None:
        self._add(LABEL_OVERFLOW, (name,), 1)

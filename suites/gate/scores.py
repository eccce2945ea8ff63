"""The scores that a gate judges, with what is missing at its worst."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import numpy as np

from agent.buckets import Bools, Floats
from agent.catalog import Metric, metric_named
from suites.analysis.measured import share, spread
from suites.analysis.overall import OVERALL, Levels, counting, levels_of
from suites.analysis.tables import Column, Table, flags, table_of
from suites.analysis.weights import DIMENSIONS, Weighing
from suites.intervals import Figure, gap_interval, mean_interval
from suites.record import Run

# Amounts have no worst end: of more absent ones nothing is said.
_ABSENT = 0.05


class Scores:
    """Every score of every target of a run."""

    def __init__(self, run: Run, weighing: Weighing) -> None:
        self._run, self._weighing = run, weighing
        self._table = table_of(run)
        self._levels: dict[str | None, Levels] = {}
        self.targets = self._table.targets

    def figure(self, target: str, score: str) -> Figure | str:
        """A score of a target, or why there is none."""
        at = self.targets.index(target)
        if score == OVERALL or score in DIMENSIONS:
            draws, n = self._drawn(score, None), int(self._table.asked[at].sum())
            if (why := self._untold(score, [at])) or draws is None:
                return why or "is not measured"
            return spread(score, draws[:, at], n, self._weighing.alpha)
        if score in (measures := self._run.outcomes[at].measures):
            return _of_measure(score, measures, len(self._run.items))
        found = self._column(score)
        if found is None:
            return "has no value"
        column, here = found
        values = _imputed(column, best=False)[at, here & column.meant[at]]
        return self._mean(score, column, values, here & column.meant[at])

    def good(self, score: str) -> str:
        """Which end of a score is good; "none" of a measure."""
        if score == OVERALL or score in DIMENSIONS:
            return "high"
        found = self._column(score)
        return "none" if found is None else found[0].metric.good

    def gap(self, ours: str, theirs: str, score: str, relative: float | None) -> Figure | str:
        """How much better ours is, pair by pair; with `relative`, than theirs less such a share."""
        a, b, alpha = self.targets.index(ours), self.targets.index(theirs), self._weighing.alpha
        if score == OVERALL or score in DIMENSIONS:
            draws = self._drawn(score, theirs)
            if (why := self._untold(score, [a, b])) or draws is None:
                return why or "is not measured"
            gaps = draws[:, a] - draws[:, b] * (1 - (relative or 0.0))
            return spread(score, gaps, int(self._table.asked[a].sum()), alpha)
        found = self._column(score)
        if found is None:
            return "has no value, or no interval"
        column, here = found
        held = here & column.meant[a] & column.meant[b]
        mine, other = _imputed(column, best=False)[a, held], _imputed(column, best=True)[b, held]
        high = column.metric.good == "high"
        scale = 1 - (relative or 0.0) if high else 1 + (relative or 0.0)
        return self._mean(score, column, (mine - scale * other) * (1 if high else -1), held,
                          1.0 + (relative or 0.0))  # fmt: skip

    def rests_on(self, score: str) -> set[tuple[str, str]]:
        """The tasks and metrics that a score is made of."""
        if score == OVERALL or score in DIMENSIONS:
            self._drawn(score, None)
            return self._levels[None].rests_on(score)
        task, _, name = score.rpartition("/")
        return {(one, name) for one in ((task,) if task else self._table.tasks)}

    def _untold(self, score: str, judged: Collection[int]) -> str:
        """Why a dimension, or the overall score, is not known: an amount that counts in it is
        absent, of one of the judged targets in part, or of any altogether; "" where it is."""
        table, told = self._table, self._weighing
        for name in (*told.goals, *told.metrics) if score in (OVERALL, "efficiency") else ():
            if metric_named(name).kind == "amount" and name not in table.columns:
                return f"could not tell: {name} should count and is absent"
        for task, column in self._amounts(score):
            here = table.counted(column.metric, task)
            for at, target in enumerate(self.targets):
                lost = column.missing[at, here & column.meant[at]]
                if lost.sum() > (_ABSENT if at in judged else 0.999) * len(lost):
                    absent = f"is absent in {int(lost.sum()):,} of {len(lost):,} answers"
                    return f"could not tell: {column.metric.name} of {task} {absent} of {target}"
        return ""

    def _amounts(self, score: str) -> Iterator[tuple[str, Column]]:
        """The amounts that should count in a dimension or the overall score, by task."""
        for dimension in DIMENSIONS:
            whole = score == OVERALL and self._weighing.weights.get(dimension, 0) > 0
            for task in self._table.tasks if whole or score == dimension else ():
                for name in counting(self._table, task, dimension, self._weighing):
                    column = self._table.columns[name]
                    if column.metric.kind == "amount":
                        yield task, column

    def _mean(
        self, score: str, column: Column, values: Floats, held: Bools, wide: float = 0.0
    ) -> Figure | str:
        there = ~np.isnan(values)
        n, lost = int(there.sum()), int((~there).sum())
        if not n:
            return "has no value"
        if lost > _ABSENT * len(values):
            return f"is absent in {lost:,} of {len(values):,} answers"
        numbers, units = values[there], self._table.blocks[held][there]
        alpha, seed, flag = self._weighing.alpha, self._weighing.seed, _is_flag(column.metric)
        if flag and not wide:
            return share(score, numbers, units, alpha, seed)
        if flag and wide == 1.0:
            lower, upper, method = gap_interval(numbers, units, seed, alpha)
        else:
            limits = (-wide, wide) if wide else (0.0, 1.0)
            held_in = None if column.metric.kind == "amount" else limits
            lower, upper, method = mean_interval(numbers, units, held_in, seed, alpha)
        mean = float(numbers.mean())
        return Figure(score, n, mean, lower, upper, mean, missing={"absent": lost}, method=method)

    def _column(self, score: str) -> tuple[Column, Bools] | None:
        """A metric and the items that it is read on, of one task or of all."""
        task, _, name = score.rpartition("/")
        column = self._table.columns.get(name)
        if column is None or (task and task not in self._table.tasks):
            return None
        here = np.zeros(len(self._run.items), dtype=np.bool_)
        for one in (task,) if task else self._table.tasks:
            here |= self._table.counted(column.metric, one)
        return column, here

    def _drawn(self, score: str, generous: str | None) -> Floats | None:
        if generous not in self._levels:
            strict = _strict(self._table, () if generous is None else (generous,))
            self._levels[generous] = levels_of(strict, self._weighing)
        levels = self._levels[generous]
        if score == OVERALL:
            return levels.overall()
        return next((levels.dimension(name) for name in DIMENSIONS if name == score), None)


def _of_measure(name: str, measures: Mapping[str, float], n: int) -> Figure:
    """A measure with the ends that stand beside it; where it has but one, the other is nowhere."""
    value, (stem, _, unit) = measures[name], name.rpartition("_")
    lower, upper = (measures.get(f"{stem}_{end}_{unit}") for end in ("lower", "upper"))
    if lower is None and upper is None:
        return Figure(name, n, value, value, value, value)
    low, high = -math.inf if lower is None else lower, math.inf if upper is None else upper
    return Figure(name, n, value, low, high, value)


def _is_flag(metric: Metric) -> bool:
    return metric.kind == "flag" or flags(metric)


def _imputed(column: Column, best: bool) -> Floats:
    """The values, flagged or not as 1 or 0, with missing ones at the worst or the best end."""
    values = column.values
    if flags(column.metric):
        values = np.where(np.isnan(values), np.nan, values >= (column.metric.threshold or 0.0))
    if column.metric.kind == "amount" or column.metric.good == "none":
        return values
    end = float((column.metric.good == "high") == best)
    return np.where(column.missing, end, values)


def _strict(table: Table, generous: Collection[str]) -> Table:
    """The table with missing scores at the worst, of some targets at the best."""
    kind = np.array([target in generous for target in table.targets])[:, None]
    columns = {}
    for name, column in table.columns.items():
        values = column.values
        if column.metric.kind != "amount" and column.metric.good != "none":
            end = np.where(kind == (column.metric.good == "high"), 1.0, 0.0)
            values = np.where(column.missing, end, values)
        columns[name] = replace(column, values=values)
    return replace(table, columns=columns)

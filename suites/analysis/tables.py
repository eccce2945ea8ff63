"""A run as arrays: every metric of every target and item, and what is missing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.buckets import Bools, Floats, Ints
from agent.catalog import BY_NAME, Metric, metric_named
from agent.columns import RECORD_METRICS
from agent.record import NOT_MEANT, Call
from suites.record import Outcome, Run
from suites.twins import OF_TWINS, blocks_of
from suites.values import Values, values_of

# Reasons that lie in the item and not in the answer: no value is meant, so none is missing.
ITEM_REASONS = frozenset(
    {NOT_MEANT, "no_reference", "no_choice", "no_number", "no_context", "no_system_prompt",
     "no_prompt", "no_baseline", "sampled_out"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One metric: values [targets, items], NaN where there is none, and whether one is meant.

    Calls that failed count as the worst score there is (suites.values). `reasons` counts by target
    why values are absent, those of the item included.
    """

    metric: Metric
    values: Floats
    meant: Bools
    reasons: tuple[Counter[str], ...]

    @property
    def missing(self) -> Bools:
        """Where a value should be and is not."""
        lost: Bools = self.meant & np.isnan(self.values)
        return lost

    @property
    def goodness(self) -> Floats | None:
        """The values as 0 (worst) to 1 (best); None for amounts and where no end is good.

        A safety score with a threshold is 1 below it and 0 from it on: what matters is the share
        of answers that are flagged.
        """
        if self.metric.kind == "amount" or self.metric.good == "none":
            return None
        values = self.values
        if flags(self.metric):
            values = np.where(np.isnan(values), np.nan, values >= (self.metric.threshold or 0.0))
        return values if self.metric.good == "high" else 1.0 - values


@dataclass(frozen=True, slots=True)
class Table:
    """A run as arrays; `blocks` numbers what is drawn together: an item and its changed twins, or
    the items of one session or user.

    `task_of`, `blocks` and `twins` are [items], `asked` is [targets, items].
    """

    targets: tuple[str, ...]
    tasks: tuple[str, ...]
    task_of: Ints
    blocks: Ints
    twins: Bools
    asked: Bools
    columns: dict[str, Column]

    def within(self, task: str) -> Bools:
        """Which items are of a task."""
        mine: Bools = self.task_of == self.tasks.index(task)
        return mine

    def counted(self, metric: Metric, task: str) -> Bools:
        """The items of a task that a metric is read on: changed twins for one of these alone."""
        read: Bools = self.within(task) & (self.twins == (metric.name in OF_TWINS))
        return read


def table_of(run: Run) -> Table:
    """The arrays of a run."""
    tasks = tuple(dict.fromkeys(item.task for item in run.items))
    asked = [[call is not None for call in one.calls] for one in run.outcomes]
    return Table(
        tuple(one.target for one in run.outcomes),
        tasks,
        np.array([tasks.index(item.task) for item in run.items], dtype=np.int64),
        blocks_of(run.items),
        np.array([item.twin is not None for item in run.items], dtype=np.bool_),
        np.array(asked, dtype=np.bool_).reshape(len(run.outcomes), len(run.items)),
        _columns(run),
    )


def _columns(run: Run) -> dict[str, Column]:
    scored = dict.fromkeys(name for one in run.outcomes for name in one.scores if is_metric(name))
    names = dict.fromkeys((*(name for name in RECORD_METRICS if _stated(run, name)), *scored))
    made = {name: _column(run.outcomes, name) for name in names}
    return {name: column for name, column in made.items() if column.meant.any()}


def _stated(run: Run, name: str) -> bool:
    return any(values_of(one, name).counted.any() for one in run.outcomes)


def _column(outcomes: Sequence[Outcome], name: str) -> Column:
    found = [values_of(one, name) for one in outcomes]
    return Column(
        metric_named(name),
        np.stack([one.worst for one in found]),
        np.array([_meant(one) for one in found], dtype=np.bool_),
        tuple(Counter(why for why in one.reasons if why) for one in found),
    )


def _meant(values: Values) -> list[bool]:
    return [why not in ITEM_REASONS for why in values.reasons]


def flags(row: Metric) -> bool:
    """Whether the share of flagged answers stands for a metric, and not its mean."""
    return row.dimension == "safety" and row.threshold is not None


def is_metric(name: str) -> bool:
    """Whether a name is one of the catalogue, or of a judge and its rubric."""
    return name in BY_NAME or name.startswith("judge_")


def failed(call: Call | None) -> bool:
    """Whether a call that was asked did not come back."""
    return call is not None and call.status != "ok"

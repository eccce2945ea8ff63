"""Where one variant stands: the mean of every score, with an interval that holds at every look."""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from abtest.mixture import interval
from abtest.observational import variant_row
from abtest.samples import GRID, failed_calls, filled_counts, mean_of, worst_of
from agent.catalog import metric_named, part_of
from agent.panes import Row
from agent.store import Transaction
from agent.summaries import BoundedHistogram

ALPHA = 0.05


class Mean(NamedTuple):
    """Of `n` calls, of which those that `failed` count as the worst, with its interval."""

    n: int
    failed: int
    mean: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Level:
    """A variant's mean in one metric over closed panes; `failed` of its `n` calls have no score
    because they failed, and count as the worst one."""

    variant: str
    metric: str
    n: int
    failed: int
    mean: float
    lower: float
    upper: float
    good: str

    def as_json(self) -> dict[str, Any]:
        """The level as plain data."""
        return asdict(self)


def levels(
    tx: Transaction, service: str, variant: str, start: float = 0.0, end: float = math.inf
) -> list[Level]:
    """Every score and flag that calls of a variant have, of those that began in [start, end).

    The interval is that of `abtest.mixture` at `ALPHA`, each metric by itself: independent calls.
    """
    row, found = variant_row(tx, service, variant, None, (start, end)), []
    for metric in sorted(name for name in row.summaries if not part_of(name)[1]):
        mean = mean_at_worst(row, metric, ALPHA)
        if mean is not None:
            found.append(Level(variant, metric, *mean, metric_named(metric).good))
    return found


def mean_at_worst(row: Row, metric: str, alpha: float) -> Mean | None:
    """The mean of a score or flag; None where no call has one or failed."""
    summary, failed = row.summaries.get(metric), failed_calls(row, metric)
    if not isinstance(summary, BoundedHistogram) or not summary.n + failed:
        return None
    worst = worst_of(metric_named(metric).good, "worst")
    mean, n = mean_of(row, metric, worst)
    lower, upper = interval(GRID, np.stack([filled_counts(row, metric, worst)]), alpha)
    return Mean(round(n), int(failed), mean, float(lower[0]), float(upper[0]))

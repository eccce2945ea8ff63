"""Where one variant stands: the mean of every score, with an interval that holds at every look."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from abtest.mixture import interval
from abtest.observational import filled_counts, variant_row
from abtest.samples import GRID, RowCounts, mean_of, worst_of
from agent.catalog import metric_named
from agent.columns import FAILURES
from agent.store import Transaction
from agent.summaries import BoundedHistogram

ALPHA = 0.05


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
    for metric, summary in sorted(row.summaries.items()):
        failed = RowCounts(row).missing(metric, FAILURES)
        if not isinstance(summary, BoundedHistogram) or not summary.n + failed:
            continue
        good = metric_named(metric).good
        worst = worst_of(good, "worst")
        mean, n = mean_of(row, metric, worst)
        lower, upper = interval(GRID, np.stack([filled_counts(row, metric, worst)]), ALPHA)
        ends = float(lower[0]), float(upper[0])
        found.append(Level(variant, metric, round(n), int(failed), mean, *ends, good))
    return found

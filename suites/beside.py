"""A model offline and live, side by side: what it scored in a run, and what in closed panes.

Observational: the questions of a dataset are not those of users, so a difference has no verdict.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from abtest.mixture import interval
from abtest.observational import NO_VERDICT, filled_counts, variant_row
from abtest.samples import GRID, RowCounts, mean_of, worst_of
from agent.catalog import BY_NAME
from agent.columns import FAILURES
from agent.panes import Row
from agent.store import Transaction
from agent.summaries import BoundedHistogram
from suites.intervals import figure
from suites.record import Outcome, Run
from suites.summary import metrics_of
from suites.twins import blocks_of, places_of

# That of the difference holds if both intervals do.
_ALPHA = 0.05 / 2


@dataclass(frozen=True, slots=True)
class Side:
    """A mean of `n` items or calls, failed ones at the worst end, and its 97.5 % interval."""

    n: int
    mean: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Beside:
    """One metric of one model; the difference is live minus offline, its interval of 95 %."""

    target: str
    model: str
    metric: str
    offline: Side
    live: Side
    difference: float
    lower: float
    upper: float
    verdict: str = NO_VERDICT

    def as_json(self) -> dict[str, Any]:
        """The pair as plain data."""
        return asdict(self)


def beside(
    tx: Transaction, run: Run, service: str, variant: str = "production",
    start: float = 0.0, end: float = math.inf,
) -> list[Beside]:  # fmt: skip
    """Every score and flag that a target of the run has and that live calls of its model have.

    Live are the closed panes of a variant within [start, end). The interval of the run is that of
    a sample of its size, that of the panes holds at every look.
    """
    found = []
    for one in run.outcomes:
        row = variant_row(tx, service, variant, one.model, (start, end))
        for metric in metrics_of(one):
            if metric in BY_NAME and BY_NAME[metric].kind != "amount":
                pair = _offline(run, one, metric), _live(row, metric)
                if pair[0] is not None and pair[1] is not None:
                    found.append(_pair(one, metric, pair[0], pair[1]))
    return found


def _pair(one: Outcome, metric: str, offline: Side, live: Side) -> Beside:
    ends = live.lower - offline.upper, live.upper - offline.lower
    return Beside(
        one.target, one.model, metric, offline, live, live.mean - offline.mean, *ends
    )  # fmt: skip


def _offline(run: Run, one: Outcome, metric: str) -> Side | None:
    places, blocks = places_of(run.items, metric), blocks_of(run.items)
    made = figure(metric, one, places=places, alpha=_ALPHA, blocks=blocks)
    return Side(made.n, made.mean, made.lower, made.upper) if made.n else None


def _live(row: Row, metric: str) -> Side | None:
    summary = row.summaries.get(metric)
    failed = RowCounts(row).missing(metric, FAILURES)
    if not isinstance(summary, BoundedHistogram) or not summary.n + failed:
        return None
    worst = worst_of(BY_NAME[metric].good, "worst")
    mean, n = mean_of(row, metric, worst)
    lower, upper = interval(GRID, np.stack([filled_counts(row, metric, worst)]), _ALPHA)
    return Side(round(n), mean, float(lower[0]), float(upper[0]))

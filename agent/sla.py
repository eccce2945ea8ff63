"""What a service promises of its calls, and how fast it spends what may fail.

Conditions on burn rates over two windows: Beyer et al., The Site Reliability Workbook (2018),
chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import Field, model_validator

from agent.buckets import Bools, Floats, Ints
from agent.catalog import BY_NAME, Metric
from agent.durations import span
from agent.findings import Severity
from agent.tree import Tree

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
Z95 = 1.959964  # z of a 95 % interval


class Objective(Tree):
    """A service-level objective on one metric of a call, and the share of calls that must meet it.

    A call breaches it above `at_most` or below `at_least`; where both are left out, when it fails
    the metric by the catalogue.
    """

    # Any metric of the catalogue.
    metric: str = "latency"
    # A call above it breaches the objective.
    at_most: float | None = None
    # A call below it breaches the objective.
    at_least: float | None = None
    # Of the calls that have a value; without it the objective is a flag and has no budget.
    target: float | None = Field(default=None, gt=0, lt=1)
    # The budget is what may fail in so many days.
    window_days: float = Field(default=30.0, ge=1, le=92)

    @model_validator(mode="after")
    def _can_be_judged(self) -> "Objective":
        row = BY_NAME.get(self.metric)
        if row is None:
            raise ValueError(f"unknown metric {self.metric}; see `vedette catalog`")
        if self.at_most is not None and self.at_least is not None:
            raise ValueError("takes at_most or at_least, not both")
        limit, key = self.limit, "at_most" if self.at_least is None else "at_least"
        if limit is None:
            if row.bar is None:
                raise ValueError(f"needs at_most or at_least: {row.name} has no threshold")
        elif not math.isfinite(limit) or not _divides(row, key, limit):
            span = "above 0" if row.kind == "amount" else "in [0, 1], with calls on both sides"
            raise ValueError(f"{key} of {row.name} must be {span}, not {limit:g}")
        return self

    @property
    def limit(self) -> float | None:
        """The value that it names; None where the catalogue's threshold holds."""
        return self.at_most if self.at_least is None else self.at_least

    @property
    def of_amount(self) -> bool:
        """Whether it is on an amount of the record, which a failed call may have too."""
        return BY_NAME[self.metric].kind == "amount"

    def breached(self, values: Floats) -> Bools:
        """Which values of the metric breach it."""
        if self.at_most is not None:
            return values > self.at_most
        if self.at_least is not None:
            return values < self.at_least
        return BY_NAME[self.metric].failed(values)

    def version(self, scorer: str = "") -> str:
        """What the flag means: its metric and limit, and the version of the metric's scorer."""
        if self.at_most is not None:
            told = f"{self.metric} {self.at_most:.12g}"
        elif self.at_least is not None:
            told = f"{self.metric} from {self.at_least:.12g}"
        else:
            told = f"{self.metric} by the catalogue {BY_NAME[self.metric].bar:.12g}"
        return f"{told}, {scorer}" if scorer else told


@dataclass(frozen=True, slots=True)
class Condition:
    """Rings where the budget burns so fast over a long window, and still does over a short one,
    that the long one spends this `part` of the budget."""

    long_s: int
    short_s: int
    part: float
    severity: Severity

    @property
    def name(self) -> str:
        """Both windows, the short one first."""
        return f"{span(self.short_s)}/{span(self.long_s)}"

    def factor(self, window_days: float) -> float:
        """The burn rate above which it rings: 14.4, 6, 3 and 1 where the budget is for 30 days.

        Never below 1: at that rate a budget lasts as long as it should.
        """
        return max(1.0, round(self.part * window_days * _DAY_S / self.long_s, 9))


# Fewer calls in the long window tell nothing, and fewer failures ring nothing: one failed call at
# night is no outage. At a target of .999 and 50 calls an hour three fail in one hour of the clock
# by chance once in six years.
FEWEST_CALLS, FEWEST_FAILURES = 10, 3
CONDITIONS = (
    Condition(_HOUR_S, 5 * _MINUTE_S, 0.02, "critical"),
    Condition(6 * _HOUR_S, 30 * _MINUTE_S, 0.05, "critical"),
    Condition(_DAY_S, 2 * _HOUR_S, 0.1, "warning"),
    Condition(3 * _DAY_S, 6 * _HOUR_S, 0.1, "warning"),
)
WINDOWS_S = tuple(sorted({w for one in CONDITIONS for w in (one.short_s, one.long_s)}))


def targeted(slo: Mapping[str, Objective]) -> dict[str, Objective]:
    """The objectives that have a budget, by name."""
    return {name: one for name, one in sorted(slo.items()) if one.target is not None}


def burn_rate(bad: Ints, total: Ints, target: Floats) -> Floats:
    """How many times too fast the budget is spent: at 1 it lasts its period. NaN without calls."""
    with np.errstate(invalid="ignore"):
        found: Floats = bad / total / (1 - target)
    return found


def budget_remaining(bad: Ints, total: Ints, target: Floats) -> Floats:
    """The part of the budget that is left, negative where it is overspent. NaN without calls."""
    return 1 - burn_rate(bad, total, target)


def share_interval(bad: Ints, total: Ints, z: float = Z95) -> tuple[Floats, Floats]:
    """The 95 % interval of a share of independent calls (Wilson 1927); [0, 1] without calls."""
    n = np.maximum(total, 1)
    share, part = bad / n, z * z / n
    middle = (share + part / 2) / (1 + part)
    half = z / (1 + part) * np.sqrt(share * (1 - share) / n + part / n / 4)
    lower, upper = np.maximum(0.0, middle - half), np.minimum(1.0, middle + half)
    return lower, np.where(total > 0, upper, 1.0)


def _divides(row: Metric, key: str, limit: float) -> bool:
    """Whether a value may lie on either side of a limit."""
    if row.kind == "amount":
        return limit > 0
    return 0 <= limit < 1 if key == "at_most" else 0 < limit <= 1

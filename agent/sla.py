"""What a service promises of its calls, as the configuration defines it."""

import math

from pydantic import Field, model_validator

from agent.buckets import Bools, Floats
from agent.catalog import BY_NAME, Metric
from agent.tree import Tree


class Objective(Tree):
    """A service-level objective on one metric of a call, and the share of calls that must meet it.

    A call breaches it above `at_most` or below `at_least`; where both are left out, when it fails
    the metric by the catalogue.
    """

    metric: str = "latency"
    at_most: float | None = None
    at_least: float | None = None
    # Of the calls that have a value; without it the objective is a flag and has no budget.
    target: float | None = Field(default=None, gt=0, lt=1)
    # The budget is what may fail in so many days.
    window_days: float = Field(default=30.0, ge=1, le=366)

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


def _divides(row: Metric, key: str, limit: float) -> bool:
    """Whether a value may lie on either side of a limit."""
    if row.kind == "amount":
        return limit > 0
    return 0 <= limit < 1 if key == "at_most" else 0 < limit <= 1

"""Figures of what is no metric: scores that were drawn again, and shares."""

import numpy as np

from abtest.exact import clopper_pearson
from agent.buckets import Floats
from suites.intervals import Figure


def spread(name: str, draws: Floats, n: int, alpha: float, missing: int = 0) -> Figure:
    """The figure of draws [1 + draws], the first as it was seen; the interval by percentiles."""
    lower, upper = np.quantile(draws[1:], [alpha / 2, 1 - alpha / 2])
    seen = float(draws[0])
    lost = {"absent": missing} if missing else {}
    return Figure(name, n, seen, float(lower), float(upper), seen, 0, lost, "bootstrap")


def share(name: str, hits: int, n: int, alpha: float) -> Figure:
    """A share of n items with its exact interval."""
    lower, upper = clopper_pearson(hits, n, alpha)
    return Figure(name, n, hits / n, lower, upper, hits / n, 0, {}, "exact")

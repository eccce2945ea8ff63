"""Figures of what is no metric: scores that were drawn again, and shares."""

import numpy as np

from agent.buckets import Floats, Ints
from suites.intervals import Figure, share_interval


def spread(name: str, draws: Floats, n: int, alpha: float, missing: int = 0) -> Figure:
    """The figure of draws [1 + draws], the first as it was seen; the interval by percentiles.

    What was seen lies in it: items that are imagined in every draw may have left it outside.
    """
    lower, upper = np.quantile(draws[1:], [alpha / 2, 1 - alpha / 2])
    seen = float(draws[0])
    ends = min(float(lower), seen), max(float(upper), seen)
    lost = {"absent": missing} if missing else {}
    return Figure(name, n, seen, *ends, seen, 0, lost, "bootstrap")


def share(name: str, hits: Floats, blocks: Ints, alpha: float, seed: int = 0) -> Figure:
    """The share of ones among zeros and ones; `blocks` numbers the items that belong together."""
    lower, upper, method = share_interval(hits, blocks, seed, alpha)
    mean = float(hits.mean())
    return Figure(name, len(hits), mean, lower, upper, mean, 0, {}, method)

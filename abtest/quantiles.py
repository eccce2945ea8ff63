"""Intervals of quantiles and of their differences, from log-bucket counts, valid at every look.

A quantile q of p has P(X <= x) >= p at every x from q on, and P(X <= x) <= p before it. Whether
the events below a bucket's edge speak against that is asked of the fixed-bet mixture, and the
true quantile meets one question a side only, so no union over the edges is due (the duality of
Howard and Ramdas 2022, sec. 3).
"""

import math

import numpy as np

from abtest.mixture import log_capital, mixed
from agent.buckets import LOG_GAMMA, ZERO_BUCKET, Floats
from agent.summaries import LogHistogram


def quantile_interval(amounts: LogHistogram, p: float, alpha: float = 0.05) -> tuple[float, float]:
    """Lower and upper end of the p-quantile; (0, inf) without events."""
    buckets = sorted(amounts.bins)
    if not buckets:
        return 0.0, math.inf
    below = np.cumsum([amounts.bins[index] for index in buckets]).astype(np.float64)
    level = math.log(2 / alpha)
    # Too few at or below this edge: the quantile lies beyond it.
    beyond = _evidence(below, amounts.n, p, "down") >= level
    # Too many below this edge: the quantile lies before it.
    before = _evidence(below, amounts.n, p, "up") >= level
    lower = _edge(buckets[int(np.flatnonzero(beyond)[-1])]) if beyond.any() else 0.0
    upper = _edge(buckets[int(np.flatnonzero(before)[0])]) if before.any() else math.inf
    return lower, upper


def quantile_difference(
    control: LogHistogram, candidate: LogHistogram, p: float, alpha: float = 0.05
) -> tuple[float, float, float]:
    """Estimate, lower and upper end of candidate minus control, each arm at alpha / 2."""
    ours, theirs = candidate.quantile(p), control.quantile(p)
    if ours is None or theirs is None:
        return math.nan, -math.inf, math.inf
    low, high = quantile_interval(candidate, p, alpha / 2)
    first, last = quantile_interval(control, p, alpha / 2)
    return ours - theirs, low - last, high - first


def _evidence(below: Floats, n: int, p: float, side: str) -> Floats:
    steps = log_capital([0.0, 1.0], p)
    counts = np.stack([n - below, below], -1)
    return mixed(counts @ steps, "up" if side == "up" else "down")


def _edge(bucket: int) -> float:
    return 0.0 if bucket == ZERO_BUCKET else math.exp(bucket * LOG_GAMMA)

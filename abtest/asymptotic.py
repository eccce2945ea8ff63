"""Intervals that hold for large samples only, and are labelled so: ratios of geometric means.

The asymptotic confidence sequence (Waudby-Smith et al., Ann. Stat. 52(6) 2024, eq. 9): of the
normal-mixture family, valid as the sample grows. At small counts it is not (statistics.md 3.3),
hence the fewest events of the smaller arm.
"""

import math
from dataclasses import dataclass

import numpy as np

from agent.buckets import ACCURACY, LOG_GAMMA, ZERO_BUCKET
from agent.summaries import LogHistogram

FEWEST_EVENTS = 100
# The boundary is tightest at this many events.
_TIGHTEST = 10_000


@dataclass(frozen=True, slots=True)
class Moments:
    """How many values there are, their mean and their variance."""

    n: int
    mean: float
    variance: float


def log_moments(amounts: LogHistogram) -> Moments:
    """Of the logarithms of positive amounts, from their log buckets; each is .01 off at most."""
    held = {index: n for index, n in amounts.bins.items() if index != ZERO_BUCKET}
    n = sum(held.values())
    if not n:
        return Moments(0, math.nan, math.nan)
    counts = np.array(list(held.values()), np.float64)
    # A bucket (g^(i-1), g^i] stands for its harmonic middle, which is within 1 % of each value.
    logs = np.array(list(held), np.float64) * LOG_GAMMA + math.log(1 - ACCURACY)
    mean = float((counts * logs).sum() / n)
    return Moments(n, mean, float((counts * (logs - mean) ** 2).sum() / n))


def mixing_scale(alpha: float = 0.05, tightest: int = _TIGHTEST) -> float:
    """Rho of eq. 9 for the tightest boundary at so many events (its approximation, sec. 2.3)."""
    log = -2 * math.log(alpha)
    return math.sqrt((log + math.log(log + 1)) / tightest)


def margin(n: float, deviation: float, alpha: float = 0.05, rho: float | None = None) -> float:
    """Half the width of the interval of a mean of n values with this standard deviation."""
    scale = (mixing_scale(alpha) if rho is None else rho) ** 2
    inner = 2 * (n * scale + 1) / (n * n * scale) * math.log(math.sqrt(n * scale + 1) / alpha)
    return deviation * math.sqrt(inner)


def log_ratio(
    control: Moments, candidate: Moments, alpha: float = 0.05
) -> tuple[float, float, float]:
    """Estimate, lower and upper end of the log-ratio of two geometric means.

    Two arms are one sample of all their events whose variance makes up the standard error
    (gbstats' form of eq. 9). NaN ends below `FEWEST_EVENTS` in the smaller arm.
    """
    estimate = candidate.mean - control.mean
    if min(control.n, candidate.n) < FEWEST_EVENTS:
        return estimate, math.nan, math.nan
    n = control.n + candidate.n
    error = control.variance / control.n + candidate.variance / candidate.n
    half = margin(n, math.sqrt(error * n), alpha)
    return estimate, estimate - half, estimate + half


def paired_log_ratio(ratios: Moments, alpha: float = 0.05) -> tuple[float, float, float]:
    """The same from the log-ratios of pairs."""
    if ratios.n < FEWEST_EVENTS:
        return ratios.mean, math.nan, math.nan
    half = margin(ratios.n, math.sqrt(ratios.variance), alpha)
    return ratios.mean, ratios.mean - half, ratios.mean + half

"""Intervals of a number that is a function of sums over units: resampled, or by betting."""

from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from abtest.mixture import interval
from agent.buckets import Floats

Statistic = Callable[[Floats], Floats]

DRAWS = 2_000
# Draws are held in blocks of so many counts: 32 MB, whatever the number of units.
_BLOCK_CELLS = 1 << 22
_NORMAL = NormalDist()


def bootstrap(
    rows: Floats, statistic: Statistic, seed: int, alpha: float = 0.05
) -> tuple[float, float]:
    """The BCa interval of `statistic` of the sums of rows [units, columns], units resampled.

    Efron and Tibshirani 1993, An Introduction to the Bootstrap, eq. 14.9 to 14.15, the acceleration
    by the jackknife. Not the percentile interval, which is too high and too short where scores
    crowd at one end; both stay within the range of the statistic.
    """
    total, n = rows.sum(0), len(rows)
    drawn = np.sort(statistic(_resampled(rows, seed)))
    here = float(statistic(total))
    share = ((drawn < here).mean() + (drawn <= here).mean()) / 2
    bias = _NORMAL.inv_cdf(min(max(float(share), 0.5 / DRAWS), 1 - 0.5 / DRAWS))
    left_out = statistic(total - rows)
    away = left_out.mean() - left_out
    spread = float((away**2).sum()) ** 1.5
    acceleration = float((away**3).sum()) / (6 * spread) if n > 1 and spread > 0 else 0.0
    ends = []
    for tail in (alpha / 2, 1 - alpha / 2):
        moved = bias + _NORMAL.inv_cdf(tail)
        ends.append(_NORMAL.cdf(bias + moved / (1 - acceleration * moved)))
    lower, upper = np.quantile(drawn, ends)
    return float(lower), float(upper)


def _resampled(rows: Floats, seed: int) -> Floats:
    """Sums [draws, columns] of as many rows as there are, drawn with replacement."""
    size = max(1, min(DRAWS, _BLOCK_CELLS // len(rows)))
    blocks = [
        _counts(len(rows), min(size, DRAWS - first), seed, first) @ rows
        for first in range(0, DRAWS, size)
    ]
    return np.concatenate(blocks)


@lru_cache(maxsize=2)  # the metrics of a run have the same number of items
def _counts(n: int, draws: int, seed: int, first: int) -> Floats:
    """How often each of n units is drawn [draws, n]."""
    rng = np.random.default_rng((seed, n, first))
    chosen: NDArray[np.int64] = rng.integers(0, n, (draws, n)) + np.arange(draws)[:, None] * n
    counts = np.bincount(chosen.ravel(), minlength=draws * n)
    return counts.reshape(draws, n).astype(np.float64)


def betting(values: Floats, lower: float, upper: float, alpha: float = 0.05) -> tuple[float, float]:
    """The interval of a mean of independent values in [lower, upper], however few or alike."""
    support, counts = np.unique(values, return_counts=True)
    first, last = interval(support, counts, alpha, lower, upper)
    return float(first), float(last)

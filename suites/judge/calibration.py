"""How a judge agrees with people, on the items that people labelled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from abtest.exact import clopper_pearson
from agent.buckets import Floats

# A label or a verdict at or above counts as the good end.
MIDDLE = 0.5
# The interval of a correlation is Fisher's; below so many items it says nothing.
_FEWEST = 10


@dataclass(frozen=True, slots=True)
class Rate:
    """A number and the ends of its 95 % interval; NaN where nothing tells it."""

    value: float
    lower: float
    upper: float
    n: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """A judge against people over `n` items, of which `unjudged` more had a label alone.

    `sensitivity` is how many of the bad items it calls bad and `specificity` how many of the
    others it does not. `length_bias` is the correlation of (verdict - label) with the rank of the
    answer's length: above 0 it likes long answers more than people do.
    """

    n: int
    unjudged: int
    agreement: Rate
    kappa: Rate
    sensitivity: Rate
    specificity: Rate
    length_bias: Rate


def calibrate(
    verdicts: Sequence[float | None],
    labels: Sequence[float],
    chars: Sequence[int],
    alpha: float = 0.05,
) -> Calibration:
    """Compare verdicts with the labels of the same items, both of the values of one rubric."""
    held = [i for i, verdict in enumerate(verdicts) if verdict is not None]
    given = np.array([verdicts[i] for i in held], np.float64)
    right = np.array([labels[i] for i in held], np.float64)
    length = np.array([chars[i] for i in held], np.float64)
    bad, called = right < MIDDLE, given < MIDDLE
    return Calibration(
        len(held),
        len(labels) - len(held),
        _share(int((given == right).sum()), len(held), alpha),
        kappa(given, right, alpha),
        _share(int((bad & called).sum()), int(bad.sum()), alpha),
        _share(int((~bad & ~called).sum()), int((~bad).sum()), alpha),
        _correlation(given - right, length, alpha),
    )


def _share(hits: int, n: int, alpha: float) -> Rate:
    lower, upper = clopper_pearson(hits, n, alpha)
    return Rate(hits / n if n else math.nan, lower, upper, n)


def kappa(given: Floats, right: Floats, alpha: float = 0.05) -> Rate:
    """Cohen's kappa with quadratic weights (1968), which of two labels is the plain one (1960).

    The interval is of its large-sample variance (Fleiss, Cohen and Everitt 1969, eq. 9), or of the
    share of agreement where all agree and there is no variance; NaN where either side says one
    thing only.
    """
    n = len(given)
    values = np.unique(np.concatenate([given, right]))
    if n < 2 or len(np.unique(given)) < 2 or len(np.unique(right)) < 2:
        return Rate(math.nan, -1.0, 1.0, n)
    cells = np.zeros((len(values), len(values)))
    at = np.searchsorted(values, given), np.searchsorted(values, right)
    np.add.at(cells, at, 1 / n)
    weights = 1 - (values[:, None] - values) ** 2 / (values[-1] - values[0]) ** 2
    rows, columns = cells.sum(1), cells.sum(0)
    by_chance = np.outer(rows, columns)
    seen, chance = float((weights * cells).sum()), float((weights * by_chance).sum())
    found = (seen - chance) / (1 - chance)
    mean = (weights @ columns)[:, None] + (weights.T @ rows)
    inner = weights * (1 - chance) - mean * (1 - seen)
    variance = float((cells * inner**2).sum()) - (seen * chance - 2 * chance + seen) ** 2
    error = math.sqrt(max(variance, 0.0) / n) / (1 - chance) ** 2
    half = NormalDist().inv_cdf(1 - alpha / 2) * error
    lower = found - half
    if (given == right).all():
        lower = (clopper_pearson(n, n, alpha)[0] - chance) / (1 - chance)
    return Rate(found, max(lower, -1.0), min(found + half, 1.0), n)


def _correlation(excess: Floats, length: Floats, alpha: float) -> Rate:
    """Pearson's, of the excess with the ranks of lengths; the interval by Fisher's z (1921)."""
    n = len(excess)
    if n < _FEWEST or np.ptp(excess) == 0 or np.ptp(length) == 0:
        return Rate(math.nan, -1.0, 1.0, n)
    found = float(np.corrcoef(excess, ranks(length))[0, 1])
    z = math.atanh(min(max(found, -1 + 1e-12), 1 - 1e-12))
    half = NormalDist().inv_cdf(1 - alpha / 2) / math.sqrt(n - 3)
    return Rate(found, math.tanh(z - half), math.tanh(z + half), n)


def ranks(values: Floats) -> Floats:
    """The rank of each value, the mean rank where some are alike."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: Floats = (last - (counts - 1) / 2)[at]
    return middle

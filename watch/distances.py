"""How far a distribution moved, as effect sizes beside what no change at all would give.

A distance of samples is never 0, and how large it is by chance depends on their number: so each is
shown with the value that 95 in 100 samples of as many calls from the baseline itself stay below
(statistics.md 4.3, 6.2), and none is compared with a fixed cut.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from agent.buckets import BINS, Floats
from agent.catalog import AXES
from watch.baseline import Baseline

# Deciles of the baseline, as PSI is usually taken; half a call a group keeps it finite.
_GROUPS, _HALF = 10, 0.5
# Of fewer calls a distance is all chance.
FEWEST = 50
_DRAWS, _QUANTILE = 200, 0.95
_FURTHEST_Z = NormalDist().inv_cdf(1 - (1 - _QUANTILE) / 2 / AXES)


@dataclass(frozen=True, slots=True)
class Distance:
    """One distance, and what 95 in 100 unchanged samples of the same size stay below."""

    value: float
    by_chance: float


def distances(baseline: Floats, now: Floats, rng: np.random.Generator) -> dict[str, Distance]:
    """Of counts [bins] from those of the baseline: `js`, the Jensen-Shannon distance in [0, 1];
    `psi`, the population stability index; both over deciles; `ks`, the largest difference of the
    distribution functions; `wasserstein`, the area between them in parts of the range."""
    n, share = now.sum(), baseline / baseline.sum()
    drawn = rng.multinomial(round(float(n)), share, _DRAWS).astype(np.float64)
    values, chance = _all(baseline, now[None, :]), _all(baseline, drawn)
    return {
        name: Distance(float(values[name][0]), float(np.quantile(chance[name], _QUANTILE)))
        for name in values
    }


def mean_distance(effect: float, n: float, base: Baseline) -> Distance:
    """How far the mean of `n` embeddings moved along an axis, in standard deviations of a text;
    by chance it moves less along the furthest of all axes (Bonferroni)."""
    scale = math.sqrt(max(base.variance, 1e-12))
    chance = math.sqrt(base.design_effect * (1 / n + 1 / base.calls))
    return Distance(abs(effect) / scale, _FURTHEST_Z * chance)


def _all(baseline: Floats, now: Floats) -> dict[str, Floats]:
    gap = _cumulated(now) - _cumulated(baseline[None, :])
    groups = np.minimum(_GROUPS * (_cumulated(baseline) - baseline / baseline.sum() / 2), 9)
    table = np.eye(_GROUPS)[groups.astype(np.int64)]
    p, q = (_shares(one @ table) for one in (baseline[None, :], now))
    middle = (p + q) / 2
    bits = ((p * np.log2(p / middle) + q * np.log2(q / middle)) / 2).sum(-1)
    return {
        "js": np.sqrt(np.maximum(bits, 0.0)),
        "psi": ((q - p) * np.log(q / p)).sum(-1),
        "ks": np.abs(gap).max(-1),
        "wasserstein": np.abs(gap).sum(-1) / BINS,
    }


def _cumulated(counts: Floats) -> Floats:
    found: Floats = counts.cumsum(-1) / counts.sum(-1, keepdims=True)
    return found


def _shares(groups: Floats) -> Floats:
    held = groups + _HALF
    found: Floats = held / held.sum(-1, keepdims=True)
    return found

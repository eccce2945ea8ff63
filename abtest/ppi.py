"""The mean of what a judge or a person would say of all calls, from a sample that was judged and
a cheap score of every call.

Prediction-powered inference with power tuning: Angelopoulos, Bates, Fannjiang, Jordan and Zrnic
(Science 382, 2023) and Angelopoulos, Duchi and Zrnic (PPI++, arXiv 2311.01453). With n judged
calls (label Y, cheap score f), N others (f alone) and a weight w,

    estimate = w mean_N(f) + mean_n(Y - w f),    variance = w^2 var_N(f) / N + var_n(Y - w f) / n,
    w = cov_n(Y, f) / ((1 + n / N) var(f)),

so a cheap score that says nothing gets the weight 0 and costs nothing. The judged calls must be
drawn without regard to what they hold, as a nested hash sample is.

All but `anytime` hold for one look at a sample of fixed size.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from abtest import mixture
from abtest.exact import clopper_pearson
from agent.buckets import Floats

Method = Literal["ppi++", "exact", "betting", "rogan-gladen", "could not tell"]
# Below this many judged calls no normal interval is given.
FEWEST = 50
# Imagined calls at each end of what Y - w f can be: an adjusted Wald interval (Agresti and Coull
# 1998, and for differences of pairs Bonett and Price 2012). Without them a cheap score that is
# wrong of 1 call in 100 looks perfect in every third sample of 100, and the interval is a point.
IMAGINED = 2.0


@dataclass(frozen=True, slots=True)
class Cheap:
    """The cheap scores of the calls that were not judged, as their sums say them."""

    n: int
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean in [0, 1] with its interval; `weight` is how far the cheap score was gone by."""

    value: float
    lower: float
    upper: float
    judged: int
    others: int
    weight: float
    method: Method

    @property
    def width(self) -> float:
        """From end to end."""
        return self.upper - self.lower


def of_scores(values: ArrayLike) -> Cheap:
    """The sums of some scores."""
    held = np.asarray(values, np.float64)
    if not len(held):
        return Cheap(0, math.nan, math.nan)
    return Cheap(len(held), float(held.mean()), float(held.var()))


def tuned(labels: ArrayLike, cheap: ArrayLike, others: Cheap) -> float:
    """The weight of the smallest variance (PPI++ sec. 6), kept in [0, 1]; 0 where f is constant."""
    y, f = _pair(labels, cheap)
    n, total = len(y), len(y) + others.n
    if not others.n or n < 2:
        return 0.0
    centre = (n * float(f.mean()) + others.n * others.mean) / total
    spread = n * (float(f.var()) + (float(f.mean()) - centre) ** 2)
    spread = (spread + others.n * (others.variance + (others.mean - centre) ** 2)) / total
    if spread <= 0:
        return 0.0
    shared = float(((y - y.mean()) * (f - f.mean())).sum()) / (n - 1)
    return min(max(shared / ((1 + n / others.n) * spread), 0.0), 1.0)


def mean(
    labels: ArrayLike,
    cheap: ArrayLike,
    others: Cheap,
    alpha: float = 0.05,
    imagined: float = IMAGINED,
) -> Estimate:
    """The mean label of all calls; labels and cheap scores in [0, 1], in the same order.

    Below `FEWEST` judged calls their own exact interval (of flags) or that of `anytime` without
    the cheap score. Raises ValueError where the two differ in length or leave [0, 1].
    """
    y, f = _pair(labels, cheap)
    n, rest = len(y), others.n
    if n < FEWEST:
        return judged_alone(y, alpha, rest)
    weight = tuned(y, f, others)
    left = y - weight * f
    # At -w and at 1 lie the ends of Y - w f.
    held = n + 2 * imagined
    centre = (float(left.sum()) + imagined * (1 - weight)) / held
    square = (float((left**2).sum()) + imagined * (1 + weight**2)) / held
    error = (square - centre**2) / held
    value = float(left.mean())
    if weight:
        error += weight**2 * others.variance / rest
        value += weight * others.mean
        centre += weight * others.mean
    half = NormalDist().inv_cdf(1 - alpha / 2) * math.sqrt(error)
    lower, upper = max(centre - half, 0.0), min(centre + half, 1.0)
    return Estimate(min(max(value, lower), upper), lower, upper, n, rest, weight, "ppi++")


def judged_alone(labels: ArrayLike, alpha: float = 0.05, others: int = 0) -> Estimate:
    """The mean of the judged calls without any cheap score: exact for flags, or by betting."""
    y, _ = _pair(labels, labels)
    n = len(y)
    if not n:
        return Estimate(math.nan, 0.0, 1.0, 0, others, 0.0, "could not tell")
    if np.isin(y, (0.0, 1.0)).all():
        lower, upper = clopper_pearson(int(y.sum()), n, alpha)
        return Estimate(float(y.mean()), lower, upper, n, others, 0.0, "exact")
    lower, upper = _bet(y, alpha)
    return Estimate(float(y.mean()), lower, upper, n, others, 0.0, "betting")


def anytime(
    labels: ArrayLike, cheap: ArrayLike, all_cheap: ArrayLike, weight: float, alpha: float = 0.05
) -> Estimate:
    """The same valid at every look and every n: `weight` must be fixed before the data.

    Two intervals of the fixed-bet mixture whose error is split: of Y - w f over the judged calls
    (nine tenths) and of f over `all_cheap`, those of every call so far.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight {weight} does not lie between 0 and 1")
    y, f = _pair(labels, cheap)
    seen = np.asarray(all_cheap, np.float64)
    lower, upper = _bet(y - weight * f, 0.9 * alpha if weight else alpha, -weight)
    value = float((y - weight * f).mean()) if len(y) else math.nan
    if weight:
        ends = _bet(seen, 0.1 * alpha)
        lower, upper = lower + weight * ends[0], upper + weight * ends[1]
        value += weight * float(seen.mean()) if len(seen) else math.nan
    lower, upper = max(lower, 0.0), min(upper, 1.0)
    return Estimate(value, lower, upper, len(y), len(seen) - len(y), weight, "betting")


def rogan_gladen(
    flagged: int, n: int, hits: int, ill: int, clear: int, well: int, alpha: float = 0.05
) -> Estimate:
    """The true share where a test flags `flagged` of n and is known from labelled items.

    It flagged `hits` of `ill` items that are, and passed `clear` of `well` that are not. Rogan and
    Gladen (1978); the interval of Lang and Reiczigel (2014), which carries what is not known of
    sensitivity and specificity. "could not tell" where the test may be no better than a coin.
    """
    z = NormalDist().inv_cdf(1 - alpha / 2)
    p, trials = (flagged + z * z / 2) / (n + z * z), n + z * z
    true, false = (hits + 1) / (ill + 2), (clear + 1) / (well + 2)
    spread = [rate * (1 - rate) / (of + 2) for rate, of in ((true, ill), (false, well))]
    gain = true + false - 1
    if not n or gain <= z * math.sqrt(sum(spread)):
        return Estimate(math.nan, 0.0, 1.0, n, 0, 1.0, "could not tell")
    centre = (p + false - 1) / gain
    shift = 2 * z * z * (centre * spread[0] - (1 - centre) * spread[1])
    inside = p * (1 - p) / trials + centre**2 * spread[0] + (1 - centre) ** 2 * spread[1]
    half = z * math.sqrt(inside) / gain
    value = _plain_rogan_gladen(flagged / n, hits / ill, clear / well)
    lower, upper = max(centre + shift - half, 0.0), min(centre + shift + half, 1.0)
    return Estimate(value, lower, upper, n, 0, 1.0, "rogan-gladen")


def _plain_rogan_gladen(share: float, sensitivity: float, specificity: float) -> float:
    return min(max((share + specificity - 1) / (sensitivity + specificity - 1), 0.0), 1.0)


def _bet(values: Floats, alpha: float, lower: float = 0.0) -> tuple[float, float]:
    if not len(values):
        return lower, 1.0
    support, counts = np.unique(values, return_counts=True)
    first, last = mixture.interval(support, counts, alpha, lower, 1.0)
    return float(first), float(last)


def _pair(labels: ArrayLike, cheap: ArrayLike) -> tuple[Floats, Floats]:
    y, f = np.asarray(labels, np.float64), np.asarray(cheap, np.float64)
    if y.shape != f.shape or y.ndim != 1:
        raise ValueError(f"{y.shape} labels do not fit {f.shape} cheap scores")
    for held in (y, f):
        if not ((held >= 0) & (held <= 1)).all():
            raise ValueError("a label or a cheap score lies outside [0, 1]")
    return y, f

"""The figures of a run: the mean of a metric, corpus BLEU and differences, each with an interval.

Which interval: *exact* (Clopper and Pearson) for a flag of independent items, and the *adjusted*
Wald interval (Bonett and Price 2012) for the difference of two; the *bootstrap* (BCa, units
resampled) for everything else; *betting* (abtest.mixture) for scores of fewer than `FEWEST` units,
that are all alike, or whose interval is one of many that hold together: there a resample says
nothing of what was not seen.

A failed call counts as the worst score there is, and `best` says what the figure would be had it
been the best. A figure that nothing counts in is NaN throughout.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

import numpy as np

from abtest.exact import clopper_pearson
from agent.buckets import Floats, Ints
from agent.catalog import metric_named
from suites.corpus import Texts, bleu_of, texts_of
from suites.record import Outcome
from suites.resampling import Statistic, betting, bootstrap
from suites.values import Values, by_unit, values_of

CORPUS_BLEU = "corpus_bleu"
# 2026-11-26: of 400 samples each of four skewed scores BCa held the mean in at least .925 from 30
# units on, and in as few as .773 at 10.
FEWEST = 30

Method = Literal["exact", "adjusted", "bootstrap", "betting", "none"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a run and the ends of its interval.

    `n` items count in it, `failed` of them are calls that failed; `missing` counts the others by
    reason. `best` is the figure with failed calls at the best end.
    """

    metric: str
    n: int
    mean: float
    lower: float
    upper: float
    best: float
    failed: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    method: Method = "none"


def figure(
    metric: str,
    outcome: Outcome,
    seed: int = 0,
    places: Sequence[int] | None = None,
    alpha: float = 0.05,
    blocks: Ints | None = None,
    flagged: bool = False,
    together: int = 1,
) -> Figure:
    """The mean of a metric over the items at `places` (all without any), or corpus BLEU.

    `blocks` and `flagged` are those of `values_of`. The intervals of so many scores and flags hold
    `together` with a chance of 1 - alpha.
    """
    alpha /= together
    if metric == CORPUS_BLEU:
        return _corpus(outcome, seed, places, alpha)
    values = values_of(outcome, metric, places, blocks, flagged)
    held, row = values.counted, metric_named(metric)
    if not held.any():
        return _nothing(metric, values.missing())
    numbers, units = values.worst[held], values.units[held]
    if row.kind == "flag" or flagged:
        lower, upper, method = share_interval(numbers, units, seed, alpha, together > 1)
    else:
        limits = None if row.kind == "amount" else (0.0, 1.0)
        lower, upper, method = mean_interval(numbers, units, limits, seed, alpha, together > 1)
    return Figure(
        metric, len(numbers), float(numbers.mean()), lower, upper, float(values.best[held].mean()),
        int(values.failed.sum()), values.missing(), method,
    )  # fmt: skip


def difference(
    metric: str,
    ours: Outcome,
    theirs: Outcome,
    seed: int = 0,
    places: Sequence[int] | None = None,
    alpha: float = 0.05,
    blocks: Ints | None = None,
    flagged: bool = False,
) -> Figure:
    """Ours minus theirs over the items that count on both sides, pair by pair."""
    if metric == CORPUS_BLEU:
        return _corpus_difference(ours, theirs, seed, places, alpha)
    a, b = (values_of(one, metric, places, blocks, flagged) for one in (ours, theirs))
    held, kind = a.counted & b.counted, metric_named(metric).kind
    if not held.any():
        return _nothing(metric, _either(a, b))
    numbers, units = _less(a.worst, b.worst)[held], a.units[held]
    if kind == "flag" or flagged:
        lower, upper, method = gap_interval(numbers, units, seed, alpha)
    else:
        limits = None if kind == "amount" else (-1.0, 1.0)
        lower, upper, method = mean_interval(numbers, units, limits, seed, alpha)
    return Figure(
        metric, len(numbers), float(numbers.mean()), lower, upper,
        float(_less(a.best, b.best)[held].mean()), int((a.failed | b.failed)[held].sum()),
        _either(a, b), method,
    )  # fmt: skip


def _less(ours: Floats, theirs: Floats) -> Floats:
    """Ours minus theirs; what differs in its last bits only is alike."""
    alike = np.isclose(ours, theirs, rtol=1e-9, atol=0.0)
    return np.where(alike, 0.0, ours - theirs)


def _nothing(metric: str, missing: Mapping[str, int]) -> Figure:
    return Figure(metric, 0, math.nan, math.nan, math.nan, math.nan, missing=missing)


def _either(a: Values, b: Values) -> dict[str, int]:
    """Why items count on one side at most; the reason of the first side that has one."""
    reasons = tuple(first or second for first, second in zip(a.reasons, b.reasons, strict=True))
    return Values(a.worst, a.best, reasons, a.failed, a.units).missing()


def share_interval(
    hits: Floats, units: Ints, seed: int, alpha: float, far: bool = False
) -> tuple[float, float, Method]:
    """The interval of the share of ones among zeros and ones, exact where each is its own unit."""
    if len(np.unique(units)) == len(hits):
        return *clopper_pearson(round(float(hits.sum())), len(hits), alpha), "exact"
    return mean_interval(hits, units, (0.0, 1.0), seed, alpha, far)


def gap_interval(gaps: Floats, units: Ints, seed: int, alpha: float) -> tuple[float, float, Method]:
    """The interval of the mean of differences of two flags, each -1, 0 or 1.

    Resamples of few that differ are too sure: of 3 of 100 all 3 are on one side by chance in every
    fourth case, and the bootstrap excludes 0. So one imagined item on each side is counted in.
    """
    n = len(gaps)
    if n < FEWEST or len(np.unique(units)) < n:
        return mean_interval(gaps, units, (-1.0, 1.0), seed, alpha)
    up, down = (float((sign * gaps > 0).sum() + 1) / (n + 2) for sign in (1, -1))
    error = math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    half = NormalDist().inv_cdf(1 - alpha / 2) * error
    return max(up - down - half, -1.0), min(up - down + half, 1.0), "adjusted"


def mean_interval(
    numbers: Floats, units: Ints, limits: tuple[float, float] | None, seed: int, alpha: float,
    far: bool = False,
) -> tuple[float, float, Method]:  # fmt: skip
    """The interval of the mean of numbers within limits (None: without any), units resampled.

    An alpha that is `far` out is beyond the tails that draws have, and limits are bet on.
    """
    rows = by_unit(np.stack([numbers, np.ones(len(numbers))], 1), units)
    alike = float(np.ptp(numbers)) == 0.0
    if limits is not None and (far or alike or len(rows) < FEWEST):
        return *betting(np.clip(rows[:, 0] / rows[:, 1], *limits), *limits, alpha), "betting"
    if len(rows) < 2:
        return -math.inf, math.inf, "none"
    return *bootstrap(rows, lambda sums: sums[..., 0] / sums[..., 1], seed, alpha), "bootstrap"


def _corpus(outcome: Outcome, seed: int, places: Sequence[int] | None, alpha: float) -> Figure:
    texts = texts_of(outcome, places)
    return _bleu_figure(texts.worst, texts.best, texts, bleu_of, (0.0, 1.0), seed, alpha)


def _corpus_difference(
    ours: Outcome, theirs: Outcome, seed: int, places: Sequence[int] | None, alpha: float
) -> Figure:
    a, b = texts_of(ours, places), texts_of(theirs, places)
    why = tuple(first or second for first, second in zip(a.why, b.why, strict=True))
    both = Texts(a.worst, a.best, why, a.units, a.failed + b.failed)
    half = a.worst.shape[1]
    return _bleu_figure(
        np.hstack([a.worst, b.worst]), np.hstack([a.best, b.best]), both,
        lambda sums: bleu_of(sums[..., :half]) - bleu_of(sums[..., half:]), (-1.0, 1.0), seed,
        alpha,
    )  # fmt: skip


def _bleu_figure(
    worst: Floats, best: Floats, texts: Texts, statistic: Statistic,
    limits: tuple[float, float], seed: int, alpha: float,
) -> Figure:  # fmt: skip
    held = np.array([not word for word in texts.why], np.bool_)
    words = [word for word in texts.why if word]
    missing = {word: words.count(word) for word in sorted(set(words))}
    if not held.any():
        return _nothing(CORPUS_BLEU, missing)
    rows = by_unit(worst[held], texts.units[held])
    lower, upper = bootstrap(rows, statistic, seed, alpha) if len(rows) > 1 else limits
    return Figure(
        CORPUS_BLEU, int(held.sum()), float(statistic(rows.sum(0))), lower, upper,
        float(statistic(best[held].sum(0))), texts.failed, missing,
        "bootstrap" if len(rows) > 1 else "none",
    )  # fmt: skip

"""Intervals and evidence of many contrasts at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from abtest.contrast import Contrast
from abtest.mixture import interval, log_evidence
from abtest.run import Run
from abtest.samples import End
from agent.buckets import Floats


@dataclass(frozen=True, slots=True)
class Measured:
    """Interval and evidence of one contrast, and its interval with failures at the best end."""

    lower: float
    upper: float
    best: tuple[float, float]
    log_evidence: float


@dataclass(frozen=True, slots=True)
class _Table:
    values: Floats
    lower: Floats
    upper: Floats
    counts: Floats

    @classmethod
    def of(cls, run: Run, every: Sequence[Contrast], segment: str, end: End) -> "_Table":
        frames, counts = zip(*(one.total(run, segment, end) for one in every), strict=True)
        values, lower, upper = (
            np.stack([getattr(frame, part) for frame in frames])
            for part in ("values", "lower", "upper")
        )
        return cls(values, lower, upper, np.stack(counts))


def measure(run: Run, every: Sequence[Contrast], segment: str = "") -> list[Measured]:
    """Every contrast; they share a design and so the size of their supports."""
    if not every:
        return []
    worst, best = (_Table.of(run, every, segment, end) for end in ("worst", "best"))
    alpha = every[0].experiment.alpha
    lower, upper = interval(worst.values, worst.counts, alpha, worst.lower, worst.upper)
    evidence = log_evidence(
        worst.values, worst.counts, np.zeros(len(every)), worst.lower, worst.upper
    )
    low, high = _best(worst, best, lower, upper, alpha)
    return [
        Measured(float(a), float(b), (float(c), float(d)), float(e))
        for a, b, c, d, e in zip(lower, upper, low, high, evidence, strict=True)
    ]


def _best(
    worst: _Table, best: _Table, lower: Floats, upper: Floats, alpha: float
) -> tuple[Floats, Floats]:
    """Only where some call failed the best end differs from the worst."""
    moved = (worst.values != best.values) & (best.counts > 0)
    changed = moved.any(1) | (worst.counts != best.counts).any(1)
    low, high = lower.copy(), upper.copy()
    if changed.any():
        low[changed], high[changed] = interval(
            *(best.values[changed], best.counts[changed], alpha),
            *(best.lower[changed], best.upper[changed]),
        )
    return low, high

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
    worst, alpha = _Table.of(run, every, segment, "worst"), every[0].experiment.alpha
    lower, upper = interval(worst.values, worst.counts, alpha, worst.lower, worst.upper)
    null = np.zeros(len(every))
    evidence = log_evidence(worst.values, worst.counts, null, worst.lower, worst.upper)
    low, high = lower.copy(), upper.copy()
    moved = [at for at, one in enumerate(every) if one.has_failures(run, segment)]
    if moved:
        best = _Table.of(run, [every[at] for at in moved], segment, "best")
        ends = interval(best.values, best.counts, alpha, best.lower, best.upper)
        low[moved], high[moved] = ends
    return [
        Measured(float(a), float(b), (float(c), float(d)), float(e))
        for a, b, c, d, e in zip(lower, upper, low, high, evidence, strict=True)
    ]

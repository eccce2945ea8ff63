"""What is normal for a series: its mean, how sure that is, and how alike neighbouring calls are.

Calls of a session are alike and hours differ, so n calls say less than n independent ones. The
*design effect* is the variance of block means over its multinomial value, the largest of panes and
of minutes up to ten within their hours, at the upper end of what so many blocks allow. What hours
differ by beyond that widens the band instead (one-way analysis of variance).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from abtest.mixture import interval
from agent.buckets import BINS, Floats, Ints

GRID: Floats = np.linspace(0.0, 1.0, BINS + 1)
_HOUR_S = 3600
# The pane itself (no pane is shorter), and as long as sessions last.
_BLOCKS_S = (1, 60, 300, 600)
# A baseline has at least so many panes, and fewer blocks say nothing of the design effect.
FEWEST_PANES, _FEWEST_BLOCKS = 20, 15
# The design effect is the one that so few baselines exceed (15 %, as a normal quantile).
_SURE_Z = 1.036
# Hours swing both ways: a sine's peak is 1.4 of its standard deviations from the mean.
_HOUR_SPREADS = 2.0
# The band never reaches the end of the range, where no bet can be placed.
_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Blocks:
    """How many calls each pane had and their sum, in the order of panes."""

    panes: Ints
    n: Floats
    totals: Floats

    def by(self, size_s: int) -> "Blocks":
        """The same by longer slices of time."""
        starts = self.panes // size_s * size_s
        edges = np.flatnonzero(np.diff(starts, prepend=-1))
        sums = (np.add.reduceat(one, edges) for one in (self.n, self.totals))
        return Blocks(starts[edges], *sums)


@dataclass(slots=True)
class Lesson:
    """What a series has shown so far, until it is enough for a baseline."""

    counts: Floats = field(default_factory=lambda: np.zeros(BINS + 1))
    panes: list[int] = field(default_factory=list)
    n: list[float] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)

    def hear(self, pane: int, counts: Floats) -> None:
        """One more pane."""
        self.counts += counts
        self.panes.append(pane)
        self.n.append(float(counts.sum()))
        self.totals.append(float(counts @ GRID))

    def enough(self, calls: int, long_s: float) -> bool:
        """Whether it is as many calls as asked for, over as long, in as many panes as it takes."""
        span_s = self.panes[-1] - self.panes[0]
        return len(self.panes) >= FEWEST_PANES and span_s >= long_s and self.counts.sum() >= calls

    def blocks(self) -> "Blocks":
        """The same as arrays."""
        return Blocks(np.array(self.panes), np.array(self.n), np.array(self.totals))

    def as_json(self) -> dict[str, Any]:
        """As plain numbers; of the counts only those that are there."""
        used = np.flatnonzero(self.counts)
        held = [used.tolist(), self.counts[used].tolist()]
        return {"counts": held, "panes": self.panes, "n": self.n, "totals": self.totals}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Lesson":
        """Read what `as_json` wrote."""
        made = cls(panes=told["panes"], n=told["n"], totals=told["totals"])
        made.counts[told["counts"][0]] = told["counts"][1]
        return made


@dataclass(frozen=True, slots=True)
class Baseline:
    """The band of means that are normal, and how many calls make one independent one."""

    calls: int
    mean: float
    variance: float
    lower: float
    upper: float
    design_effect: float


def learn(counts: Floats, blocks: Blocks, alpha: float, matters: float = 0.0) -> Baseline:
    """The baseline of counts [bins] that came in `blocks`; its band misses the truth with chance
    `alpha`, and is no narrower than what `matters` on each side."""
    n = float(counts.sum())
    mean = float(counts @ GRID) / n
    variance = float(counts @ (GRID - mean) ** 2) / n
    effect = design_effect(blocks, variance)
    lower, upper = interval(GRID, counts / effect, alpha)
    slack = max(matters, _HOUR_SPREADS * hour_spread(blocks, variance * effect))
    return Baseline(
        round(n),
        mean,
        variance,
        max(min(float(lower), mean - slack), 0.0),
        min(max(float(upper), mean + slack, _EDGE), 1.0),
        effect,
    )


def design_effect(blocks: Blocks, variance: float) -> float:
    """How many calls make one independent one, at least 1."""
    found = 1.0
    for size_s in _BLOCKS_S:
        some = blocks.by(size_s)
        hours = some.by(_HOUR_S)
        freedom = len(some.n) - len(hours.n)
        if freedom >= _FEWEST_BLOCKS and variance > 0:
            within = (some.totals**2 / some.n).sum() - (hours.totals**2 / hours.n).sum()
            found = max(found, within / variance / _lower_chi_square(freedom))
    return float(found)


def hour_spread(blocks: Blocks, variance: float) -> float:
    """The standard deviation of hourly means beyond their sampling noise, as large as few hours
    allow."""
    hours = blocks.by(_HOUR_S)
    freedom, n = len(hours.n) - 1, hours.n.sum()
    if not freedom:
        return 0.0
    between = (hours.totals**2 / hours.n).sum() - hours.totals.sum() ** 2 / n
    each = (n - (hours.n**2).sum() / n) / freedom
    sure = _lower_chi_square(freedom) if freedom >= _FEWEST_BLOCKS else freedom
    return math.sqrt(max(0.0, float(between / sure - variance)) / each)


def _lower_chi_square(freedom: int) -> float:
    """The quantile that a chi-square falls below in 15 % (Wilson and Hilferty 1931)."""
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part - _SURE_Z * math.sqrt(part)) ** 3)

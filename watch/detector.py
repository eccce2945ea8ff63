"""Whether the mean of a bounded series left its band: the two-sided mixture e-SR over closed panes.

Once a pane, with bets C_j fixed in advance, an upper edge u of the band and a lower edge l,

    M_j <- (M_j + 1) exp(sum over bins of count x ln(1 + C_j (v - u) / u) / design effect),

the same from below against l, S the mean of all M_j (Shin, Ramdas and Rinaldo 2024, "E-detectors",
definition 2.2 and section 4.1; statistics.md 4.3). While the mean stays in the band S - t is a
supermartingale in panes t, so the mean time to a false alarm at S >= T is at least T panes, for
whatever distribution. Everything is a function of counts: no order within a pane, no partition and
no restart changes a bit.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from abtest.mixture import BETS, Bools, mixed
from agent.buckets import BINS, Floats, Ints

WAYS = 2 * len(BETS)  # each bet on a mean above the band, then each on one below
_NEVER = -np.inf


@dataclass(frozen=True, slots=True)
class Sample:
    """The bins that one pane holds of each series, in the order of the series where a detector or
    a lesson takes it."""

    series: Ints
    bins: Ints
    counts: Ints

    def ordered(self) -> "Sample":
        """The same in the order of the series, then of the bins."""
        order = np.argsort(self.series * (BINS + 1) + self.bins, kind="stable")
        return Sample(self.series[order], self.bins[order], self.counts[order])

    def of(self, wanted: Ints) -> Floats:
        """The counts of some series, [series, bins]."""
        mine = np.isin(self.series, wanted)
        places = np.searchsorted(wanted, self.series[mine]) * (BINS + 1) + self.bins[mine]
        table = np.bincount(places, self.counts[mine], len(wanted) * (BINS + 1))
        return table.astype(np.float64, copy=False).reshape(-1, BINS + 1)


@dataclass(frozen=True, slots=True)
class Bands:
    """Between which means nothing is said, and how many calls make one independent one. [series]"""

    lower: Floats
    upper: Floats
    design_effect: Floats

    def of(self, chosen: Ints) -> "Bands":
        """The bands of some series."""
        return Bands(self.lower[chosen], self.upper[chosen], self.design_effect[chosen])


class Evidence(NamedTuple):
    """Of each series and way: ln M, the same restarted whenever it says nothing (CUSUM), and the
    pane in which that began, which is when the change began if there is one. [series, ways]"""

    log_m: Floats
    recent: Floats
    since: Ints

    @classmethod
    def none(cls, size: int) -> "Evidence":
        """Nothing seen yet."""
        shape = size, WAYS
        return cls(np.full(shape, _NEVER), np.zeros(shape), np.zeros(shape, np.int64))

    def grown(self, new: int) -> "Evidence":
        """With room for more series."""
        log_m, recent, since = Evidence.none(new)
        return Evidence(
            np.concatenate([self.log_m, log_m]),
            np.concatenate([self.recent, recent]),
            np.concatenate([self.since, since]),
        )

    def see(self, pane: int, gains: Floats, there: Ints) -> None:
        """Advance the series that are `there` by one pane's gains."""
        old, gained = self.recent[there], gains[there]
        self.since[there] = np.where(old > 0, self.since[there], pane)
        self.recent[there] = np.maximum(old, 0.0) + gained
        self.log_m[there] = np.logaddexp(self.log_m[there], 0.0) + gained

    def forget(self, chosen: Ints) -> None:
        """Begin anew for some series."""
        self.log_m[chosen], self.recent[chosen] = _NEVER, 0.0

    def log_statistic(self, chosen: Ints) -> Floats:
        """ln S of some series."""
        return mixed(self.log_m[chosen])

    def change(self, chosen: Ints) -> tuple[Bools, Ints]:
        """Whether series are above their band rather than below, and the panes in which that
        began."""
        ways = self.recent[chosen].argmax(1)
        return ways < len(BETS), self.since[chosen, ways]


def gains_of(sample: Sample, bands: Bands) -> Floats:
    """What a pane adds to every ln M. [series, ways]; 0 for a series that is not in it."""
    made = np.zeros((len(bands.lower), WAYS))
    if not len(sample.series):
        return made
    v, lower, upper = sample.bins / BINS, bands.lower[sample.series], bands.upper[sample.series]
    ratios = np.stack([v / upper, (1.0 - v) / (1.0 - lower)], 1)
    with np.errstate(divide="ignore"):
        steps = np.log(ratios[:, :, None] * BETS + (1.0 - BETS)).reshape(len(v), WAYS)
    weights = sample.counts / bands.design_effect[sample.series]
    starts = np.flatnonzero(np.diff(sample.series, prepend=-1))
    made[sample.series[starts]] = np.add.reduceat(steps * weights[:, None], starts, axis=0)
    return made

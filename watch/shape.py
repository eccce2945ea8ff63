"""Shapes: how the values of a series lie among those of its baseline.

With F the distribution function of the baseline (mid-ranks, on its grid), a value x has the rank
u = F(x); its spread is |2 u - 1|, and it is in the tail beyond the baseline's last two thousandths,
on the bad side where there is one (statistics.md 4.3). Each is bounded and, once F is learned, a
fixed function of the bin, so what is promised for means holds for it: it learns a band of its own
from the calls after those that gave F.
"""

import numpy as np

from abtest.mixture import Bools
from agent.buckets import BINS, Floats, Ints
from agent.catalog import BY_NAME
from watch.baseline import Table
from watch.detector import Sample
from watch.series import Name, Slots

# Beyond which part of the baseline the tail begins, and of how many times as many calls it learns
# its band: what is rare takes more. 2026-11-25: at .01 and as many calls, one call in a hundred
# far out was not found within 30,000.
_TAIL, RARE = 0.002, 4
# Of a series its baseline's counts, since which pane, and the slots of its spread and its tail;
# whether it is an amount, and whether it is worse below.
BASE = np.dtype([
    *(("slot", "<i8"), ("learned", "<i8"), ("spread", "<i8"), ("tail", "<i8")),
    *(("amount", "?"), ("below", "?"), ("counts", "<f4", (BINS + 1,))),
])  # fmt: skip


def has_shape(name: Name) -> bool:
    """Whether more than the mean of a series is watched: of scores and amounts."""
    row = BY_NAME.get(name.metric)
    return name.view in ("level", "rank") and row is not None and row.kind != "flag"


def bases_of(slots: Slots, chosen: Ints, pane: int, counts: Floats) -> Table:
    """The bases of series that learned; their spreads and tails take slots."""
    made = np.zeros(len(chosen), BASE)
    made["slot"], made["learned"], made["counts"] = chosen, pane, counts
    for at, slot in enumerate(chosen.tolist()):
        name = slots.names[slot]
        made["spread"][at] = slots.number(name._replace(view="spread"))
        made["tail"][at] = slots.number(name._replace(view="tail"))
        made["amount"][at] = name.view == "rank"
        made["below"][at] = BY_NAME[name.metric].good == "high"
    return made


def edges_of(bases: Table, slots: Ints) -> Ints:
    """The slots of the spreads and tails of series."""
    mine = bases[np.isin(bases["slot"], slots)]
    found: Ints = np.concatenate([mine["spread"], mine["tail"]])
    return found


def ranks(counts: Floats, series: Ints, bins: Ints) -> Ints:
    """The mid-ranks of bins of some series among counts [series, bins], as bins of [0, 1]."""
    most = counts.cumsum(1)
    places = most[series, bins] - counts[series, bins] / 2
    found: Ints = np.rint(BINS * places / np.maximum(most[series, -1], 1.0)).astype(np.int64)
    return found


def tails(counts: Floats, below: Bools, series: Ints, bins: Ints) -> Bools:
    """Whether bins of some series lie beyond the last two thousandths of counts [series, bins]:
    the first of them for series that are worse `below`."""
    most = counts.cumsum(1)
    n, up_to = most[series, -1], most[series, bins]
    passed = np.where(below[series], n - up_to, up_to - counts[series, bins])
    found: Bools = passed >= (1 - _TAIL) * np.maximum(n, 1.0)
    return found


def with_shapes(sample: Sample, bases: Table) -> Sample:
    """A sample in order, with amounts as ranks and the spreads and tails of what has a base."""
    if not len(bases) or not len(sample.series):
        return sample.ordered()
    at = np.searchsorted(bases["slot"], sample.series).clip(max=len(bases) - 1)
    based = bases["slot"][at] == sample.series
    mine, bins, counts = at[based], sample.bins[based], sample.counts[based]
    held = bases["counts"].astype(np.float64)
    ranked, own = ranks(held, mine, bins), sample.bins.copy()
    own[based] = np.where(bases["amount"][mine], ranked, bins)
    far = tails(held, bases["below"], mine, bins)
    parts = [
        (sample.series, own, sample.counts),
        (bases["spread"][mine], np.abs(2 * ranked - BINS), counts),
        (bases["tail"][mine], BINS * far, counts),
    ]
    flat = [np.concatenate(one) for one in zip(*parts, strict=True)]
    kept = flat[0] >= 0
    return Sample(*(one[kept] for one in flat)).ordered()

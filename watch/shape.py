"""Shapes: how the values of a series lie among those of its baseline.

With F the distribution function of the baseline (mid-ranks, on its grid), a value x has the rank
u = F(x); its spread is |2 u - 1|, and it is in the tail beyond the baseline's last two thousandths,
on the bad side where there is one (statistics.md 4.3). Each is bounded and, once F is learned, a
fixed function of the bin, so what is promised for means holds for it: it learns a band of its own
from the calls after those that gave F.
"""

import numpy as np

from agent.buckets import BINS, Floats, Ints
from agent.catalog import BY_NAME
from watch.baseline import Table
from watch.detector import Sample
from watch.series import Name, Slots

# Beyond which part of the baseline the tail begins, and of how many times as many calls it learns
# its band: what is rare takes more. 2026-11-25: at .01 and as many calls, one call in a hundred
# far out was not found within 30,000.
_TAIL, RARE = 0.002, 4
# Of a series its baseline's counts, since which pane, and the slots of its spread and its tail.
BASE = np.dtype([
    *(("slot", "<i8"), ("learned", "<i8"), ("spread", "<i8"), ("tail", "<i8")),
    ("counts", "<f4", (BINS + 1,)),
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
    return made


def edges_of(bases: Table, slots: Ints) -> Ints:
    """The slots of the spreads and tails of series."""
    mine = bases[np.isin(bases["slot"], slots)]
    found: Ints = np.concatenate([mine["spread"], mine["tail"]])
    return found


def ranks(counts: Floats) -> Ints:
    """The mid-rank of each bin among counts [series, bins], as bins of [0, 1]."""
    n = np.maximum(counts.sum(1, keepdims=True), 1.0)
    found: Ints = np.rint(BINS * (counts.cumsum(1) - counts / 2) / n).astype(np.int64)
    return found


def tails(counts: Floats, below: Floats) -> Ints:
    """1 for bins beyond the last two thousandths of counts [series, bins]: the first of them for
    series that are worse `below`."""
    n = np.maximum(counts.sum(1, keepdims=True), 1.0)
    least, most = (1 - _TAIL) * n, counts.cumsum(1)
    found: Ints = np.where(below[:, None], n - most >= least, most - counts >= least)
    return found.astype(np.int64)


def with_shapes(sample: Sample, slots: Slots, bases: Table) -> Sample:
    """A sample in order, with amounts as ranks and the spreads and tails of what has a base."""
    if not len(bases) or not len(sample.series):
        return sample.ordered()
    at = np.searchsorted(bases["slot"], sample.series).clip(max=len(bases) - 1)
    based = bases["slot"][at] == sample.series
    mine, bins, counts = at[based], sample.bins[based], sample.counts[based]
    names = [slots.names[slot] for slot in bases["slot"].tolist()]
    held = bases["counts"].astype(np.float64)
    below = np.array([BY_NAME[name.metric].good == "high" for name in names])
    ranked, amounts = ranks(held)[mine, bins], np.array([one.view == "rank" for one in names])
    own = sample.bins.copy()
    own[based] = np.where(amounts[mine], ranked, bins)
    parts = [
        (sample.series, own, sample.counts),
        (bases["spread"][mine], np.abs(2 * ranked - BINS), counts),
        (bases["tail"][mine], BINS * tails(held, below)[mine, bins], counts),
    ]
    flat = [np.concatenate(one) for one in zip(*parts, strict=True)]
    kept = flat[0] >= 0
    return Sample(*(one[kept] for one in flat)).ordered()

"""One closed pane further: who still learns, who leaves its band, who is back in it."""

from dataclasses import dataclass

import numpy as np

from abtest.mixture import interval
from abtest.samples import GRID
from agent.buckets import BINS, Floats, Ints
from agent.drift import Drift
from watch.baseline import LESSON, Baseline, Table, enough, hear, learn
from watch.budget import Budget
from watch.detector import Sample, gains_of
from watch.sample import VOLUME, WEEK_S, Shares
from watch.series import Name
from watch.shape import RARE, bases_of, edges_of, has_shape, with_shapes
from watch.state import ALARM, Watch, with_row

# Back in its band is a mean whose standard error is this part of the band's width, over so many
# calls at least: 2026-11-25: of a few, all harmless, an attack that went on was once resolved.
_SURE_PART, _FEWEST_BACK = 0.25, 100


@dataclass(frozen=True, slots=True)
class Rules:
    """What is promised, and what the configuration says of baselines."""

    budget: Budget
    drift: Drift
    shares: Shares


@dataclass(frozen=True, slots=True)
class Finding:
    """A series that left its band, as of a pane; `effect` is its mean since the alarm less the
    baseline's, NaN until a call came after the alarm."""

    name: Name
    state: str
    side: str
    began: int
    onset: int
    log_statistic: float
    log_threshold: float
    baseline: Baseline
    n: int
    effect: float
    lower: float
    upper: float


def advance(watch: Watch, pane: int, sample: Sample, rules: Rules) -> list[Finding]:
    """See one pane; the findings that began or ended with it."""
    watch.grow()
    sample = with_shapes(sample, watch.slots, watch.bases)
    there = np.unique(sample.series)
    watch.last[there] = pane
    known = watch.bands["calls"][there] > 0
    rings = np.isin(there, watch.alarms["slot"])
    calm, ringing = there[known & ~rings], there[rings]
    watch.evidence.see(pane, gains_of(sample, watch.limits()), calm)
    found = _ring(watch, pane, calm, rules)
    if len(ringing):
        found += _resolve(watch, ringing, _dense(sample, ringing), rules)
    if not known.all():
        _teach(watch, pane, there[~known], _dense(sample, there[~known]), rules)
        watch.grow()
    return found


def _dense(sample: Sample, wanted: Ints) -> Floats:
    """The counts of some series, [series, bins]."""
    mine = np.isin(sample.series, wanted)
    places = np.searchsorted(wanted, sample.series[mine]) * (BINS + 1) + sample.bins[mine]
    table = np.bincount(places, sample.counts[mine], len(wanted) * (BINS + 1))
    return table.astype(np.float64, copy=False).reshape(-1, BINS + 1)


def _ring(watch: Watch, pane: int, calm: Ints, rules: Rules) -> list[Finding]:
    levels = watch.evidence.log_statistic(calm)
    rung = levels >= rules.budget.log_threshold
    if not rung.any():
        return []
    # That the middle moved says why the edges did: they ring when they alone did.
    moved = np.concatenate([watch.alarms["slot"], calm[rung]])
    rung &= ~np.isin(calm, edges_of(watch.bases, moved))
    new, slots = np.zeros(int(rung.sum()), ALARM), calm[rung]
    new["slot"], new["began"], new["level"] = slots, pane, levels[rung]
    new["above"], new["onset"] = watch.evidence.change(slots)
    watch.alarms = with_row(watch.alarms, new)
    return findings(watch, slots, rules, "firing")


def _resolve(watch: Watch, ringing: Ints, counts: Floats, rules: Rules) -> list[Finding]:
    """End the alarms whose newest calls, as many as tell, have a mean in the original band."""
    at, bands = np.searchsorted(watch.alarms["slot"], ringing), watch.bands[ringing]
    some = watch.alarms[at]
    some["counts"] += counts
    some["n"] += counts.sum(1)
    some["total"] += counts @ GRID
    means = some["counts"] @ GRID / some["counts"].sum(1)
    spread = (some["counts"] * (GRID - means[:, None]) ** 2).sum(1) / some["counts"].sum(1)
    error = _SURE_PART * (bands["upper"] - bands["lower"])
    wanted = np.maximum(spread, bands["variance"]) * bands["design_effect"] / error**2
    # What was enough to tell what is normal is enough to tell that it is back.
    tells = some["n"] >= np.minimum(np.maximum(wanted, _FEWEST_BACK), bands["calls"])
    newest = some["total"] / some["n"]
    back = tells & (newest >= bands["lower"]) & (newest <= bands["upper"])
    some["n"][tells] = some["total"][tells] = 0.0
    watch.alarms[at] = some
    found = findings(watch, ringing[back], rules, "resolved")
    watch.alarms = np.delete(watch.alarms, at[back])
    watch.evidence.forget(ringing[back])
    return found


def _teach(watch: Watch, pane: int, learners: Ints, counts: Floats, rules: Rules) -> None:
    new = learners[~np.isin(learners, watch.lessons["slot"])]
    if len(new):
        rows = np.zeros(len(new), LESSON)
        rows["slot"] = new
        watch.lessons = with_row(watch.lessons, rows)
    at, names = np.searchsorted(watch.lessons["slot"], learners), watch.slots.names
    some = watch.lessons[at]
    hear(some, pane, counts)
    watch.lessons[at] = some
    drift, volumes = rules.drift, np.array([names[slot].metric == VOLUME for slot in learners])
    rare = np.array([names[slot].view == "tail" for slot in learners])
    calls = np.where(volumes, 0, np.where(rare, RARE, 1) * drift.baseline_calls)
    done = enough(some, calls, np.where(volumes, WEEK_S, drift.baseline_s))
    if done.any():
        _end_lessons(watch, pane, learners[done], some[done], rules)
        watch.lessons = np.delete(watch.lessons, at[done])


def _end_lessons(watch: Watch, pane: int, slots: Ints, lessons: Table, rules: Rules) -> None:
    """What was learned is a band or, of an amount, what ranks are; those learn a band next."""
    names = [watch.slots.names[slot] for slot in slots.tolist()]
    based = np.isin(slots, watch.bases["slot"])
    first = np.array([has_shape(name) for name in names]) & ~based
    if first.any():
        new = bases_of(watch.slots, slots[first], pane, lessons["counts"][first])
        watch.bases, watch.taught = with_row(watch.bases, new), True
    banded = np.array([name.view != "rank" for name in names]) | based
    watch.bands[slots[banded]] = learn(
        lessons[banded], rules.budget.baseline_alpha, rules.drift.matters
    )


def findings(watch: Watch, slots: Ints, rules: Rules, state: str) -> list[Finding]:
    """What is known of series that ring."""
    if not len(slots):
        return []
    some = watch.alarms[np.searchsorted(watch.alarms["slot"], slots)]
    bands, counts = watch.bands[slots], some["counts"]
    n = counts.sum(1)
    lower, upper = interval(GRID, counts / bands["design_effect"][:, None])
    with np.errstate(invalid="ignore"):
        ends = np.stack([counts @ GRID / n, lower, upper], 1) - bands["mean"][:, None]
    ends[n == 0] = np.nan
    return [
        Finding(
            watch.slots.names[slot], state, "above" if alarm["above"] else "below",
            int(alarm["began"]), int(alarm["onset"]), float(alarm["level"]),
            rules.budget.log_threshold, Baseline(*band.item()), round(float(calls)), *three,
        )
        for slot, alarm, band, calls, three in zip(
            slots.tolist(), some, bands, n, ends.tolist(), strict=True
        )
    ]  # fmt: skip

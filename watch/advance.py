"""One closed pane further: who still learns, who leaves its band, who is back in it."""

from dataclasses import dataclass

import numpy as np

from abtest.mixture import interval
from abtest.samples import GRID
from agent.buckets import Floats, Ints
from watch.baseline import Baseline
from watch.detector import Sample, gains_of
from watch.lessons import Rules, teach
from watch.sample import VOLUME
from watch.series import Name, mean_of, whole
from watch.shape import edges_of, with_shapes
from watch.state import ALARM, Watch, with_row

# A series that rang and had no value for so long is over, without being back.
_GONE_S = 86_400
# Back in its band is a mean whose standard error is this part of the band's width, over so many
# calls at least: 2026-11-25: of a few, all harmless, an attack that went on was once resolved.
_SURE_PART, _FEWEST_BACK = 0.25, 100


@dataclass(frozen=True, slots=True)
class Finding:
    """A series that left its band, as of a pane; `effect` is its mean since the alarm less the
    baseline's, NaN until a call came after the alarm. `deploys` are the models that came first
    within the hour before the onset or since."""

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
    deploys: tuple[str, ...] = ()


def advance(watch: Watch, pane: int, sample: Sample, rules: Rules) -> list[Finding]:
    """See one pane; the findings that began or ended with it."""
    watch.grow()
    sample = with_shapes(sample, watch.bases)
    there = np.unique(sample.series)
    watch.last[there] = pane
    known = watch.bands["calls"][watch.places(there, pane)] > 0
    rings = np.isin(there, watch.alarms["slot"])
    # What rings in an hour that it has not learned is neither back nor taken for normal.
    calm, ringing, new = there[known & ~rings], there[known & rings], there[~known & ~rings]
    watch.evidence.see(pane, gains_of(sample, watch.limits(pane)), calm)
    found = _ring(watch, pane, calm, rules)
    if len(ringing):
        found += _resolve(watch, pane, ringing, sample.of(ringing), rules)
    found += _give_up(watch, pane, rules)
    if len(new):
        teach(watch, pane, sample, new, rules)
    return found


def _ring(watch: Watch, pane: int, calm: Ints, rules: Rules) -> list[Finding]:
    levels = watch.evidence.log_statistic(calm)
    rung = levels >= rules.budget.log_threshold
    if not rung.any():
        return []
    # That the middle moved says why the edges did: they ring when they alone did.
    moved = np.concatenate([watch.alarms["slot"], calm[rung]])
    rung &= ~np.isin(calm, edges_of(watch.bases, moved))
    rung[_told_already(watch, calm, np.where(rung, levels, -np.inf))] = False
    new, slots = np.zeros(int(rung.sum()), ALARM), calm[rung]
    new["slot"], new["began"], new["level"] = slots, pane, levels[rung]
    new["above"], new["onset"] = watch.evidence.change(slots)
    watch.alarms = with_row(watch.alarms, new)
    return findings(watch, slots, rules, "firing")


def _told_already(watch: Watch, calm: Ints, levels: Floats) -> list[int]:
    """Where axes ring whose mean is told of by another, which rang or says more."""
    names = watch.slots.names
    told, found = {mean_of(names[slot]) for slot in watch.alarms["slot"].tolist()}, []
    for at in np.argsort(-levels, kind="stable")[: np.isfinite(levels).sum()].tolist():
        mean = mean_of(names[calm[at]])
        if mean is not None and mean in told:
            found.append(at)
        told.add(mean)
    return found


def _resolve(watch: Watch, pane: int, ringing: Ints, counts: Floats, rules: Rules) -> list[Finding]:
    """End the alarms whose newest calls, as many as tell, have a mean in the original band."""
    at, bands = np.searchsorted(watch.alarms["slot"], ringing), watch.bands_of(ringing, pane)
    some = watch.alarms[at]
    some["expected"] += counts.sum(1) * bands["mean"]
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


def _give_up(watch: Watch, pane: int, rules: Rules) -> list[Finding]:
    """End the alarms of what is gone: its service still has calls, or none either."""
    slots = watch.alarms["slot"]
    gone = watch.last[slots] < pane - _GONE_S
    if not gone.any():
        return []
    found = []
    for slot in slots[gone].tolist():
        volume = watch.slots.known(whole(watch.slots.names[slot].service, VOLUME))
        serves = volume >= 0 and watch.last[volume] == pane
        state = "could not tell" if serves else "insufficient data"
        found += findings(watch, np.array([slot]), rules, state)
    watch.alarms = watch.alarms[~gone]
    watch.evidence.forget(slots[gone])
    return found


def findings(watch: Watch, slots: Ints, rules: Rules, state: str) -> list[Finding]:
    """What is known of series that ring, each beside the band of the hour in which it rang."""
    if not len(slots):
        return []
    some = watch.alarms[np.searchsorted(watch.alarms["slot"], slots)]
    bands, counts = watch.bands[watch.places(slots, some["began"])], some["counts"]
    n = counts.sum(1)
    lower, upper = interval(GRID, counts / bands["design_effect"][:, None])
    with np.errstate(invalid="ignore"):
        ends = np.stack([counts @ GRID / n, lower, upper], 1) - (some["expected"] / n)[:, None]
    ends[n == 0] = np.nan
    return [
        Finding(
            watch.slots.names[slot], state, "above" if alarm["above"] else "below",
            int(alarm["began"]), int(alarm["onset"]), float(alarm["level"]),
            rules.budget.log_threshold, Baseline(*band.item()),
            round(float(calls)), mean, low, high,
            watch.deploys(watch.slots.names[slot].service, int(alarm["onset"])),
        )
        for slot, alarm, band, calls, (mean, low, high) in zip(
            slots.tolist(), some, bands, n, ends.tolist(), strict=True
        )
    ]  # fmt: skip

"""One closed pane further: who still learns, who leaves its band, who is back in it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from abtest.mixture import interval
from agent.buckets import BINS, Floats, Ints
from watch.baseline import GRID, Baseline, Lesson, learn
from watch.budget import Budget
from watch.detector import Sample, gains_of
from watch.series import Name
from watch.state import Alarm, Watch

# Back in its band is a mean whose standard error is this part of the band's width, over so many
# calls at least: 2026-11-25: of a few, all harmless, an attack that went on was once resolved.
_SURE_PART, _FEWEST_BACK = 0.25, 100


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says of the watch."""

    budget: Budget
    baseline_calls: int
    baseline_s: float
    matters: float


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
    there = np.unique(sample.series)
    watch.last.update(dict.fromkeys(there.tolist(), pane))
    known = np.array(sorted(watch.baselines), np.int64)
    seen = np.intersect1d(there, known)
    calm = np.setdiff1d(seen, np.array(sorted(watch.alarms), np.int64))
    gains = gains_of(sample, watch.bands())
    watch.evidence.see(pane, gains, calm)
    found = _rung(watch, pane, calm, rules)
    for at, counts in _dense(sample, np.setdiff1d(seen, calm)):
        if _is_back(watch, at, counts):
            found.append(finding(watch, at, rules, "resolved"))
            del watch.alarms[at]
            watch.evidence.forget(np.array([at]))
    for at, counts in _dense(sample, np.setdiff1d(there, known)):
        lesson = watch.lessons.setdefault(at, Lesson())
        lesson.hear(pane, counts)
        if lesson.enough(rules.baseline_calls, rules.baseline_s):
            told = lesson.counts, lesson.blocks(), rules.budget.baseline_alpha, rules.matters
            watch.baselines[at] = learn(*told)
            del watch.lessons[at]
    return found


def _rung(watch: Watch, pane: int, calm: Ints, rules: Rules) -> list[Finding]:
    levels, found = watch.evidence.log_statistic(), []
    for at in calm[levels[calm] >= rules.budget.log_threshold].tolist():
        side, onset = watch.evidence.change(at)
        watch.alarms[at] = Alarm(pane, onset, side, float(levels[at]))
        found.append(finding(watch, at, rules, "firing"))
    return found


def _dense(sample: Sample, wanted: Ints) -> Iterator[tuple[int, Floats]]:
    for at in wanted.tolist():
        mine = slice(*np.searchsorted(sample.series, [at, at + 1]))
        yield at, np.bincount(sample.bins[mine], sample.counts[mine], BINS + 1).astype(np.float64)


def _is_back(watch: Watch, at: int, counts: Floats) -> bool:
    """Whether the newest calls, as many as tell, have a mean in the original band."""
    alarm, band = watch.alarms[at], watch.baselines[at]
    alarm.counts += counts
    alarm.latest.append((float(counts.sum()), float(counts @ GRID)))
    n = alarm.counts.sum()
    variance = float(alarm.counts @ (GRID - alarm.counts @ GRID / n) ** 2) / n
    error = _SURE_PART * (band.upper - band.lower)
    wanted = max(variance, band.variance) * band.design_effect / error**2
    # What was enough to tell what is normal is enough to tell that it is back.
    wanted = min(max(wanted, _FEWEST_BACK), band.calls)
    calls = sum(one for one, _ in alarm.latest)
    while calls - alarm.latest[0][0] >= wanted:
        calls -= alarm.latest.pop(0)[0]
    mean = sum(total for _, total in alarm.latest) / calls
    return calls >= wanted and band.lower <= mean <= band.upper


def finding(watch: Watch, at: int, rules: Rules, state: str) -> Finding:
    """What is known of a series that rings."""
    alarm, band = watch.alarms[at], watch.baselines[at]
    n, ends = float(alarm.counts.sum()), (float("nan"),) * 3
    if n:
        lower, upper = interval(GRID, alarm.counts / band.design_effect)
        ends = (float(alarm.counts @ GRID) / n, float(lower), float(upper))
    return Finding(
        watch.slots.names[at], state, alarm.side, alarm.began, alarm.onset, alarm.log_statistic,
        rules.budget.log_threshold, band, round(n), *(end - band.mean for end in ends),
    )  # fmt: skip

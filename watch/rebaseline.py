"""A new baseline by decision: who took it, for which series, from which calls, and why.

A degraded level never becomes normal by itself; somebody says that it is.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from agent.buckets import Ints
from agent.config import Config
from agent.errors import BadConfig
from agent.store import Transaction, watches
from agent.store.findings import put_findings
from watch.advance import Finding, findings
from watch.baseline import FEWEST_PANES, NO_BAND, enough
from watch.keeping import opened, panes_of, rules_of, save
from watch.lessons import Rules, are_volumes, end_lessons, listen
from watch.sample import sample_of
from watch.series import Name
from watch.shape import edges_of, with_shapes
from watch.state import Watch
from watch.telling import told

# A baseline of a period has at least so many calls.
_FEWEST_CALLS = 100
_TOO_LITTLE = (
    f"that period of {{}} does not hold {_FEWEST_CALLS} calls of them in {FEWEST_PANES} panes; what"
    " is older than panes.fine_hours has minutes for panes, than panes.minute_hours hours"
)


@dataclass(frozen=True, slots=True)
class Period:
    """The closed panes of a source within [start, end), in epoch seconds."""

    source: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Decision:
    """Which series, by parts of their names, get a new baseline: from a period, or from the calls
    to come; by whom and why."""

    wanted: Mapping[str, str]
    who: str
    why: str
    period: Period | None = None


def rebaseline(
    tx: Transaction, config: Config, source: str, decision: Decision, now: float
) -> dict[str, Any]:
    """Carry a decision out for one source and keep it; what it came to.

    Raises StoreDown when another process moved the watch on meanwhile, and BadConfig for a period
    without enough calls.
    """
    stored, rules = watches.load_watch(tx, source), rules_of(config)
    if stored is None:
        return {"series": 0}
    watch = opened(stored, rules, rules.budget.slots)
    chosen = chosen_of(watch, decision.wanted)
    if not len(chosen):
        return {"series": 0}
    ended, known = forget(watch, chosen, rules), 0
    if decision.period is not None:
        known = learn_from(tx, watch, chosen, decision.period, rules)
        if not known:
            raise BadConfig("--from", _TOO_LITTLE.format(decision.period.source))
    why = ("rebaselined", f"{decision.who}: {decision.why}")
    over = [told(one, int(watch.reached)) for one in ended]
    put_findings(tx, source, [replace(one, facts=(*one.facts, why)) for one in over], now)
    period = None if decision.period is None else asdict(decision.period)
    body = {"wanted": dict(decision.wanted), "period": period, "series": len(chosen)}
    body |= {"learned": known, "resolved": len(ended)}
    watches.put_rebaseline(tx, source, decision.who, decision.why, body, now)
    save(tx, source, watch, stored.version, now)
    return body


def chosen_of(watch: Watch, wanted: Mapping[str, str]) -> Ints:
    """The slots of series whose names have these parts, with the edges of their shapes."""
    names = watch.slots.names
    mine = [at for at, name in enumerate(names) if _fits(name, wanted)]
    edges = edges_of(watch.bases, np.array(mine, np.int64))
    return np.unique(np.concatenate([np.array(mine, np.int64), edges[edges >= 0]]))


def _fits(name: Name, wanted: Mapping[str, str]) -> bool:
    held = name._asdict()
    return all(held[part] == value for part, value in wanted.items())


def forget(watch: Watch, chosen: Ints, rules: Rules) -> list[Finding]:
    """Let series learn anew from the calls to come; what rang is resolved with that."""
    rang = np.intersect1d(chosen, watch.alarms["slot"])
    found = findings(watch, rang, rules, "resolved")
    watch.bands[_places(watch, chosen)] = NO_BAND
    watch.evidence.forget(chosen)
    watch.alarms = watch.alarms[~np.isin(watch.alarms["slot"], chosen)]
    watch.bases = watch.bases[~np.isin(watch.bases["slot"], chosen)]
    watch.lessons = watch.lessons[~np.isin(watch.lessons["slot"] // watch.hours, chosen)]
    watch.taught = True
    return found


def _places(watch: Watch, chosen: Ints) -> Ints:
    """The places of series at all hours."""
    found: Ints = (chosen[:, None] * watch.hours + np.arange(watch.hours)).ravel()
    return found


def learn_from(
    tx: Transaction, watch: Watch, chosen: Ints, period: Period, rules: Rules
) -> int:  # fmt: skip
    """Teach series from a period; how many got a baseline, the others go on learning.

    It is read twice: what ranks are has to be known before ranks are learned.
    """
    for _ in range(2):
        heard = np.isin(watch.lessons["slot"] // watch.hours, chosen)  # what would count twice
        watch.lessons = watch.lessons[~heard]
        for pane in panes_of(tx, period.source, period.start, period.end):
            sample = sample_of(pane.rows, watch.slots, pane.panels, rules.shares, pane.long_s)
            watch.grow()
            sample = with_shapes(sample, watch.bases)
            there = np.intersect1d(sample.series, chosen)
            learners = there[watch.bands_of(there, pane.start)["calls"] == 0]
            if len(learners):
                listen(watch, pane.start, sample, learners)
        slots = watch.lessons["slot"] // watch.hours
        calls = np.where(are_volumes(watch, slots), 0, _FEWEST_CALLS)
        done = np.isin(slots, chosen) & enough(watch.lessons, calls, np.array(0.0))
        if done.any():
            end_lessons(watch, int(period.end), watch.lessons["slot"][done], rules)
        chosen = np.union1d(chosen, edges_of(watch.bases, chosen))
        chosen = chosen[chosen >= 0]
    known = watch.bands["calls"][_places(watch, chosen)].reshape(len(chosen), -1)
    return int(np.count_nonzero(known.any(1)))

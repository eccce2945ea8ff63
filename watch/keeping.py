"""Watches as the store keeps them: caught up with the closed panes, each exactly once."""

import itertools
import math
from typing import Any

from agent.config import Config
from agent.errors import StoreDown
from agent.findings import Finding
from agent.packing import open_row
from agent.panes import HOUR_S
from agent.store import Transaction, experiments, reads, watches
from agent.store.findings import put_findings
from watch.advance import Rules, advance, findings
from watch.baseline import Baseline
from watch.budget import Budget
from watch.series import PaneRow, Slots, sample_of
from watch.state import Watch
from watch.telling import told


def rules_of(config: Config) -> Rules:
    """What the configuration says of the watch; it is configured."""
    drift = config.drift
    assert drift is not None
    budget = Budget(drift.false_alarms_per_year, drift.watched_series, config.panes.width_s)
    return Rules(budget, drift)


def keep_watch(tx: Transaction, config: Config, source: str, now: float) -> list[Finding] | None:
    """See the closed panes of a source that were not seen yet, of one hour at most; the findings
    that changed, None when nothing was left to see.

    Raises StoreDown when another process did so meanwhile: then nothing of this may stay.
    """
    rules, stored = rules_of(config), watches.load_watch(tx, source)
    free = rules.budget.slots - watches.series_elsewhere(tx, source)
    watch = Watch(Slots(free)) if stored is None else Watch.from_bytes(stored.body, free)
    through = reads.closed_times(tx).get(source, 0.0)
    if through <= watch.reached:
        return None
    found = _catch_up(tx, watch, source, through, rules)
    # What rings is told anew with every pane: its effect is measured after the alarm.
    rings = findings(watch, watch.alarms["slot"], rules, "firing")
    known = [*found, *(told(one, int(watch.reached)) for one in rings)]
    put_findings(tx, source, known, now)
    series, body = len(watch.slots.names), watch.to_bytes()
    version = 0 if stored is None else stored.version
    if not watches.save_watch(tx, source, series, body, version, now):
        raise StoreDown(f"the watch over {source} was moved on by another process", 0.1)
    return found


def _catch_up(
    tx: Transaction, watch: Watch, source: str, through: float, rules: Rules
) -> list[Finding]:
    first = reads.first_pane(tx, source, watch.reached)
    if first is not None:  # one hour a transaction, so that a history is not read at once
        through = min(through, float((first // HOUR_S + 1) * HOUR_S))
    panels, found = experiments.all_panels(tx), list[Finding]()
    rows = reads.stored_panes(tx, source, watch.reached, through, fine_panes=math.inf)
    for (start, width_s), some in itertools.groupby(rows, key=lambda one: (one.pane, one.level_s)):
        mine = [PaneRow(one.group, open_row(one.blob)) for one in some]
        changed = advance(watch, start, sample_of(mine, watch.slots, panels), rules)
        found += [told(one, start + width_s) for one in changed]
    watch.reached = through
    return found


def series_rows(tx: Transaction, config: Config, source: str) -> list[dict[str, Any]]:
    """Every series of a source as it stands, then those without a slot or a value."""
    stored, rules = watches.load_watch(tx, source), rules_of(config)
    if stored is None:
        return []
    watch = Watch.from_bytes(stored.body, rules.budget.slots)
    rows = [_series_row(watch, at) for at in range(len(watch.slots.names))]
    none = _UNKNOWN | {"calls": 0, "last": None}
    for state, names in (("no slot", watch.slots.beyond), ("no value", watch.slots.silent)):
        rows += [one._asdict() | none | {"state": state} for one in sorted(names)]
    return rows


_UNKNOWN = dict.fromkeys(("mean", "lower", "upper", "design_effect"))


def _series_row(watch: Watch, at: int) -> dict[str, Any]:
    name, band = watch.slots.names[at]._asdict(), Baseline(*watch.bands[at].item())
    lesson = watch.lessons[watch.lessons["slot"] == at]
    told: dict[str, Any] = _UNKNOWN | {"calls": round(float(lesson["counts"].sum()))}
    state = "learns"
    if band.calls:
        told = {key: value for key, value in band._asdict().items() if key != "variance"}
        state = "rings" if at in watch.alarms["slot"] else "watched"
    return name | told | {"state": state, "last": int(watch.last[at])}

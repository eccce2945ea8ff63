"""Watches as the store keeps them: caught up with the closed panes, each exactly once."""

import itertools
import math
from dataclasses import asdict
from typing import Any

from agent.buckets import event_key
from agent.config import Config
from agent.errors import StoreDown
from agent.packing import open_row
from agent.store import Transaction, experiments, reads, watches
from watch.advance import Finding, Rules, advance, finding
from watch.budget import Budget
from watch.series import PaneRow, sample_of
from watch.state import Watch

# At most so much of a history is watched in one transaction.
_PANES_AT_ONCE = 360


def rules_of(config: Config) -> Rules:
    """What the configuration says of the watch; it is configured."""
    drift = config.drift
    assert drift is not None
    budget = Budget(drift.false_alarms_per_year, drift.watched_series, config.panes.width_s)
    return Rules(budget, drift.baseline_calls, drift.baseline_s, drift.matters)


def keep_watch(
    tx: Transaction, config: Config, source: str, now: float
) -> list[dict[str, Any]] | None:
    """See the closed panes of a source that were not seen yet, or the first of them; the findings
    that changed, None when nothing was left to see.

    Raises StoreDown when another process did so meanwhile: then nothing of this may stay.
    """
    rules = rules_of(config)
    stored = watches.load_watch(tx, source)
    size = rules.budget.slots
    watch = Watch.new(size) if stored is None else Watch.from_bytes(stored.body, size)
    through = reads.closed_times(tx).get(source, 0.0)
    if through <= watch.reached:
        return None
    found = _caught_up(tx, watch, source, through, rules)
    for one in found:
        watches.put_finding(tx, key_of(one), source, one.state, one.began, as_json(one), now)
    for at in sorted(watch.alarms):
        one = finding(watch, at, rules, "firing")
        watches.put_finding(tx, key_of(one), source, one.state, one.began, as_json(one), now)
    version = 0 if stored is None else stored.version
    if not watches.save_watch(tx, source, watch.to_bytes(), version, now):
        raise StoreDown(f"the watch over {source} was moved on by another process", 0.1)
    return [as_json(one) for one in found]


def _caught_up(
    tx: Transaction, watch: Watch, source: str, through: float, rules: Rules
) -> list[Finding]:
    panels = experiments.all_panels(tx)
    rows = reads.stored_panes(tx, source, watch.reached, through, fine_panes=math.inf)
    starts = sorted({one.pane for one in rows})
    if len(starts) > _PANES_AT_ONCE:
        through = float(starts[_PANES_AT_ONCE])
    found: list[Finding] = []
    for start, some in itertools.groupby(rows, key=lambda one: one.pane):
        if start >= through:
            break
        mine = [PaneRow(one.group, open_row(one.blob)) for one in some]
        found += advance(watch, start, sample_of(mine, watch.slots, panels), rules)
    watch.reached = through
    return found


def key_of(one: Finding) -> bytes:
    """The identity of an alarm."""
    return event_key(*one.name, str(one.began))


def as_json(one: Finding) -> dict[str, Any]:
    """As scripts read it."""
    told = {key: value for key, value in asdict(one).items() if key not in ("name", "baseline")}
    told = one.name._asdict() | told | {f"baseline_{k}": v for k, v in asdict(one.baseline).items()}
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in told.items()}  # fmt: skip


def series_rows(tx: Transaction, config: Config, source: str) -> list[dict[str, Any]]:
    """Every series of a source as it stands, then those that found no slot."""
    stored, rules = watches.load_watch(tx, source), rules_of(config)
    if stored is None:
        return []
    watch = Watch.from_bytes(stored.body, rules.budget.slots)
    rows = [_series_row(watch, at) for at in range(len(watch.slots.names))]
    none = {"calls": 0, "mean": None, "lower": None, "upper": None, "design_effect": None}
    beyond = sorted(watch.slots.beyond)
    return rows + [one._asdict() | none | {"state": "no slot", "last": None} for one in beyond]


def _series_row(watch: Watch, at: int) -> dict[str, Any]:
    band, lesson = watch.baselines.get(at), watch.lessons.get(at)
    state = "learns" if band is None else "rings" if at in watch.alarms else "watched"
    told: dict[str, Any] = {"calls": 0 if lesson is None else round(float(lesson.counts.sum()))}
    told |= dict.fromkeys(("mean", "lower", "upper", "design_effect"))
    if band is not None:
        told = {key: value for key, value in asdict(band).items() if key != "variance"}
    return watch.slots.names[at]._asdict() | told | {"state": state, "last": watch.last.get(at)}

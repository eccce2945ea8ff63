"""Watches as the store keeps them: caught up with the closed panes, each exactly once."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.config import Config
from agent.errors import StoreDown
from agent.findings import Finding
from agent.packing import open_row
from agent.panes import HOUR_S
from agent.store import Transaction, experiments, reads, watches
from agent.store.findings import put_findings
from watch.advance import advance, findings
from watch.baseline import Baseline
from watch.budget import Budget
from watch.examples import with_examples
from watch.lessons import Rules
from watch.sample import Shares, is_seen, sample_of
from watch.series import Panels, PaneRow, Slots
from watch.state import Watch
from watch.telling import told


def rules_of(config: Config) -> Rules:
    """What the configuration says of the watch; it is configured."""
    drift = config.drift
    assert drift is not None
    budget = Budget(drift.false_alarms_per_year, drift.watched_series, config.panes.width_s)
    keys = config.segments if drift.mix is None else drift.mix
    return Rules(budget, drift, Shares(frozenset(keys)))


def keep_watch(
    tx: Transaction, config: Config, source: str, now: float, part: float = 1.0
) -> list[Finding] | None:
    """See the closed panes of a source that were not seen yet, of one hour at most and as many as
    in this part of one; the findings that changed, None when nothing was left to see.

    Raises StoreDown when another process did so meanwhile: then nothing of this may stay.
    """
    rules, stored = rules_of(config), watches.load_watch(tx, source)
    free = rules.budget.slots - watches.series_elsewhere(tx, source)
    watch = opened(stored, rules, free)
    through = reads.closed_times(tx).get(source, 0.0)
    if through <= watch.reached:
        return None
    most = max(1, int(part * HOUR_S / config.panes.width_s))
    found = _catch_up(tx, watch, source, through, rules, most)
    # What rings is told anew with every pane: its effect is measured after the alarm.
    rings = findings(watch, watch.alarms["slot"], rules, "firing")
    known = with_examples(tx, [*found, *(told(one, int(watch.reached)) for one in rings)])
    put_findings(tx, source, known, now)
    save(tx, source, watch, 0 if stored is None else stored.version, now)
    return known[: len(found)]


def save(tx: Transaction, source: str, watch: Watch, version: int, now: float) -> None:
    """Store a watch that stood at `version`; raises StoreDown when it no longer does."""
    series, body = len(watch.slots.names), watch.to_bytes()
    if not watches.save_watch(tx, source, series, body, version, now):
        raise StoreDown(f"the watch over {source} was moved on by another process", 0.1)
    if watch.taught:
        watches.save_bases(tx, source, watch.bases.tobytes(), now)


def opened(stored: watches.StoredWatch | None, rules: Rules, size: int) -> Watch:
    """A watch as it was stored, or a new one."""
    if stored is None:
        return Watch(Slots(size), rules.hours)
    watch = Watch.from_bytes(stored.body, stored.bases, size)
    watch.by_hour(rules.hours)
    return watch


def _catch_up(
    tx: Transaction, watch: Watch, source: str, through: float, rules: Rules, most: int
) -> list[Finding]:
    first = reads.first_pane(tx, source, watch.reached)
    if first is not None:  # one hour a transaction, so that a history is not read at once
        through = min(through, float((first // HOUR_S + 1) * HOUR_S))
    found, panes = list[Finding](), panes_of(tx, source, watch.reached, through)
    for pane in itertools.islice(panes, most):
        for service, model in sorted({one.group[:2] for one in pane.rows if is_seen(one)}):
            watch.note(service, model, pane.start)
        sample = sample_of(pane.rows, watch.slots, pane.panels, rules.shares, pane.long_s)
        some = advance(watch, pane.start, sample, rules)
        found += [told(one, pane.start + pane.long_s) for one in some]
    unseen = next(panes, None)
    watch.reached = through if unseen is None else float(unseen.start)
    return found


@dataclass(frozen=True, slots=True)
class Pane:
    """All rows of one closed pane."""

    start: int
    long_s: int
    rows: list[PaneRow]
    panels: Panels


def panes_of(tx: Transaction, source: str, start: float, end: float) -> Iterator[Pane]:
    """The closed panes of a source within [start, end), the finest that are still there."""
    panels = experiments.all_panels(tx)
    every = reads.stored_panes(tx, source, start, end, fine_panes=math.inf)
    for (at, long_s), some in itertools.groupby(every, key=lambda one: (one.pane, one.level_s)):
        rows = [PaneRow(one.group, open_row(one.blob)) for one in some]
        yield Pane(at, long_s, rows, panels)


def series_rows(tx: Transaction, config: Config, source: str) -> list[dict[str, Any]]:
    """Every series of a source as it stands, then those without a slot or a value."""
    watch = read_watch(tx, config, source)
    return [] if watch is None else rows_of(watch)


def read_watch(tx: Transaction, config: Config, source: str) -> Watch | None:
    """The watch over a source as it is stored."""
    stored, rules = watches.load_watch(tx, source), rules_of(config)
    return None if stored is None else opened(stored, rules, rules.budget.slots)


def rows_of(watch: Watch) -> list[dict[str, Any]]:
    """Every series as it stands, then those without a slot or a value."""
    rows = [_series_row(watch, at) for at in range(len(watch.slots.names))]
    none = _UNKNOWN | {"calls": 0, "last": None}
    for state, names in (("no slot", watch.slots.beyond), ("no value", watch.slots.silent)):
        rows += [one._asdict() | none | {"state": state} for one in sorted(names)]
    return rows


_UNKNOWN = dict.fromkeys(("mean", "lower", "upper", "design_effect"))


def _series_row(watch: Watch, at: int) -> dict[str, Any]:
    last = int(watch.last[at])
    (held,) = watch.bands_of(np.array([at]), last)
    name, band = watch.slots.names[at]._asdict(), Baseline(*held.item())
    lesson = watch.lessons[watch.lessons["slot"] // watch.hours == at]
    told: dict[str, Any] = _UNKNOWN | {"calls": round(float(lesson["counts"].sum()))}
    state = "learns"
    if band.calls:
        told = {key: value for key, value in band._asdict().items() if key != "variance"}
        state = "rings" if at in watch.alarms["slot"] else "watched"
    return name | told | {"state": state, "last": last}

"""How far the values of what rings moved from its baseline, beside how far they do by chance."""

from typing import Any

import numpy as np

from agent.buckets import BINS, Floats
from agent.config import Config
from agent.store import Transaction, watches
from watch.advance import findings
from watch.distances import FEWEST, distances, mean_distance
from watch.keeping import opened, rules_of
from watch.series import View, mean_of
from watch.shape import ranks
from watch.state import Watch
from watch.telling import told


def moved(tx: Transaction, config: Config, source: str) -> dict[bytes, dict[str, Any]]:
    """By the key of each finding of a source that rings the distances since its alarm; none for
    flags and shares, which their mean tells all of."""
    stored, rules = watches.load_watch(tx, source), rules_of(config)
    if stored is None:
        return {}
    watch = opened(stored, rules, rules.budget.slots)
    made, newest = {}, int(watch.last.max(initial=0))
    for alarm in watch.alarms:
        (one,) = findings(watch, np.array([alarm["slot"]]), rules, "firing")
        held = baseline_of(watch, int(alarm["slot"]))
        if one.n < FEWEST or (held is None and not mean_of(one.name)):
            continue
        if held is None:
            found = {"mean": mean_distance(one.effect, one.n, one.baseline)}
        else:
            found = distances(held, alarm["counts"], np.random.default_rng(int(alarm["began"])))
        made[told(one, newest).key] = {
            name: {"value": each.value, "by_chance": each.by_chance} for name, each in found.items()
        }
    return made


def baseline_of(watch: Watch, slot: int) -> Floats | None:
    """The baseline's counts of a series, in the bins that it is watched by."""
    view = watch.slots.names[slot].view
    column = "spread" if view == "spread" else "slot"
    (at,) = np.nonzero(watch.bases[column] == slot)
    if view not in ("level", "rank", "spread") or not len(at):
        return None
    counts = watch.bases["counts"][at[0]].astype(np.float64)
    return _viewed(counts, view)


def _viewed(counts: Floats, view: View) -> Floats:
    if view == "level":
        return counts
    every = np.arange(BINS + 1)
    rank = ranks(counts[None, :], np.zeros_like(every), every)
    bins = rank if view == "rank" else np.abs(2 * rank - BINS)
    return np.bincount(bins, counts, BINS + 1).astype(np.float64)

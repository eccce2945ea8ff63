"""How the evidence of a finding came about, pane by pane, from the closed panes that are kept.

The detector's own state is one number a series; its past is made again from counts. Where finer
panes were rolled up the evidence is that of the coarser ones, which differs a little: the detector
begins anew with every pane.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.buckets import BINS, Floats, Ints
from agent.durations import span
from agent.experiments import ASIDE
from agent.findings import Finding
from agent.packing import open_row, read_words
from agent.panes import HOUR_S, MINUTE_S, Group
from agent.sla import CONDITIONS
from agent.stacks import Stacks
from agent.store import Transaction, board, reads
from watch.detector import Bands, Evidence, Sample, gains_of
from watch.sample import VOLUME, lacking_of, on_grid, volumes
from watch.series import WHOLE, Name
from watch.shape import ranks, tails
from watch.state import Watch

# Before the change so much is shown: a part of the time until it rang, and so many panes at least.
_BEFORE, _FEWEST = 0.5, 12
_MOST = 400
# Of a burn rate so much before it rang and after.
_BURN_BEFORE_S, _BURN_AFTER_S = HOUR_S, 6 * HOUR_S

Rows = Sequence[tuple[int, Group, int, bytes]]


@dataclass(frozen=True, slots=True)
class Trace:
    """Values by time (epoch seconds), one list a name, by panes of `step_s`."""

    at: tuple[float, ...]
    values: dict[str, tuple[float, ...]]
    step_s: int


def trace_drift(
    tx: Transaction, watch: Watch, source: str, one: Finding, width_s: int
) -> Trace | None:
    """ln S of a series from before the change until it rang; None where nothing of it is kept."""
    facts, name = dict(one.facts), _name(one)
    lasted = one.began - facts["onset"]
    level_s = _level(tx, source, facts["onset"], one.began, width_s)
    start = facts["onset"] - max(round(_BEFORE * lasted), _FEWEST * level_s)
    ends = start // level_s * level_s, one.began + level_s
    rows = [row for row in board.panes_of(tx, source, level_s, ends, name.service)
            if not row[1].variant.startswith(ASIDE)]  # fmt: skip
    panes = np.array(sorted({row[0] for row in rows}), np.int64)
    sample = _viewed(watch, name, _counted(name, rows, panes, level_s)).ordered()
    there = np.unique(sample.series)
    if not len(there):
        return None
    bands, evidence = _bands(watch, name, panes, facts), Evidence.none(1)
    gains, found = gains_of(sample, bands), list[float]()
    for at in there.tolist():
        evidence.see(int(panes[at]), gains[at : at + 1], np.array([0]))
        found.append(float(evidence.log_statistic(np.array([0]))[0]))
    if panes[there[-1]] <= one.began < panes[there[-1]] + level_s:
        found[-1] = one.statistic  # coarser panes, or a later beginning, would say less than rang
    return Trace(tuple(panes[there].astype(float).tolist()), {"evidence": tuple(found)}, level_s)


def _name(one: Finding) -> Name:
    held = {"model": "", "variant": "", "segment": ""} | dict(one.name)
    return Name(**held)  # type: ignore[arg-type]  # the parts of its name are those of a series


def _level(tx: Transaction, source: str, onset: int, began: int, width_s: int) -> int:
    """How long the finest panes are that are still there since the change, and not too many."""
    for level_s in sorted({width_s, MINUTE_S}):
        first = reads.first_of_level(tx, source, level_s, onset // level_s * level_s)
        if first is not None and first <= began and began - onset <= _MOST * level_s:
            return level_s
    return HOUR_S


def _bands(watch: Watch, name: Name, panes: Ints, facts: dict[str, float]) -> Bands:
    slot = watch.slots.known(name)
    if watch.hours > 1 and slot >= 0:
        held = watch.bands[watch.places(np.full(len(panes), slot), panes)]
        return Bands(held["lower"], held["upper"], held["design_effect"])
    parts = ("baseline_lower", "baseline_upper", "baseline_design_effect")
    return Bands(*(np.full(len(panes), facts[part]) for part in parts))


def _counted(name: Name, rows: Rows, panes: Ints, level_s: int) -> Sample:
    """The bins of a series by pane: `series` is the place of a pane."""
    if name.metric == VOLUME or name.view == "share":
        return _by_calls(name, rows, panes, level_s)
    mine = [row for row in rows if _is_of(row[1], name)]
    places = np.searchsorted(panes, np.array([row[0] for row in mine], np.int64))
    column = name.metric
    if name.view.startswith("axis "):
        column = f"{name.metric}|{name.view.removeprefix('axis ')}"
    parts = [(np.zeros(0, np.int64),) * 3]
    for layer in Stacks([open_row(row[3]) for row in mine]).layers:
        if column not in layer.names:
            continue
        at = layer.names.index(column)
        if name.view == "missing":
            lacking = [lacking_of(read_words(words)) if words else 0 for words in layer.missing(at)]
            held = layer.heads["n"][:, at].astype(np.int64)
            parts += _flags(places[layer.places], np.array(lacking, np.int64), held)
            continue
        which, bins, counts = layer.held(at)
        amount = np.isnan(layer.heads["lower"][0, at])
        steps = on_grid(bins, name.metric) if amount else bins.astype(np.int64)
        parts.append((places[layer.places[which]], steps, counts))
    return Sample(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def _is_of(group: Group, name: Name) -> bool:
    if name.model == WHOLE:
        return not group.segment
    return group[1:] == (name.model, name.variant, name.segment)


def _by_calls(name: Name, rows: Rows, panes: Ints, level_s: int) -> Sample:
    def summed(wanted: Callable[[Group], bool]) -> Ints:
        total = np.zeros(len(panes), np.int64)
        mine = [row for row in rows if wanted(row[1])]
        at = np.searchsorted(panes, np.array([row[0] for row in mine], np.int64))
        np.add.at(total, at, np.array([row[2] for row in mine], np.int64))
        return total

    every, total = np.arange(len(panes)), summed(lambda group: not group.segment)
    if name.view != "share":
        there = total > 0
        return Sample(every[there], volumes(total[there], level_s), np.ones(int(there.sum()), int))
    key, _, value = name.metric.partition("=")
    part = summed(
        (lambda group: not group.segment and group.model == value)
        if key == "model"
        else (lambda group: group.segment == name.metric)
    )
    flags = _flags(every, part, np.maximum(0, total - part))
    return Sample(*(np.concatenate(one) for one in zip(*flags, strict=True)))


def _flags(places: Ints, yes: Ints, no: Ints) -> list[tuple[Ints, Ints, Ints]]:
    return [(places[n > 0], np.full(int((n > 0).sum()), bin_), n[n > 0])
            for bin_, n in ((0, no), (BINS, yes))]  # fmt: skip


def _viewed(watch: Watch, name: Name, sample: Sample) -> Sample:
    """What is watched of the values: for all but a level their place among the baseline's."""
    if name.view not in ("rank", "spread", "tail"):
        return sample
    column = "slot" if name.view == "rank" else name.view
    (at,) = np.nonzero(watch.bases[column] == watch.slots.known(name))
    if not len(at):
        return Sample(*(one[:0] for one in (sample.series, sample.bins, sample.counts)))
    base, zero = watch.bases[at[:1]], np.zeros(len(sample.bins), np.int64)
    held = base["counts"].astype(np.float64)
    if name.view == "tail":
        bins = BINS * tails(held, base["below"], zero, sample.bins).astype(np.int64)
    else:
        ranked = ranks(held, zero, sample.bins)
        bins = ranked if name.view == "rank" else np.abs(2 * ranked - BINS)
    return Sample(sample.series, bins, sample.counts)


def trace_burn(tx: Transaction, source: str, one: Finding) -> Trace | None:
    """Both burn rates of a condition around the time when it rang; None where no call is kept, or
    where the objective was given up and no target is left to hold them against."""
    name = dict(one.name)
    condition = next((c for c in CONDITIONS if c.name == name["window"]), None)
    target = dict(one.facts).get("target")
    if condition is None or target is None:
        return None
    first = one.began - _BURN_BEFORE_S - condition.long_s
    level_s = MINUTE_S if condition.long_s <= 6 * HOUR_S else HOUR_S
    kept = reads.first_of_level(tx, source, MINUTE_S)
    if kept is None or kept > one.began:
        level_s = HOUR_S
    begin, end = first // level_s * level_s, min(one.as_of, one.began + _BURN_AFTER_S)
    rows = [row for row in reads.service_panes(tx, source, level_s, begin, max(end, one.began))
            if row[1] == name["service"]]  # fmt: skip
    count = -(-(max(end, one.began) - begin) // level_s)  # the last one may end later
    totals = np.zeros((2, count + 1))
    for layer in Stacks([open_row(row[2]) for row in rows]).layers:
        if (series := f"slo_{name['objective']}") in layer.names:
            at = layer.names.index(series)
            where = np.array([(rows[p][0] - begin) // level_s + 1 for p in layer.places])
            np.add.at(totals[0], where, layer.sums[:, at])
            np.add.at(totals[1], where, layer.heads["n"][:, at].astype(np.float64))
    spans = condition.short_s, condition.long_s
    return _burnt(totals.cumsum(1), begin, level_s, spans, 1 - float(target))


def _burnt(
    upto: Floats, begin: int, level_s: int, spans: tuple[int, int], allowed: float
) -> Trace | None:
    steps = np.arange(spans[1] // level_s, upto.shape[1])
    if not len(steps) or not upto[1, -1]:
        return None
    rates = dict[str, tuple[float, ...]]()
    for window in spans:
        bad, total = upto[:, steps] - upto[:, np.maximum(0, steps - max(1, window // level_s))]
        with np.errstate(invalid="ignore", divide="ignore"):
            found = bad / total / allowed
        rates[span(window)] = tuple(v if math.isfinite(v) else math.nan for v in found.tolist())
    return Trace(tuple((begin + level_s * steps).astype(float).tolist()), rates, level_s)

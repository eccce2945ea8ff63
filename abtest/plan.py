"""Before an experiment: how many calls a difference of a given size takes to be decided.

The capital of the fixed bets grows in proportion to the events, so the number at which its
mixture reaches the threshold is that of a typical run. The distribution is the stored one.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from abtest.observational import arm_row
from abtest.samples import GRID, Frame, RowCounts, paired_frame, split_frame
from abtest.verdict import events_needed
from agent.buckets import BINS, Floats
from agent.config import Config
from agent.errors import BadConfig
from agent.experiments import PAIRED, SHADOW, Experiment
from agent.packing import open_row
from agent.panes import Row
from agent.stacks import Stacks
from agent.store import Transaction, reads, tickets
from agent.summaries import BoundedHistogram


@dataclass(frozen=True, slots=True)
class Planned:
    """Calls (or pairs) until a difference is decided, None where that is out of reach."""

    experiment: str
    arm: str
    metric: str
    effect: float
    calls: float | None
    basis: str

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def plan(tx: Transaction, config: Config, name: str, effect: float, now: float) -> list[Planned]:
    """For every candidate, at the effect asked for, its half and its double.

    Raises BadConfig without stored scores of the control, or for an effect out of range.
    """
    experiment = config.experiments[name]
    if not 0 < abs(effect) < 1:
        raise BadConfig("readout --plan", f"{effect:g} is no difference of scores: -1 to 1, not 0")
    if experiment.design == "observational":
        raise BadConfig("readout --plan", f"{name} is observational and decides nothing")
    before = experiment.model_copy(update={"start": 0.0, "end": now})
    control = arm_row(tx, config, before, experiment.control)
    found = control.summaries.get(experiment.primary)
    scores = found if isinstance(found, BoundedHistogram) else BoundedHistogram()
    made = []
    for arm in experiment.candidates:
        pairs = _pairs(tx, config, before, arm) if experiment.paired else Row()
        if not scores.n and not RowCounts(pairs).counts(experiment.primary).any():
            raise BadConfig("readout --plan", f"nothing is stored of {experiment.primary} yet")
        for size in (effect / 2, effect, 2 * effect):
            made.append(_planned(name, experiment, arm, scores, pairs, size))
    return made


def _pairs(tx: Transaction, config: Config, experiment: Experiment, arm: str) -> Row:
    label = PAIRED + experiment.variant(arm).removeprefix(SHADOW)
    blobs = []
    for source, through in sorted(tickets.paired_times(tx).items()):
        service = experiment.service or config.service
        panes = reads.stored_panes(tx, source, 0.0, through, service, (label,))
        blobs += [pane.blob for pane in panes if not pane.group.segment]
    return Stacks([open_row(blob) for blob in blobs]).summed()


def _planned(
    name: str, experiment: Experiment, arm: str, control: BoundedHistogram, pairs: Row, size: float
) -> Planned:
    metric, level = experiment.primary, math.log(1 / experiment.alpha)
    if not experiment.paired:
        frame, counts = _split(experiment, arm, control, size)
        basis = f"{control.n:,} stored calls of {experiment.control}"
        if experiment.unit != "request":
            basis += f", each taken for a {experiment.unit}: so many of these it takes"
    else:
        held = RowCounts(pairs).counts(metric)
        basis = f"{held.sum():,.0f} stored pairs"
        if not held.any():
            basis = f"{control.n:,} stored calls, as if pairs were unlike: fewer will do"
            held = _unlike(control.counts / control.n) * control.n
        frame, counts = _pairs_frame(held, size)
    calls = events_needed(frame, counts, [(0.0, level)])
    return Planned(name, arm, metric, size, calls, basis)


def _split(
    experiment: Experiment, arm: str, control: BoundedHistogram, size: float
) -> tuple[Frame, Floats]:
    shares = experiment.epochs()[-1][1]
    share = shares[arm] / (shares[arm] + shares[experiment.control])
    mean = control.mean() or 0.0
    frame = split_frame(share, min(max(mean, 0.001), 0.999))
    scores = control.counts.astype(np.float64)
    moved = tilted(GRID, scores, mean + size)
    return frame, np.concatenate([scores * (1 - share), moved * share])


def _unlike(chances: Floats) -> Floats:
    """The differences of two independent scores, whose grid is twice as fine, on that of pairs."""
    fine = np.convolve(chances, chances[::-1])
    made: Floats = fine[::2].copy()
    made[:-1] += fine[1::2] / 2
    made[1:] += fine[1::2] / 2
    return made


def _pairs_frame(counts: Floats, size: float) -> tuple[Frame, Floats]:
    frame = paired_frame("high", "worst", False)
    held = np.zeros(len(frame.values))
    held[: BINS + 1] = tilted(2 * GRID - 1, counts, size)
    return frame, held


def tilted(values: Floats, counts: Floats, mean: float) -> Floats:
    """Counts of the same support and number with another mean, closest to these in likelihood.

    Exponential tilting: n_b exp(t v_b), with t so that the mean is met. All zero where no counts
    on this support have that mean.
    """
    there = counts > 0
    used, held = values[there], counts[there]
    made: Floats = np.zeros_like(counts)
    if not used.min() < mean < used.max():
        return made
    low, high = -1e4, 1e4
    for _ in range(200):
        middle = (low + high) / 2
        weights = held * np.exp(middle * used - (middle * used).max())
        low, high = (low, middle) if (weights @ used) >= mean * weights.sum() else (middle, high)
    made[there] = weights * (counts.sum() / weights.sum())
    return made

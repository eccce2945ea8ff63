"""Before an experiment: how many calls a difference of a given size takes to be decided.

The capital of the fixed bets grows in proportion to the events, so the number at which its
mixture reaches the threshold is that of a typical run. The distribution is the stored one.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from abtest.advance import arm_labels
from abtest.contrast import GUESS
from abtest.observational import arm_row
from abtest.samples import GRID, Frame, RowCounts, paired_frame, split_frame
from abtest.verdict import calls_more
from agent.buckets import BINS, Floats
from agent.catalog import metric_named
from agent.config import Config
from agent.errors import BadConfig
from agent.experiments import PAIRED, Experiment
from agent.panes import Row
from agent.stacks import open_row, stack_rows
from agent.store import Transaction, reads
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
        pairs = _pairs(tx, config, before, arm) if experiment.design == "paired" else Row()
        if not scores.n and not RowCounts(pairs).counts(experiment.primary).any():
            raise BadConfig("readout --plan", f"nothing is stored of {experiment.primary} yet")
        for size in (effect / 2, effect, 2 * effect):
            made.append(_planned(name, experiment, arm, scores, pairs, size))
    return made


def _pairs(tx: Transaction, config: Config, experiment: Experiment, arm: str) -> Row:
    label = next(v for v, name in arm_labels(experiment).items() if name == PAIRED + arm)
    blobs = []
    for source, through in sorted(reads.closed_times(tx).items()):
        service = experiment.service or config.service
        panes = reads.stored_panes(tx, source, 0.0, through, service, (label,))
        blobs += [pane.blob for pane in panes if not pane.group.segment]
    return stack_rows([open_row(blob) for blob in blobs]).summed()


def _planned(
    name: str, experiment: Experiment, arm: str, control: BoundedHistogram, pairs: Row, size: float
) -> Planned:
    metric, level = experiment.primary, math.log(1 / experiment.alpha)
    if experiment.design != "paired":
        frame, counts = _split(experiment, arm, metric, control, size)
        basis = f"{control.n:,} stored calls of {experiment.control}"
    else:
        held = RowCounts(pairs).counts(metric)
        basis = f"{held.sum():,.0f} stored pairs"
        if not held.any():
            basis = f"{control.n:,} stored calls, as if pairs were unlike: fewer will do"
            chances = control.counts / control.n
            held = np.convolve(chances, chances[::-1])[::2] * control.n
        frame, counts = _shifted_pairs(held, size)
    more = calls_more(frame, counts, [(0.0, level)])
    total = None if more is None else more + float(counts.sum())
    if total is not None and more == 0:
        total = _fewest(frame, counts, level)
    return Planned(name, arm, metric, size, total, basis)


def _fewest(frame: Frame, counts: Floats, level: float) -> float:
    """Of stored events that are more than enough already: how many would have been."""
    scaled = counts * (1 / counts.sum())
    more = calls_more(frame, scaled, [(0.0, level)])
    return (more or 0.0) + 1.0


def _split(
    experiment: Experiment, arm: str, metric: str, control: BoundedHistogram, size: float
) -> tuple[Frame, Floats]:
    shares = experiment.epochs()[-1][1]
    share = shares[arm] / (shares[arm] + shares[experiment.control])
    mean = control.mean() or GUESS
    frame = split_frame(share, min(max(mean, 0.001), 0.999))
    scores = control.counts.astype(np.float64)
    moved = _moved(scores, size, metric_named(metric).kind == "flag")
    return frame, np.concatenate([scores * (1 - share), moved * share])


def _moved(counts: Floats, size: float, flag: bool) -> Floats:
    """The counts of a variable whose mean is larger by `size`, kept within its range."""
    if flag:
        mean = float((counts * GRID).sum() / counts.sum())
        made = np.zeros_like(counts)
        made[-1] = counts.sum() * min(max(mean + size, 0.0), 1.0)
        made[0] = counts.sum() - made[-1]
        return made
    return _laid(np.clip(GRID + size, 0, 1) * BINS, counts)


def _shifted_pairs(counts: Floats, size: float) -> tuple[Frame, Floats]:
    differences = 2 * GRID - 1
    centre = float((counts * differences).sum() / counts.sum())
    moved = np.clip(differences - centre + size, -1, 1)
    frame = paired_frame("high", "worst", False)
    held = np.zeros(len(frame.values))
    held[: BINS + 1] = _laid((moved + 1) / 2 * BINS, counts)
    return frame, held


def _laid(places: Floats, counts: Floats) -> Floats:
    """Counts at places between bins, divided over both neighbours so that the mean stays."""
    low = np.floor(places).astype(int)
    share = places - low
    above = np.minimum(low + 1, BINS)
    laid = np.zeros(BINS + 1)
    np.add.at(laid, low, counts * (1 - share))
    np.add.at(laid, above, counts * share)
    return laid

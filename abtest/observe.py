"""What each closed pane says: evidence against every null that decides, pane by pane."""

import math
from dataclasses import dataclass

import numpy as np

from abtest import ratio
from abtest.batch import Batch
from abtest.contrast import Contrast, contrasts
from abtest.mixture import BETS, Side, interval, log_capital, mixed
from abtest.run import Key, Point, Run
from abtest.samples import Counted, RowCounts, Sides, StackCounts, join_frames
from agent.buckets import Floats
from agent.experiments import Experiment

# The picture gets so many points of a candidate from panes that come together, and holds so many.
_DRAWN, _POINTS = 60, 480


@dataclass(frozen=True, slots=True)
class Null:
    """A difference that may be refuted, and the side on which the truth would then lie."""

    name: str
    value: float
    side: Side
    threshold: float
    one_sided: bool = False


def nulls_of(contrast: Contrast) -> list[Null]:
    """What is asked at every pane: of the primary metric which side of 0 and of its margin, of a
    guardrail whether it is worse by less, or by more, than its margin."""
    experiment, level = contrast.experiment, math.log(1 / contrast.experiment.alpha)
    if contrast.metric == experiment.primary:
        found = [Null("above 0", 0.0, "up", level), Null("below 0", 0.0, "down", level)]
        if experiment.margin is not None:
            found += [Null("above -margin", -experiment.margin, "up", level),
                      Null("below margin", experiment.margin, "down", level)]  # fmt: skip
        return found
    margin = experiment.guardrails[contrast.metric]
    fine: Side = "up" if contrast.good == "high" else "down"
    harm: Side = "down" if contrast.good == "high" else "up"
    edge = -margin if contrast.good == "high" else margin
    return [Null("holds", edge, fine, level, one_sided=True),
            Null("broken", edge, harm, level, one_sided=True)]  # fmt: skip


def observe(run: Run, experiment: Experiment, batch: Batch) -> None:
    """See every closed pane of a batch, before its sums are added to the run's."""
    metrics = (experiment.primary, *experiment.guardrails)
    for contrast in contrasts(run, experiment, metrics):
        _see_nulls(run, contrast, batch)
    if not experiment.paired:
        _see_ratio(run, experiment, batch)


def _sides(contrast: Contrast, batch: Batch) -> Sides:
    made: list[Counted] = []
    for key in contrast.keys(batch.stage):
        stacks, places = batch.stacks.get(key, (None, ()))
        made.append(StackCounts(stacks, places, len(batch.panes)))
    return Sides(*made)


def _see_nulls(run: Run, contrast: Contrast, batch: Batch) -> None:
    nulls = nulls_of(contrast)
    size = len(batch.panes), 2 * len(BETS)
    paths = {null.name: np.zeros(size) for null in nulls}
    before = {null.name: np.zeros(size[1]) for null in nulls}
    new = contrast.counts(_sides(contrast, batch))
    for stage in range(len(run.stages)):
        frame = contrast.frame(stage)
        control, mine = (RowCounts(run.row(key)) for key in contrast.keys(stage))
        old = contrast.counts(Sides(control, mine))
        for null in nulls:
            steps = log_capital(frame.values, null.value, frame.lower, frame.upper)
            before[null.name] += old @ steps
            if stage == batch.stage:
                paths[null.name] += new @ steps
    for null in nulls:
        capital = before[null.name] + paths[null.name].cumsum(0)
        peak = run.peak(contrast.arm, contrast.metric, null.name)
        levels = _levels(capital, null)
        best = int(levels.argmax())
        sufficient = np.flatnonzero(levels >= null.threshold)
        first = int(sufficient[0]) if len(sufficient) else best
        peak.see(float(batch.panes[first]), float(levels[first]), null.threshold)
        peak.see(float(batch.panes[best]), float(levels[best]), null.threshold)


def _levels(capital: Floats, null: Null) -> Floats:
    """Log-evidence for the side of the null; of the two-sided mixture unless it is one-sided."""
    if null.one_sided:
        return mixed(capital, null.side)
    other: Side = "down" if null.side == "up" else "up"
    leads = mixed(capital, null.side) > mixed(capital, other)
    return np.where(leads, mixed(capital), 0.0)


def _see_ratio(run: Run, experiment: Experiment, batch: Batch) -> None:
    level = np.zeros(len(batch.panes))
    for stage, (epoch, _, _) in enumerate(run.stages):
        shares, counts = experiment.epochs()[epoch][1], []
        for arm in experiment.arms:
            held = run.row(Key(stage, arm))
            stacks, places = batch.stacks.get(Key(stage, arm), (None, ()))
            added = np.zeros(len(batch.panes))
            if stacks is not None:
                np.add.at(added, list(places), stacks.calls())
            counts.append((held.calls.total() if held else 0) + added.cumsum())
        level = level + ratio.log_imbalance(np.stack(counts, -1), list(shares.values()))
    best = int(level.argmax())
    peak = run.peak("sample ratio")
    peak.see(float(batch.panes[best]), float(level[best]), -math.log(ratio.THRESHOLD))


def draw(run: Run, experiment: Experiment, batch: Batch) -> None:
    """Note the primary metric's intervals at some of the panes, for the picture."""
    for contrast in contrasts(run, experiment, (experiment.primary,)):
        _draw(run, contrast, batch)


def _draw(run: Run, contrast: Contrast, batch: Batch) -> None:
    count = min(len(batch.panes), _DRAWN)
    chosen = np.unique(np.linspace(len(batch.panes) - 1, 0, count).astype(int))
    frames, counts = [], []
    new = contrast.counts(_sides(contrast, batch)).cumsum(0)[chosen]
    for stage in range(len(run.stages)):
        control, mine = (RowCounts(run.row(key)) for key in contrast.keys(stage))
        old = contrast.counts(Sides(control, mine))
        frames.append(contrast.frame(stage))
        counts.append(old + (new if stage == batch.stage else 0.0 * new))
    frame, held = join_frames(frames), np.concatenate(counts, -1)
    lower, upper = interval(frame.values, held, contrast.experiment.alpha, frame.lower, frame.upper)
    run.points += [
        Point(float(batch.panes[at]), contrast.arm, float(mean), float(a), float(b))
        for at, mean, a, b in zip(chosen, contrast.means(counts), lower, upper, strict=True)
        if np.isfinite(mean)
    ]
    drawn = [point for point in run.points if point.arm == contrast.arm]
    if len(drawn) > _POINTS:
        kept = {id(point) for point in drawn[-1::-2]}
        run.points = [p for p in run.points if p.arm != contrast.arm or id(p) in kept]

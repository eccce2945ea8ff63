"""One candidate against the control in one metric, as counts on a support."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from abtest.run import Key, Run, Stage
from abtest.samples import (
    GRID,
    End,
    Frame,
    RowCounts,
    Sides,
    join_frames,
    paired_counts,
    paired_frame,
    split_counts,
    split_frame,
)
from agent.buckets import Floats
from agent.columns import FAILED, FAILURES
from agent.experiments import PAIRED, WIN, Experiment
from agent.pairs import BOTH_FAILED, CANDIDATE_FAILED, CONTROL_FAILED, beside

# The centre of a metric of which nothing is known: any constant is valid, a wrong one costs power.
GUESS = 0.5
_LOST = frozenset({*FAILURES, BOTH_FAILED, CANDIDATE_FAILED, CONTROL_FAILED})


@dataclass(frozen=True, slots=True)
class Contrast:
    """One candidate against the control in one metric: all that its evidence depends on."""

    experiment: Experiment
    arm: str
    metric: str
    stages: tuple[Stage, ...]

    @property
    def good(self) -> str:
        """The good end of the metric, "high" where it has none."""
        return "low" if self.experiment.good_end(self.metric) == "low" else "high"

    @property
    def paired(self) -> bool:
        """Whether the difference is that of pairs."""
        return self.experiment.paired

    def keys(self, stage: int, segment: str = "") -> tuple[Key, Key]:
        """Under which keys control and candidate (or its pairs) are summed."""
        mine = PAIRED + self.arm if self.paired else self.arm
        return Key(stage, self.experiment.control, segment), Key(stage, mine, segment)

    def frame(self, stage: int, end: End = "worst") -> Frame:
        """The support of a stage's counts."""
        if self.paired:
            return paired_frame(self.good, end, not self.metric.endswith(WIN))
        epoch, centres, _ = self.stages[stage]
        shares = self.experiment.epochs()[epoch][1]
        mine, theirs = shares[self.arm], shares[self.experiment.control]
        return split_frame(mine / (mine + theirs), centres.get(self.metric, GUESS))

    def counts(self, sides: Sides, end: End = "worst") -> Floats:
        """The counts on that support."""
        if self.paired:
            return paired_counts(sides, self.metric, not self.metric.endswith(WIN))
        return split_counts(sides, self.metric, self.good, end)

    def total(self, run: Run, segment: str = "", end: End = "worst") -> tuple[Frame, Floats]:
        """All stages of a run side by side."""
        frames, counts = [], []
        for stage in range(len(self.stages)):
            control, mine = (RowCounts(run.row(key)) for key in self.keys(stage, segment))
            frames.append(self.frame(stage, end))
            counts.append(self.counts(Sides(control, mine), end))
        return join_frames(frames), np.concatenate(counts, -1)

    def means(self, parts: Sequence[Floats]) -> Floats:
        """Candidate minus control from the counts of every stage [..., bins], NaN where a side is
        empty; stages weigh as their calls."""
        total, weight = np.zeros(parts[0].shape[:-1]), np.zeros(parts[0].shape[:-1])
        for stage, counts in enumerate(parts):
            n = counts.sum(-1)
            with np.errstate(divide="ignore", invalid="ignore"):
                if self.paired:
                    mean = counts @ self.frame(stage).values / n
                else:
                    control, mine = counts[..., : len(GRID)], counts[..., len(GRID) :]
                    mean = mine @ GRID / mine.sum(-1) - control @ GRID / control.sum(-1)
            known = np.isfinite(mean)
            total, weight = total + np.where(known, n * mean, 0.0), weight + np.where(known, n, 0)
        with np.errstate(invalid="ignore"):
            found: Floats = total / weight
        return found

    def has_failures(self, run: Run, segment: str = "") -> bool:
        """Whether a failed call counts in it, so that its best end differs from its worst."""
        for stage in range(len(self.stages)):
            for key in self.keys(stage, segment):
                row = run.row(key)
                found = None if row is None else row.summaries.get(self.metric)
                aside = {beside(self.metric, part) for part in ("best", FAILED)}
                if row is not None and aside & row.summaries.keys():
                    return True
                if found is not None and _LOST.intersection(found.missing.words):
                    return True
        return False


def contrasts(run: Run, experiment: Experiment, metrics: Sequence[str]) -> Iterator[Contrast]:
    """Every candidate in every metric; a run that nothing has come to yet has an empty stage."""
    stages = tuple(run.stages) or (Stage(0, {}, False),)
    for arm in experiment.candidates:
        for metric in metrics:
            yield Contrast(experiment, arm, metric, stages)

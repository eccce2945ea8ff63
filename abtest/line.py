"""One line of a readout: an effect with its interval, evidence, verdict and doubts."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from abtest.contrast import Contrast
from abtest.run import Key, Run
from abtest.samples import RowCounts, mean_of, worst_of
from agent.experiments import PAIRED, WIN
from agent.pairs import BOTH_FAILED, CANDIDATE_FAILED, CONTROL, CONTROL_FAILED, beside
from agent.panes import Row

NOT_TESTED = "shown, not tested"


@dataclass(frozen=True, slots=True)
class Line:
    """`estimate` and its ends are candidate minus control in the metric's own unit, or a ratio
    where `statistic` says so; `best` is the interval with failed calls at the best end. `level`
    is the control's mean in what is compared, `more` the events that a decision still needs at
    this effect."""

    experiment: str
    kind: str
    metric: str
    arms: tuple[str, ...]
    n: dict[str, int]
    estimate: float
    lower: float
    upper: float
    log_evidence: float | None
    verdict: str
    warnings: tuple[str, ...] = ()
    as_of: float | None = None
    run: int = 1
    role: str = "other"
    statistic: str = "difference of means"
    segment: str = ""
    unit: str = "ratio"
    good: str = "none"
    level: float | None = None
    best: tuple[float, float] | None = None
    decided_at: float | None = None
    more: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The line with null for what is not known."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @property
    def relative(self) -> float | None:
        """The estimate as a share of the control's level."""
        if not self.level or not math.isfinite(self.level):
            return None
        return self.estimate / self.level


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def as_of(run: Run) -> float | None:
    """Through when the panes that a run counts are closed."""
    return max(run.reached.values(), default=None)


def pair_row(run: Run, arm: str, segment: str = "") -> Row:
    """The pairs of a candidate."""
    return run.over_stages(PAIRED + arm, segment)


def counted(run: Run, contrast: Contrast, segment: str = "") -> dict[str, int]:
    """Events with a score or a failure, by arm or as pairs."""
    if contrast.paired:
        _, counts = contrast.total(run, segment)
        return {"pairs": round(float(counts.sum()))}
    arms = (contrast.experiment.control, contrast.arm)
    return {arm: round(_mean_over(run, arm, segment, contrast.metric, 0.0)[1]) for arm in arms}


def _mean_over(
    run: Run, arm: str, segment: str, metric: str, failed_as: float
) -> tuple[float, float]:
    """An arm's mean and number over all stages; merging their bins would cost and say no more."""
    rows = (run.row(Key(stage, arm, segment)) for stage in range(len(run.stages)))
    means = [mean_of(row, metric, failed_as) for row in rows]
    n = sum(one[1] for one in means)
    return (sum(mean * k for mean, k in means if k) / n if n else math.nan), n


def estimate_of(run: Run, contrast: Contrast, segment: str = "") -> float:
    """Candidate minus control from the exact sums, failures at the worst end; stages weigh as
    their calls."""
    fail = worst_of(contrast.good, "worst")
    if contrast.paired:
        return _paired_estimate(pair_row(run, contrast.arm, segment), contrast.metric, fail)
    total = weight = 0.0
    for stage in range(len(contrast.stages)):
        sides = [mean_of(run.row(key), contrast.metric, fail)
                 for key in contrast.keys(stage, segment)]  # fmt: skip
        (control, n), (mine, m) = sides
        if n and m:
            total, weight = total + (mine - control) * (n + m), weight + n + m
    return total / weight if weight else math.nan


def _paired_estimate(row: Row, metric: str, fail: float) -> float:
    held = RowCounts(row)
    found = row.summaries.get(metric)
    n = float(found.n) if found is not None else 0.0
    total = (found.mean() or 0.0) * n if found is not None else 0.0
    lost = float(held.missing(metric, (BOTH_FAILED,)))
    if metric.endswith(WIN):
        won, less = (held.missing(metric, (r,)) for r in (CONTROL_FAILED, CANDIDATE_FAILED))
        total, n = total + float(won - less), n + float(won + less)
    else:
        for reason, sign in ((CONTROL_FAILED, 1), (CANDIDATE_FAILED, -1)):
            mean, k = mean_of(row, beside(metric, reason), None)
            if k:
                total, n = total + sign * k * (mean - fail), n + k
    return total / (n + lost) if n + lost else math.nan


def level_of(run: Run, contrast: Contrast, segment: str = "") -> float | None:
    """The control's mean in what is compared, failures at the worst end; None for a share of
    wins."""
    if contrast.metric.endswith(WIN):
        return None
    fail = worst_of(contrast.good, "worst")
    if contrast.paired:
        return _paired_level(pair_row(run, contrast.arm, segment), contrast.metric, fail)
    mean, n = _mean_over(run, contrast.experiment.control, segment, contrast.metric, fail)
    return mean if n and np.isfinite(mean) else None


def _paired_level(row: Row, metric: str, fail: float) -> float | None:
    both, own = row.summaries.get(metric), row.summaries.get(beside(metric, CONTROL))
    if both is None or both.n != (own.n if own is not None else 0):
        return None  # of pairs that were kept as differences alone
    lost = float(both.missing.words.get(CONTROL_FAILED, 0) + both.missing.words.get(BOTH_FAILED, 0))
    sides = [mean_of(row, beside(metric, part), None) for part in (CONTROL, CANDIDATE_FAILED)]
    n = lost + sum(k for _, k in sides)
    return (lost * fail + sum(mean * k for mean, k in sides if k)) / n if n else None

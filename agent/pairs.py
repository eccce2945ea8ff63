"""What a call and its shadow come to together: differences, wins and log-ratios, by the pane.

A difference is candidate minus control, and the control's own scores stand beside it. Where one
side failed the other's own score is kept too, so that a comparison can count the failure as the
worst score or the best.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.buckets import Bools, Floats, Keys, dither_keys
from agent.catalog import metric_named
from agent.columns import FAILURES, TAKEN_AWAY
from agent.experiments import LOG_RATIO, WIN
from agent.panes import Row
from agent.summaries import BoundedHistogram, Counts

CONTROL_FAILED, CANDIDATE_FAILED, BOTH_FAILED = (
    "control_failed",
    "candidate_failed",
    "both_failed",
)
UNSCORED = "unscored"
# Beside the differences: the control's own scores in the same pairs.
CONTROL = "control"
# The outcomes of twins, as the calls of a paired row count them.
PAIR, REPEATED, UNMATCHED, LATE = "pair", "repeated_unit", "unmatched", "late"
# Log-ratios beyond are clipped: a thousand times slower is no measurement.
LOG_BOUND = math.log(1000.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One side of a pair: how it ended, its values, and why others are missing."""

    status: str
    values: dict[str, float]
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """A call and its shadow; `key` is the shadow's identity."""

    key: bytes
    control: Outcome
    candidate: Outcome


def beside(metric: str, reason: str) -> str:
    """The series of a metric's scores on the one side where the other failed."""
    return f"{metric}|{reason}"


def paired_row(pairs: Sequence[Pair], variant: str) -> Row:
    """The row of the pairs of one pane and group."""
    row = Row(calls=Counts({PAIR: len(pairs)}))
    events = np.array([int.from_bytes(pair.key[:8], "little") for pair in pairs], np.uint64)
    for metric in sorted(_metrics(pairs)):
        sides = _Sides.read(metric, pairs)
        if metric_named(metric).kind == "amount":
            _fold_amount(row, metric, sides)
        else:
            _fold_score(row, metric, sides, dither_keys(events, f"{variant} {metric}"))
    return row


def _metrics(pairs: Iterable[Pair]) -> set[str]:
    found: set[str] = set()
    for pair in pairs:
        for side in (pair.control, pair.candidate):
            found.update(side.values, side.why)
    return found - {"feedback"}  # it comes later and to one side


@dataclass(frozen=True, slots=True)
class _Sides:
    """One metric of both sides, NaN where missing, and where that is because a call failed."""

    control: Floats
    candidate: Floats
    control_failed: Bools
    candidate_failed: Bools

    @classmethod
    def read(cls, metric: str, pairs: Sequence[Pair]) -> "_Sides":
        columns = []
        for sides in ([p.control for p in pairs], [p.candidate for p in pairs]):
            values = np.array([side.values.get(metric, math.nan) for side in sides])
            lost = [
                side.status in FAILURES and side.why.get(metric, "absent") in TAKEN_AWAY
                for side in sides
            ]
            columns.append((values, np.isnan(values) & np.array(lost, np.bool_)))
        (a, a_failed), (b, b_failed) = columns
        return cls(a, b, a_failed, b_failed)

    @property
    def whole(self) -> Bools:
        """Where both sides have a value."""
        there: Bools = ~np.isnan(self.control) & ~np.isnan(self.candidate)
        return there


def _fold_score(row: Row, metric: str, sides: _Sides, keys: Keys) -> None:
    whole, summary = sides.whole, row.bounded(metric, -1.0, 1.0)
    summary.update((sides.candidate - sides.control)[whole], keys[whole])
    if whole.any():
        level = row.bounded(beside(metric, CONTROL), 0.0, 1.0)
        level.update(sides.control[whole], keys[whole])
    for reason, failed, other in (
        (CONTROL_FAILED, sides.control_failed, sides.candidate),
        (CANDIDATE_FAILED, sides.candidate_failed, sides.control),
    ):
        alone = failed & ~np.isnan(other)
        if alone.any():
            row.bounded(beside(metric, reason), 0.0, 1.0).update(other[alone], keys[alone])
    _count_missing(summary, sides)


def _fold_amount(row: Row, metric: str, sides: _Sides) -> None:
    whole = sides.whole
    a, b = sides.control[whole], sides.candidate[whole]
    none = np.zeros(len(a), np.uint64)  # all three values of a win are on the support
    wins = row.bounded(metric + WIN, -1.0, 1.0)
    wins.update(np.sign(a - b), none)
    _count_missing(wins, sides)
    positive = (a > 0) & (b > 0)
    ratios = np.log(b[positive]) - np.log(a[positive])
    clipped = np.clip(ratios, -LOG_BOUND, LOG_BOUND)
    row.bounded(metric + LOG_RATIO, -LOG_BOUND, LOG_BOUND).update(clipped, none[positive])


def _count_missing(summary: BoundedHistogram, sides: _Sides) -> None:
    a, b = sides.control_failed, sides.candidate_failed
    a_there, b_there = ~np.isnan(sides.control), ~np.isnan(sides.candidate)
    counted = (
        (CONTROL_FAILED, a & b_there),
        (CANDIDATE_FAILED, b & a_there),
        (BOTH_FAILED, a & b),
        (UNSCORED, ~sides.whole & ~(a & (b | b_there)) & ~(b & a_there)),
    )
    for reason, where in counted:
        if n := int(where.sum()):
            summary.missing.add(reason, n)

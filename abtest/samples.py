"""From the rows of two arms to the counts of one variable whose mean is their difference.

*Paired*: the differences of pairs themselves. *Split*: the centred inverse-probability
pseudo-outcome (Y - c)(A / p - (1 - A) / (1 - p)), whose mean is E[candidate] - E[control] for a
known share p and any constant c (statistics.md 2.3); its counts are those of the two arms' bins.
Failed calls count as the worst score or, for the interval beside it, as the best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol

import numpy as np

from agent.buckets import BINS, Floats
from agent.columns import FAILED, FAILURES
from agent.pairs import BOTH_FAILED, CANDIDATE_FAILED, CONTROL_FAILED, beside
from agent.panes import Row
from agent.stacks import Stacks
from agent.summaries import BoundedHistogram

End = Literal["worst", "best"]
GRID: Floats = np.linspace(0.0, 1.0, BINS + 1)


class Counted(Protocol):
    """Counts of bounded series, of one row [bins] or of many [rows, bins]."""

    def counts(self, series: str) -> Floats: ...

    def missing(self, series: str, reasons: Sequence[str]) -> Floats: ...


@dataclass(frozen=True, slots=True)
class RowCounts:
    """One row's counts; a row that is not there has none."""

    row: Row | None

    def counts(self, series: str) -> Floats:
        """[bins]."""
        found = None if self.row is None else self.row.summaries.get(series)
        held = isinstance(found, BoundedHistogram)
        return found.counts.astype(np.float64) if held else np.zeros(BINS + 1)  # type: ignore[union-attr]  # held says so

    def missing(self, series: str, reasons: Sequence[str]) -> Floats:
        """A number."""
        found = None if self.row is None else self.row.summaries.get(series)
        words = {} if found is None else found.missing.words
        return np.asarray(float(sum(words.get(reason, 0) for reason in reasons)))


@dataclass(frozen=True, slots=True)
class StackCounts:
    """The counts of many rows, each put where `places` says among `size`."""

    stacks: Stacks | None
    places: tuple[int, ...]
    size: int

    def counts(self, series: str) -> Floats:
        """[size, bins]."""
        if self.stacks is not None and self.places == tuple(range(self.size)):
            return self.stacks.counts(series)
        made = np.zeros((self.size, BINS + 1))
        if self.stacks is not None:
            _add_at(made, self.places, self.stacks.counts(series))
        return made

    def missing(self, series: str, reasons: Sequence[str]) -> Floats:
        """[size]."""
        made = np.zeros(self.size)
        if self.stacks is not None:
            _add_at(made, self.places, self.stacks.missing(series, reasons))
        return made


def _add_at(made: Floats, places: tuple[int, ...], values: Floats) -> None:
    if len(set(places)) == len(places):
        made[list(places)] += values
    else:  # an arm of several models has several rows a pane
        np.add.at(made, list(places), values)


@dataclass(frozen=True, slots=True)
class Frame:
    """The support points of a sample and the range of the variable that each belongs to."""

    values: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True, slots=True)
class Sides:
    """The two arms: control and candidate of a split, or control (unused) and their pairs."""

    control: Counted
    candidate: Counted


def worst_of(good: str, end: End) -> float:
    """The score that a failed call counts as."""
    return float((good == "low") == (end == "worst"))


def filled_counts(row: Row, metric: str, failed_as: float) -> Floats:
    """The counts of a metric [bins] with failed calls as one score."""
    return _filled(RowCounts(row), metric, failed_as)


def _filled(side: Counted, metric: str, failed_as: float) -> Floats:
    # Of objectives what failed calls have is known, and does not count.
    counts, void = side.counts(metric), side.counts(beside(metric, FAILED))
    filled: Floats = counts - void
    filled[..., round(failed_as * BINS)] += void.sum(-1) + side.missing(metric, FAILURES)
    return filled


def failed_calls(row: Row | None, metric: str) -> float:
    """How many failed calls count in a metric."""
    void = None if row is None else row.summaries.get(beside(metric, FAILED))
    return float(RowCounts(row).missing(metric, FAILURES)) + (void.n if void is not None else 0)


@cache
def split_frame(share: float, centre: float) -> Frame:
    """Of a candidate with this share of both arms' calls."""
    low = -max(centre / share, (1 - centre) / (1 - share))
    high = max((1 - centre) / share, centre / (1 - share))
    values = np.concatenate([-(GRID - centre) / (1 - share), (GRID - centre) / share])
    return Frame(values, np.full(len(values), low), np.full(len(values), high))


def split_counts(sides: Sides, metric: str, good: str, end: End) -> Floats:
    """The counts of both arms, control first, with failures at one end."""
    parts = []
    for side in (sides.control, sides.candidate):
        named = beside(metric, "best") if end == "best" else metric
        if not side.counts(named).any():  # only units keep a series of their own for the best end
            named = metric
        parts.append(_filled(side, named, worst_of(good, end)))
    return np.concatenate(parts, -1)


@cache
def paired_frame(good: str, end: End, one_sided: bool) -> Frame:
    """Differences; then pairs whose control, whose candidate and whose both sides failed.

    A series that has no scores of one side alone (a win) is lost or won by who failed.
    """
    if one_sided:
        fail = worst_of(good, end)
        alone = (GRID - fail, fail - GRID)
    else:
        won = np.full(BINS + 1, 1.0 if end == "worst" else -1.0)
        alone = (won, -won)
    values = np.concatenate([2 * GRID - 1, *alone, [0.0]])
    return Frame(values, np.full(len(values), -1.0), np.full(len(values), 1.0))


def paired_counts(sides: Sides, metric: str, one_sided: bool) -> Floats:
    """The counts of pairs, in the order of the frame."""
    held = sides.candidate
    parts = [held.counts(metric)]
    for reason in (CONTROL_FAILED, CANDIDATE_FAILED):
        if one_sided:
            parts.append(held.counts(beside(metric, reason)))
        else:
            lost = held.missing(metric, (reason,))
            parts.append(np.where(np.arange(BINS + 1) == 0, lost[..., None], 0.0))
    parts.append(held.missing(metric, (BOTH_FAILED,))[..., None])
    return np.concatenate(parts, -1)


def join_frames(frames: Sequence[Frame]) -> Frame:
    """Several frames of one mean side by side: the epochs of a share."""
    parts = zip(*((one.values, one.lower, one.upper) for one in frames), strict=True)
    return Frame(*(np.concatenate(part) for part in parts))


def mean_of(row: Row | None, metric: str, failed_as: float | None) -> tuple[float, float]:
    """An arm's mean and number of calls from the exact sums, failures counted as one score."""
    found = None if row is None else row.summaries.get(metric)
    if found is None:
        return float("nan"), 0.0
    total, n = (found.mean() or 0.0) * found.n, float(found.n)
    if failed_as is not None:
        void = row.summaries.get(beside(metric, FAILED)) if row is not None else None
        if void is not None:
            total, n = total - (void.mean() or 0.0) * void.n, n - void.n
        failed = failed_calls(row, metric)
        total, n = total + failed * failed_as, n + failed
    return (total / n if n else float("nan")), n

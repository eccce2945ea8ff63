"""Which targets no other one beats in quality and in an amount (cost, latency) at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.buckets import Floats
from suites.analysis.measured import spread
from suites.analysis.overall import Levels, amount_draws
from suites.analysis.tables import Table
from suites.analysis.weights import Weighing
from suites.intervals import Figure


@dataclass(frozen=True, slots=True)
class Point:
    """One target: its quality and its mean amount, and whether it lies on the front.

    `beaten_by` are the targets that are better in both in at least 1 - alpha of the draws: what
    is off the front without such a one may be there by chance.
    """

    target: str
    quality: Figure
    amount: Figure
    front: bool
    beaten_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Front:
    """Quality against one amount, points by rising amount."""

    amount: str
    unit: str
    points: tuple[Point, ...]


def fronts(table: Table, levels: Levels, weighing: Weighing) -> tuple[Front, ...]:
    """The fronts of cost and latency, of targets that state them; two of these make a front."""
    quality = levels.dimension("quality")
    found = []
    for name in ("cost", "latency") if quality is not None else ():
        column = table.columns.get(name)
        amounts = amount_draws(table, weighing, name) if column is not None else None
        if quality is None or column is None or amounts is None:
            continue
        stated = [at for at in range(len(table.targets)) if np.isfinite(amounts[0, at])]
        if len(stated) > 1:
            missing = [int(column.missing[at].sum()) for at in stated]
            points = _points(table, name, stated, quality, amounts, missing, weighing.alpha)
            found.append(Front(name, column.metric.unit, points))
    return tuple(found)


def _points(
    table: Table,
    name: str,
    stated: Sequence[int],
    quality: Floats,
    amounts: Floats,
    missing: Sequence[int],
    alpha: float,
) -> tuple[Point, ...]:
    points = []
    for at, lost in sorted(zip(stated, missing, strict=True), key=lambda one: amounts[0, one[0]]):
        others = [other for other in stated if other != at]
        above = [_beats(quality[0], amounts[0], other, at) for other in others]
        sure = [
            table.targets[other]
            for other in others
            if np.mean(
                (quality[1:, other] > quality[1:, at]) & (amounts[1:, other] < amounts[1:, at])
            ) >= 1 - alpha
        ]  # fmt: skip
        n = int(table.asked[at].sum())
        points.append(Point(
            table.targets[at], spread("quality", quality[:, at], n, alpha),
            spread(name, amounts[:, at], n - lost, alpha, lost), not any(above), tuple(sure),
        ))  # fmt: skip
    return tuple(points)


def _beats(quality: Floats, amounts: Floats, one: int, other: int) -> bool:
    """Nowhere worse, somewhere better."""
    no_worse = quality[one] >= quality[other] and amounts[one] <= amounts[other]
    better = quality[one] > quality[other] or amounts[one] < amounts[other]
    return bool(no_worse and better)

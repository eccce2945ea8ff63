"""Two targets side by side, of one run or of two: paired differences with their intervals."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.catalog import Metric, metric_named
from agent.errors import BadConfig
from suites.analysis.measured import spread
from suites.analysis.overall import Levels
from suites.analysis.series import Change
from suites.analysis.tables import Table, flags
from suites.analysis.weights import DIMENSIONS, Weighing
from suites.intervals import Figure, difference
from suites.record import Item, Outcome, Run
from suites.values import values_of


@dataclass(frozen=True, slots=True)
class Contrast:
    """Ours minus theirs: of the overall score, a dimension, or a metric of a task in its unit.

    `ours_mean` and `theirs_mean` are over the items that count on both sides. `better` names the
    target that the interval puts ahead, "" where it holds 0 or no end of the metric is good.
    """

    ours: str
    theirs: str
    kind: str
    name: str
    task: str
    unit: str
    difference: Figure
    ours_mean: float
    theirs_mean: float
    better: str

    @property
    def label(self) -> str:
        """The name, and that a share of flagged answers stands for the metric where it does."""
        share = self.kind == "metric" and flags(metric_named(self.name))
        return f"{self.name}, share flagged" if share else self.name

    @property
    def undecided(self) -> str:
        """Why nobody is `better`, in words."""
        alike = self.difference.lower <= 0 <= self.difference.upper
        return "not told apart" if alike else "differs, neither end is good"


def contrasts(
    run: Run, table: Table, levels: Levels, ours: str, theirs: str, weighing: Weighing,
    wanted: Collection[tuple[str, str]] | None = None,
) -> tuple[Contrast, ...]:  # fmt: skip
    """Overall, dimensions, and the metrics that both targets have: all, or those that are wanted
    by task and name."""
    a, b = table.targets.index(ours), table.targets.index(theirs)
    n = int((table.asked[a] & table.asked[b]).sum())
    found = []
    drawn = [("overall", "overall", levels.overall())]
    drawn += [("dimension", name, levels.dimension(name)) for name in DIMENSIONS]
    for kind, name, draws in drawn:
        if draws is not None:
            figure = spread(name, draws[:, a] - draws[:, b], n, weighing.alpha)
            better = ours if figure.lower > 0 else theirs if figure.upper < 0 else ""
            means = float(draws[0, a]), float(draws[0, b])
            found.append(Contrast(ours, theirs, kind, name, "", "score", figure, *means, better))
    for task in table.tasks:
        for column in table.columns.values():
            if wanted is not None and (task, column.metric.name) not in wanted:
                continue
            one = _metric(run.outcomes[a], run.outcomes[b], table, column.metric, task, weighing)
            found += [one] if one is not None else []
    return tuple(found)


def _metric(
    ours: Outcome, theirs: Outcome, table: Table, row: Metric, task: str, weighing: Weighing
) -> Contrast | None:
    places, metric = np.flatnonzero(table.counted(row, task)).tolist(), row.name
    told = table.blocks, flags(row)  # shares of flagged answers are compared, as everywhere
    figure = difference(metric, ours, theirs, weighing.seed, places, weighing.alpha, *told)
    if not figure.n:
        return None
    a, b = (values_of(one, metric, places, *told) for one in (ours, theirs))
    held = a.counted & b.counted
    mine, other = a.worst[held], b.worst[held]
    good, unit = row.good, row.unit
    names = (ours.target, theirs.target)
    up, down = names if good == "high" else names[::-1]
    better = "" if good == "none" else up if figure.lower > 0 else down if figure.upper < 0 else ""
    means = float(mine.mean()), float(other.mean())
    return Contrast(ours.target, theirs.target, "metric", metric, task, unit, figure, *means,
                    better)  # fmt: skip


def merged(ours: Run, theirs: Run, prefix: str) -> Run:
    """Both runs as one over the items that they share, targets of the other run prefixed.

    Items are the same when id, task, prompt and reference are. Raises BadConfig when none is.
    """
    places = {_key(item): at for at, item in enumerate(theirs.items)}
    shared = [(at, places[key]) for at, item in enumerate(ours.items)
              if (key := _key(item)) in places]  # fmt: skip
    if not shared:
        raise BadConfig("compare", f"no item of {theirs.name} is one of {ours.name}")
    mine, other = [at for at, _ in shared], [at for _, at in shared]
    outcomes = [_chosen(one, mine) for one in ours.outcomes]
    for one in theirs.outcomes:
        outcomes.append(replace(_chosen(one, other), target=f"{prefix}{one.target}"))
    return replace(ours, items=tuple(ours.items[at] for at in mine), outcomes=tuple(outcomes))


def _key(item: Item) -> tuple[str, str, str | None, str | None]:
    return item.call.id, item.task, item.call.prompt, item.call.reference


def _chosen(outcome: Outcome, places: Sequence[int]) -> Outcome:
    scores = {name: tuple(row[at] for at in places) for name, row in outcome.scores.items()}
    return replace(outcome, calls=tuple(outcome.calls[at] for at in places), scores=scores)


def comparable(
    contrasts: Sequence[Contrast], levels: Levels, changes: Sequence[Change]
) -> tuple[Contrast, ...]:
    """The contrasts that rest on no changed metric."""
    changed = {(one.task, one.metric) for one in changes}
    return tuple(
        one
        for one in contrasts
        if not changed & ({(one.task, one.name)} if one.task else levels.rests_on(one.name))
    )

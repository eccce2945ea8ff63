"""One score a target from many metrics, and how sure it is.

A dimension is the mean over tasks of the mean over the metrics that count in a task; the overall
score is the mean of the dimensions by weight. Items are drawn again with replacement inside every
task, an item with its changed twins and the same draw for every target (a paired, stratified
bootstrap: Efron and Tibshirani 1993, 8.3), so that differences have intervals too. For what was not
seen every target has one imagined item more of right and wrong, and of scores where items are few.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.buckets import Floats
from agent.catalog import Dimension, Metric, metric_named
from suites.analysis.tables import Column, Table
from suites.analysis.weights import DIMENSIONS, Weighing
from suites.intervals import FEWEST

OVERALL = "overall"
# Of what the record states these count by themselves: the other amounts are parts of the latency,
# and a call that failed counts in quality already, as the worst answer.
_AMOUNTS, _UNCOUNTED = ("latency", "cost"), ("error",)
# A task is one of right and wrong where one of these is meant for that share of its items.
_RIGHT, _MOST = ("code_tests_pass", "intent_match", "number_match", "choice_match"), 0.9
# Metrics that only items of attacks have: refusing these is right, and no answer to them good.
ATTACKS = ("jailbreak_success", "secret_leaked")
_CHUNK = 100  # draws at once: the weights of all would fill the memory of a small machine


@dataclass(frozen=True, slots=True)
class Part:
    """One metric in one task: its goodness [1 + draws, targets], the first row as it was seen."""

    dimension: Dimension
    task: str
    metric: str
    levels: Floats


@dataclass(frozen=True, slots=True)
class Levels:
    """What the parts come to; `weights` are those of the measured dimensions and sum to 1."""

    targets: tuple[str, ...]
    parts: tuple[Part, ...]
    weights: dict[Dimension, float]
    notes: tuple[str, ...]

    def dimension(self, name: Dimension, without: Collection[str] = ()) -> Floats | None:
        """[1 + draws, targets], or None where nothing measures it."""
        tasks: dict[str, list[Floats]] = {}
        for part in self.parts:
            if part.dimension == name and part.metric not in without:
                tasks.setdefault(part.task, []).append(part.levels)
        if not tasks:
            return None
        mean: Floats = np.mean([np.mean(its, axis=0) for its in tasks.values()], axis=0)
        return mean

    def overall(self, without: Collection[str] = ()) -> Floats | None:
        """[1 + draws, targets] with some dimensions or metrics left out, None where none is left.

        The weight of what is left out or not measured goes to the other dimensions.
        """
        held = [
            (weight, levels)
            for name, weight in self.weights.items()
            if name not in without and (levels := self.dimension(name, without)) is not None
        ]
        total = sum(weight for weight, _ in held)
        if total <= 0:
            return None
        mixed: Floats = np.sum([weight / total * levels for weight, levels in held], axis=0)
        return mixed

    def rests_on(self, name: str) -> set[tuple[str, str]]:
        """The tasks and metrics that a dimension, or the overall score, is made of."""
        return {
            (part.task, part.metric)
            for part in self.parts
            if name == part.dimension or (name == OVERALL and part.dimension in self.weights)
        }


def levels_of(table: Table, weighing: Weighing, own: int | None = None) -> Levels:
    """The parts of every dimension, drawn again and again.

    Only the first `own` targets, if so many are told, make goals and say what counts; the others
    are those of an earlier run.
    """
    notes: list[str] = []
    parts: list[Part] = []
    wanted = [
        (dimension, task, metric)
        for task in table.tasks
        for dimension in DIMENSIONS
        for metric in counting(table, task, dimension, weighing, own)
    ]
    means = _means(table, weighing, [(task, metric) for _, task, metric in wanted])
    for (dimension, task, metric), mean in zip(wanted, means, strict=True):
        levels = _level(metric_named(metric), mean, weighing, own)
        if np.isnan(levels[0]).any():
            empty = [name for name, no in zip(table.targets, np.isnan(mean[0]), strict=True) if no]
            notes.append(f"{metric} of {task} does not count: no value of {', '.join(empty)}")
        else:
            steady = _humble(table, task, metric, _steady(levels), weighing.seed + len(parts))
            parts.append(Part(dimension, task, metric, steady))
    measured = {part.dimension for part in parts}
    weights = {name: w for name, w in weighing.weights.items() if name in measured and w > 0}
    total = sum(weights.values()) or 1.0
    notes += [
        f"{name} is not measured: its weight of {weight:g} is spread over the other dimensions"
        for name, weight in weighing.weights.items()
        if weight > 0 and name not in measured
    ]
    shares = {name: weight / total for name, weight in weights.items()}
    return Levels(table.targets, tuple(parts), shares, tuple(notes))


def counting(
    table: Table, task: str, dimension: Dimension, weighing: Weighing, own: int | None = None
) -> list[str]:
    """The metrics that count for a dimension in a task; `own` is that of `levels_of`.

    Named ones alone where the suite names any of the dimension. Otherwise, of quality: right or
    wrong where the references are choices or numbers; else what compares with a reference; else
    what a model says of the answer; else what rules say of its form. Of efficiency:
    latency and cost, where there is a goal or another target to stand beside.
    """
    mine = [c for c in table.columns.values() if c.metric.dimension == dimension]
    here = [c for c in mine if c.meant[:, table.counted(c.metric, task)].any()]
    here = [
        c for c in here if c.metric.good != "none" and c.metric.text not in ("prompt", "contexts")
    ]
    named = [c for c in here if c.metric.name in weighing.metrics]
    if any(metric_named(name).dimension == dimension for name in weighing.metrics):
        return [c.metric.name for c in named]
    if dimension == "quality":
        return [c.metric.name for c in _substance(table, task, here)]
    if dimension == "efficiency":
        return [c.metric.name for c in here if _fits(c.metric, table, weighing, own)]
    return [c.metric.name for c in here]


def _fits(metric: Metric, table: Table, weighing: Weighing, own: int | None) -> bool:
    if metric.kind != "amount":
        return metric.name not in _UNCOUNTED
    if metric.name in weighing.goals:
        return True
    return metric.name in _AMOUNTS and len(table.targets[:own]) > 1


def _substance(table: Table, task: str, columns: Sequence[Column]) -> list[Column]:
    """The metrics of quality that say most of the answers of a task."""
    by_name = {c.metric.name: c for c in columns}
    if any(name in table.columns and _share(table, task, name) > 0.5 for name in ATTACKS):
        return []
    for name in _RIGHT:
        column = by_name.get(name)
        if column is not None:
            if _share(table, task, name) >= _MOST:
                return [column, *(c for c in columns if _stands_beside(c.metric))]
            columns = [c for c in columns if c is not column]
    tests: tuple[Callable[[Metric], bool], ...] = (
        lambda m: "reference" in m.text or "contexts" in m.text,
        lambda m: m.cost not in ("rule", "record"),
        lambda m: True,
    )
    return next((f for test in tests if (f := [c for c in columns if test(c.metric)])), [])


def _share(table: Table, task: str, name: str) -> float:
    """For how many of the items of a task a metric is meant."""
    column = table.columns[name]
    return float(column.meant[:, table.counted(column.metric, task)].mean())


def _stands_beside(metric: Metric) -> bool:
    """Whether a metric says something else than right or wrong: the documents, the customer."""
    return "contexts" in metric.text or metric.name == "satisfaction"


def _level(metric: Metric, mean: Floats, weighing: Weighing, own: int | None) -> Floats:
    """The goodness of means [1 + draws, targets]; of an amount goal / mean, at most 1.

    Without a goal the smallest mean of the same draw is one: half the score is twice the amount.
    What is none of the run's own may then be above 1: at 1 no target could become worse than it.
    """
    if metric.kind != "amount":
        return mean
    goal = weighing.goals.get(metric.name)
    least = np.full((len(mean), 1), goal) if goal else mean[:, :own].min(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        level: Floats = np.where(mean > 0, least / mean, mean + 1.0)
    return np.minimum(1.0, level) if goal else level


def _steady(levels: Floats) -> Floats:
    """A draw without any value of a sparse metric says what was seen, no more."""
    return np.where(np.isnan(levels), levels[:1], levels)


def _humble(table: Table, task: str, metric: str, levels: Floats, seed: int) -> Floats:
    """Draws say nothing of what was not seen: of answers all right, or of one item, all are alike.

    So each has a share Beta(1, blocks) of a level Beta(1/2, 1/2) of the target's own, which makes
    that of answers all right the posterior of a share under Jeffreys' prior. Scores and amounts,
    whose spread is seen, have it only below `FEWEST` blocks in the run.
    """
    column = table.columns[metric]
    here, size = table.counted(column.metric, task), len(levels) - 1
    rng, made = np.random.default_rng((seed, len(levels))), levels.copy()
    for at, row in enumerate(column.values if column.goodness is None else column.goodness):
        there = ~np.isnan(row)
        flags_alone = bool(np.isin(row[here & there], (0.0, 1.0)).all())
        n = len(np.unique(table.blocks[there & here] if flags_alone else table.blocks[there]))
        if flags_alone or n < FEWEST:
            made[1:, at] += rng.beta(1, n, size) * (rng.beta(0.5, 0.5, size) - made[1:, at])
    return made


def _means(table: Table, weighing: Weighing, wanted: Sequence[tuple[str, str]]) -> list[Floats]:
    """The mean of every (task, metric) as seen and in every draw, [1 + draws, targets]."""
    found: dict[tuple[str, str], list[Floats]] = {one: [] for one in wanted}
    for number, task in enumerate(table.tasks):
        metrics = [metric for its, metric in wanted if its == task]
        rng = np.random.default_rng((weighing.seed, number))
        for chunk in _draws(table, task, weighing.draws, rng):
            for metric in metrics:
                found[task, metric].append(_weighted(table, task, table.columns[metric], chunk))
    return [np.concatenate(found[one]) for one in wanted]


def amount_draws(table: Table, weighing: Weighing, metric: str) -> Floats | None:
    """The mean amount of a call in every draw, [1 + draws, targets]; None where none is stated."""
    meant = table.columns[metric].meant
    tasks = [task for task in table.tasks if meant[:, table.within(task)].any()]
    sizes = np.array([table.within(task).sum() for task in tasks], dtype=np.float64)
    if not tasks:
        return None
    means = _means(table, weighing, [(task, metric) for task in tasks])
    mixed: Floats = np.tensordot(sizes / sizes.sum(), np.stack([_steady(m) for m in means]), 1)
    return mixed


def _draws(table: Table, task: str, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often every item of a task is drawn, [draws at once, items]; first each once."""
    _, block = np.unique(table.blocks[table.within(task)], return_inverse=True)
    yield np.ones((1, len(block)))
    count = int(block.max()) + 1
    for first in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - first)
        yield rng.multinomial(count, np.full(count, 1 / count), size)[:, block].astype(np.float64)


def _weighted(table: Table, task: str, column: Column, weights: Floats) -> Floats:
    goodness = column.values if column.metric.kind == "amount" else column.goodness
    assert goodness is not None  # what counts has a good end
    within = table.within(task)
    values = np.where(table.counted(column.metric, task), goodness, np.nan)[:, within]
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = (weights @ np.where(there, values, 0.0).T) / (weights @ there.T)
    return mean

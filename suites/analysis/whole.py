"""All that a run says, in one piece: what the report draws and what the JSON holds."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from agent.buckets import Floats
from agent.catalog import METRICS, Dimension
from agent.errors import BadConfig
from agent.record import UNASKED
from suites.analysis.ablation import Ablation, ablations, order_of
from suites.analysis.advice import Advice, advice_of
from suites.analysis.claims import Claim, claims_of
from suites.analysis.clusters import Clusters, Embed, clusters_of
from suites.analysis.comparison import Contrast, comparable, contrasts, merged
from suites.analysis.failures import Example, Share, failures_of
from suites.analysis.measured import spread
from suites.analysis.overall import Levels, counting, levels_of
from suites.analysis.pareto import Front, fronts
from suites.analysis.series import changes_of
from suites.analysis.tables import Table, flags, table_of
from suites.analysis.weights import DIMENSIONS, Weighing
from suites.groups import Gap, group_gaps
from suites.intervals import Figure, figure
from suites.record import Run
from suites.segments import Part, parts_of

# Where the distribution of the latency is kept: enough for a curve.
_QUANTILES = (0.0, 0.01, *(round(0.05 * at, 2) for at in range(1, 20)), 0.99, 1.0)
_FEW = 30
_PLACE = {metric.name: place for place, metric in enumerate(METRICS)}


@dataclass(frozen=True, slots=True)
class Standing:
    """One target: `overall` is None where nothing counts; `ranks` are the best and the worst that
    the intervals leave open."""

    target: str
    model: str
    overall: Figure | None
    dimensions: dict[Dimension, Figure]
    ranks: tuple[int, int]
    statuses: dict[str, int]
    measures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one target in one task. `flagged`: the figure is the share of answers at the
    threshold or above. `counts` in the overall score; `reasons` says why values are absent."""

    target: str
    task: str
    dimension: Dimension
    metric: str
    unit: str
    good: str
    flagged: bool
    counts: bool
    figure: Figure
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class Latency:
    """The latencies of a target in seconds at the quantiles `at`."""

    target: str
    n: int
    at: tuple[float, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """Rows of a data set that are no item."""

    task: str
    reason: str
    n: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a run says; targets from the best to the worst.

    `before` is each target beside itself in an earlier run, where one was compared with.
    """

    name: str
    began: float
    digest: str
    alpha: float
    weights: dict[Dimension, float]
    items: dict[str, int]
    twins: int
    rejected: tuple[Lost, ...]
    standings: tuple[Standing, ...]
    metrics: tuple[Measured, ...]
    contrasts: tuple[Contrast, ...]
    latencies: tuple[Latency, ...]
    fronts: tuple[Front, ...]
    ablations: tuple[Ablation, ...]
    shares: tuple[Share, ...]
    examples: tuple[Example, ...]
    clusters: Clusters
    claims: tuple[Claim, ...]
    advice: tuple[Advice, ...]
    parts: tuple[Part, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]
    before: tuple[Contrast, ...] = ()


def analyse(
    run: Run, weighing: Weighing, embed: Embed | None = None, broken: Collection[str] = ()
) -> Analysis:
    """All of it; without `embed` failed prompts are not grouped. `broken` are targets for which a
    gate is closed.

    Raises BadConfig for a run without targets or items.
    """
    if not run.outcomes or not run.items:
        raise BadConfig("run", f"{run.name} has no targets or no items")
    table = table_of(run)
    levels = levels_of(table, weighing)
    standings = _standings(run, table, levels, weighing.alpha)
    metrics = _metrics(run, table, levels, weighing)
    first, counted = standings[0].target, {(m.task, m.metric) for m in metrics if m.counts}
    beside = tuple(
        one
        for other in standings[1:]
        for one in contrasts(run, table, levels, first, other.target, weighing, counted)
    )
    counts = {task: counting(table, task, "quality", weighing) for task in table.tasks}
    failed = failures_of(run, table, counts, weighing.alpha)
    figures = {(m.target, m.task, m.metric): m.figure for m in metrics}
    again = partial(_figure, run, table, weighing)
    claims = claims_of(table, levels, figures, again, weighing.alpha)
    front, left_out = fronts(table, levels, weighing), ablations(levels, weighing.alpha)
    sizes = Counter(item.task for item in run.items if item.twin is None)
    return Analysis(
        run.name, run.began, run.digest, weighing.alpha, levels.weights, dict(sizes),
        int(table.twins.sum()), tuple(Lost(*key, n) for key, n in run.rejected.items()), standings,
        metrics, beside, _latencies(table), front, left_out, failed.shares, failed.examples,
        clusters_of(run, failed, embed, weighing.seed) if embed else Clusters((), (), 0), claims,
        advice_of(beside, claims, failed.shares, front, left_out, broken),
        tuple(parts_of(run, weighing.alpha)), _gaps(run, weighing),
        (*levels.notes, *_doubts(table, sizes)),
    )  # fmt: skip


def since(run: Run, earlier: Run, weighing: Weighing) -> tuple[Contrast, ...]:
    """Every target beside itself in an earlier run, but for what rests on a changed scorer.

    Amounts of both are held against the goals of this run, so that it scores as it does alone.
    Raises BadConfig where they share no item.
    """
    both = merged(run, earlier, f"{earlier.name}:")
    table = table_of(both)
    levels = levels_of(table, weighing, len(run.outcomes))
    names = [one.target for one in earlier.outcomes]
    found = [
        one
        for outcome in run.outcomes
        if outcome.target in names
        for one in contrasts(
            both, table, levels, outcome.target, f"{earlier.name}:{outcome.target}", weighing
        )
    ]
    return comparable(found, levels, changes_of(run, earlier))


def _gaps(run: Run, weighing: Weighing) -> tuple[Gap, ...]:
    found = (group_gaps(run.items, one, weighing.seed, weighing.alpha) for one in run.outcomes)
    return tuple(gap for some in found for gap in some)


def _standings(run: Run, table: Table, levels: Levels, alpha: float) -> tuple[Standing, ...]:
    overall = levels.overall()
    order = order_of(overall[0]) if overall is not None else list(range(len(table.targets)))
    found = []
    for at in order:
        outcome, n = run.outcomes[at], int(table.asked[at].sum())
        drawn = {name: levels.dimension(name) for name in DIMENSIONS}
        found.append(Standing(
            outcome.target, outcome.model,
            spread("overall", overall[:, at], n, alpha) if overall is not None else None,
            {k: spread(k, d[:, at], n, alpha) for k, d in drawn.items() if d is not None},
            _ranks(overall, at, alpha),
            dict(Counter(call.status if call else UNASKED for call in outcome.calls)),
            dict(outcome.measures),
        ))  # fmt: skip
    return tuple(found)


def _ranks(overall: Floats | None, at: int, alpha: float) -> tuple[int, int]:
    """1 + how many are surely ahead, and all but those surely behind."""
    if overall is None:
        return 1, 1
    gaps = np.delete(overall[1:], at, axis=1) - overall[1:, [at]]
    lower, upper = np.quantile(gaps, [alpha / 2, 1 - alpha / 2], axis=0)
    return 1 + int((lower > 0).sum()), overall.shape[1] - int((upper < 0).sum())


def _metrics(run: Run, table: Table, levels: Levels, weighing: Weighing) -> tuple[Measured, ...]:
    counted = {(part.task, part.metric) for part in levels.parts}
    return tuple(
        measured
        for task in table.tasks
        for name in sorted(table.columns, key=lambda one: _PLACE.get(one, len(_PLACE)))
        for at in range(len(table.targets))
        if (measured := _measured(run, table, at, task, name, (task, name) in counted, weighing))
    )


def _measured(
    run: Run, table: Table, at: int, task: str, name: str, counts: bool, weighing: Weighing
) -> Measured | None:
    column = table.columns[name]
    row, here = column.metric, table.counted(column.metric, task)
    if not column.meant[:, here].any():
        return None
    made = _figure(run, table, weighing, at, task, name)
    return Measured(run.outcomes[at].target, task, row.dimension, name, row.unit, row.good,
                    flags(row), counts, made, dict(made.missing))  # fmt: skip


def _figure(
    run: Run, table: Table, weighing: Weighing, at: int, task: str, name: str, together: int = 1
) -> Figure:
    row = table.columns[name].metric
    places = np.flatnonzero(table.counted(row, task)).tolist()
    return figure(
        name, run.outcomes[at], weighing.seed, places, weighing.alpha, table.blocks, flags(row),
        together,
    )  # fmt: skip


def _latencies(table: Table) -> tuple[Latency, ...]:
    column = table.columns.get("latency")
    found = []
    for target, row in zip(table.targets, column.values if column else (), strict=False):
        values = row[~np.isnan(row)]
        if len(values):
            seconds = tuple(float(s) for s in np.quantile(values, _QUANTILES))
            found.append(Latency(target, len(values), _QUANTILES, seconds))
    return tuple(found)


def _doubts(table: Table, sizes: Mapping[str, int]) -> list[str]:
    doubts = [
        f"{task} has {n} items: below {_FEW} the intervals of scores are rough"
        for task, n in sizes.items()
        if n < _FEW
    ]
    for target, asked in zip(table.targets, table.asked, strict=True):
        if not asked.all():
            doubts.append(f"{target} was not asked {int((~asked).sum()):,} of {asked.size:,} items")
    return doubts

"""One metric of a service over time: in its band, by model, by segment, and what is missing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agent.catalog import metric_named
from agent.experiments import ASIDE
from agent.packing import open_row, read_words
from agent.panes import HOUR_S, MINUTE_S, Group
from agent.stacks import Stacks
from agent.store import Transaction, board, reads
from consumers.server.memory import standing_of
from consumers.server.plots import Curve, Figure, Values, known
from consumers.server.points import QUANTILES, Sheet, quantiles, rolled_up
from consumers.server.stock import Stock
from consumers.server.windows import Stretch, Window, stretch_of
from consumers.server.words import unit_of
from watch.series import WHOLE

# Points of the large picture and of each small one, and how many of those there are at most.
_STEPS, _SMALL, _MODELS = 360, 120, 12
# A step has so many values in the mean, or there are fewer steps, but not fewer than these.
_VALUES, _FEWEST = 20, 12
# Parts of the calls are read of the last day of a window, in whole hours.
_PARTS_S = 24 * HOUR_S
_PARTS = 40

# Service, model, variant; "" is all.
Whom = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Segment:
    """The calls of one value of a segment key."""

    name: str
    n: int
    value: float | None


@dataclass(frozen=True, slots=True)
class View:
    """What is watched of a metric, and how that stands."""

    view: str
    state: str
    mean: float | None
    lower: float | None
    upper: float | None
    calls: int


@dataclass(frozen=True, slots=True)
class Detail:
    """One metric of a service, or of a model and variant of it; `others` are all of these that have
    calls. Segments and reasons are those since `parts_since` (epoch seconds). It `breaches` where a
    value of 1 is a call that breached an objective, of which `target` should not."""

    service: str
    model: str
    variant: str
    metric: str
    help: str
    unit: str
    good: str
    threshold: float | None
    breaches: bool
    target: float | None
    value: float | None
    n: int
    course: Figure
    volume: Figure
    models: tuple[Figure, ...]
    others: tuple[tuple[str, str], ...]
    watched: tuple[View, ...]
    segments: tuple[Segment, ...]
    missing: dict[str, int]
    parts_since: int


def detail_of(
    stock: Stock, tx: Transaction, window: Window, whom: Whom, metric: str
) -> Detail | None:
    """All of one metric; None where the window has no value of it."""
    there = stretch_of(stock, tx, window, stock.config.panes.width_s)
    if there is None:
        return None
    sheet = stock.memory.points.sheet(tx, there.levels_s, there.start, there.end, _STEPS,
                                       whom[0])  # fmt: skip
    mine = [at for at, group in enumerate(sheet.groups) if _is_of(group, whom)]
    if metric not in sheet.names or not sheet.n[mine, sheet.names.index(metric)].any():
        return None
    row, at = metric_named(metric), sheet.names.index(metric)
    sheet = _filled(sheet, mine, at)
    series = [one for one in stock.memory.series(tx, stock.config) if _watches(one, whom, metric)]
    n, sums = sheet.n[mine, at].sum(), sheet.sums[mine, at].sum()
    since, segments, missing = _parts(tx, there, whom, metric)
    return Detail(
        *whom, metric, row.help, unit_of(row), row.good, row.threshold, *_objective(stock, metric),
        float(sums / n), int(n),
        _course(sheet, _curves(sheet, [mine], metric)[0], metric, series),
        _volume(sheet, mine, at, there.newest), _models(sheet, mine, metric),
        tuple((one.model, one.variant) for one in sheet.groups), _views(series), segments, missing,
        since,
    )  # fmt: skip


def _objective(stock: Stock, metric: str) -> tuple[bool, float | None]:
    held = stock.config.slo.get(metric.removeprefix("slo_"))
    return metric.startswith("slo_"), held.target if metric.startswith("slo_") and held else None


def _filled(sheet: Sheet, mine: list[int], at: int) -> Sheet:
    """By steps that say something: one call is no median, and less of a 95 % quantile."""
    steps = max(_FEWEST, int(sheet.n[mine, at].sum()) // _VALUES)
    return sheet.coarser(-(-len(sheet.at) // steps))


def _is_of(group: Group, whom: Whom) -> bool:
    service, model, variant = whom
    if group.service != service or model not in ("", WHOLE, group.model):
        return False
    return group.variant == variant if variant else not group.variant.startswith(ASIDE)


def _watches(row: dict[str, Any], whom: Whom, metric: str) -> bool:
    service, model, variant = whom
    one = (service, WHOLE, "") if model in ("", WHOLE) else (service, model, variant)
    held = row["service"], row["model"], row["variant"] if one[2] else one[2]
    return held == one and row["metric"] == metric and not row["segment"]


def _views(series: Sequence[dict[str, Any]]) -> tuple[View, ...]:
    parts = ("view", "state", "mean", "lower", "upper", "calls")
    return tuple(View(*(row[part] for part in parts)) for row in series)


def _course(
    sheet: Sheet, curves: tuple[Curve, ...], metric: str, series: Sequence[dict[str, Any]]
) -> Figure:
    lower: Values = ()
    upper: Values = ()
    band = next(iter(standing_of(series).values()), {"lower": None})
    if band["lower"] is not None:
        lower, upper = ((band[end],) * len(sheet.at) for end in ("lower", "upper"))
    return Figure(
        _titled(metric), unit_of(metric_named(metric)), sheet.at, sheet.step_s, curves,
        lower, upper, "baseline band" if lower else "",
    )  # fmt: skip


def _titled(metric: str) -> str:
    unit = unit_of(metric_named(metric))
    said = {"share": "share of calls", "ratio": "0 to 1"}.get(unit, unit)
    return f"{metric} ({said})"


def _curves(sheet: Sheet, sets: Sequence[list[int]], metric: str) -> list[tuple[Curve, ...]]:
    """The lines of some sets of groups."""
    if metric in QUANTILES:
        amounts, table = sheet.histogram(metric)
        held = [table[some].sum(0) for some in sets]
        return [
            tuple(
                Curve(f"p{round(100 * q)}", known(quantiles(amounts, one, q).tolist()))
                for q in (0.5, 0.95)
            )
            for one in held
        ]
    at = sheet.names.index(metric)
    with np.errstate(invalid="ignore"):
        means = [sheet.sums[some, at].sum(0) / sheet.n[some, at].sum(0) for some in sets]
    return [(Curve("mean", known(one.tolist())),) for one in means]


def _volume(sheet: Sheet, mine: list[int], at: int, newest: int) -> Figure:
    rates = tuple((sheet.n[mine, at].sum(0) / sheet.lasted_s(newest)).tolist())
    lines = (Curve("values", rates),)
    return Figure("Values a second", "", sheet.at, sheet.step_s, lines, axis=(0.0, 0.0))


def _models(sheet: Sheet, mine: list[int], metric: str) -> tuple[Figure, ...]:
    """The same for each of several models."""
    if len(mine) < 2:
        return ()
    sheet = sheet.coarser(-(-len(sheet.at) // _SMALL))
    places = sorted(mine, key=lambda one: -sheet.calls[one].sum())[:_MODELS]
    curves, unit = (
        _curves(sheet, [[place] for place in places], metric),
        unit_of(metric_named(metric)),
    )
    found = [
        Figure(_named(sheet.groups[place]), unit, sheet.at, sheet.step_s, lines)
        for place, lines in zip(places, curves, strict=True)
    ]
    held = [v for one in found for line in one.curves for v in line.values if v is not None]
    return tuple(replace(one, axis=(min(held), max(held))) for one in found)


def _named(group: Group) -> str:
    return group.model if group.variant == "production" else f"{group.model}, {group.variant}"


def _parts(
    tx: Transaction, there: Stretch, whom: Whom, metric: str
) -> tuple[int, tuple[Segment, ...], dict[str, int]]:
    """Since when, the segments, and how many calls have no value by reason."""
    since = max(there.start, there.newest - _PARTS_S) // HOUR_S * HOUR_S
    levels_s = sorted({HOUR_S, MINUTE_S, there.levels_s[-1]}, reverse=True)
    rows = [
        (group, blob)
        for source, closed in reads.closed_times(tx).items()
        for level_s, span in rolled_up(levels_s, (since, there.end), closed)
        for _, group, _, blob in board.panes_of(tx, source, level_s, span, whom[0])
        if _is_of(group, whom)
    ]
    n, sums, missing = Counter[str](), Counter[str](), Counter[str]()
    for layer in Stacks([open_row(blob) for _, blob in rows]).layers:
        if metric not in layer.names:
            continue
        at = layer.names.index(metric)
        for place, count, total, words in zip(
            layer.places.tolist(), layer.heads["n"][:, at].tolist(), layer.sums[:, at].tolist(),
            layer.missing(at), strict=True,
        ):  # fmt: skip
            segment = rows[place][0].segment
            n[segment] += count
            sums[segment] += total
            if not segment and words:
                missing.update(read_words(words))
    names = sorted((name for name in n if name), key=lambda one: (one.partition("=")[0], -n[one]))
    made = (Segment(one, n[one], sums[one] / n[one] if n[one] else None) for one in names[:_PARTS])
    return since, tuple(made), dict(missing.most_common())

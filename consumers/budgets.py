"""Objectives as they are shown: the buckets of the page, its gauges, what `vedette slo` reads."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from agent.catalog import BY_NAME, METRICS
from agent.config import Config
from agent.exposed import Series
from agent.sla import Objective
from agent.store import Store, reads
from consumers.labels import Array, Labels
from watch.burn import read_ring
from watch.pace import Standing, standings

# The gauges that `budget_rows` says all of.
BUDGETS = (
    "vedette_slo_objective_ratio",
    "vedette_slo_burn_rate_ratio",
    "vedette_slo_error_budget_remaining_ratio",
)


def bounds_of(series: Series, slo: Mapping[str, Objective]) -> Array:
    """The upper bounds of a histogram's buckets, with thresholds and the limits of objectives."""
    merged: set[float | None] = {*series.buckets}
    if series.metric:
        merged |= {one.limit for one in slo.values() if one.metric == series.metric}
    elif series.name == "vedette_score_ratio":
        merged |= {row.threshold for row in METRICS}
        merged |= {one.limit for one in slo.values() if BY_NAME[one.metric].kind == "score"}
    return np.array(sorted(bound for bound in merged if bound is not None))


def budget_rows(standing: Iterable[Standing]) -> Iterator[tuple[str, Labels, float]]:
    """Each number with its gauge and labels; what has no calls has none."""
    target, burn, remaining = BUDGETS
    for one in standing:
        whose = one.service, one.objective
        yield target, whose, one.target
        rates = [(burn, (*whose, window), rate) for window, rate in one.burn_rates.items()]
        for row in (*rates, (remaining, whose, one.budget_remaining)):
            if row[2] == row[2]:
                yield row


def read_budgets(store: Store, config: Config) -> list[dict[str, Any]]:
    """How every service stands with every objective that has a target, as scripts read it."""
    with store.reading() as tx:
        sources = sorted(reads.closed_times(tx))
        rings = [(source, read_ring(tx, config, source)) for source in sources]
    return [
        {"source": source, **as_json(one)}
        for source, ring in rings
        if ring is not None
        for one in standings(ring)
    ]


def as_json(one: Standing) -> dict[str, Any]:
    """A standing as data; null is what is not known."""
    held = asdict(one) | {"state": one.state}
    held["burn_rates"] = {window: _known(rate) for window, rate in one.burn_rates.items()}
    return held | {"budget_remaining": _known(one.budget_remaining)}


def _known(number: float) -> float | None:
    return None if number != number else number

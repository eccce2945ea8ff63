"""A model offline and live, side by side: what it scored in a run, and what in closed panes.

Observational: the questions of a dataset are not those of users, so a difference has no verdict.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from abtest.levels import mean_at_worst
from abtest.observational import NO_VERDICT, variant_row
from agent.catalog import BY_NAME
from agent.columns import RECORD_METRICS
from agent.panes import Row
from agent.store import Transaction
from agent.store.experiments import all_panels
from suites.intervals import figure
from suites.record import Outcome, Run
from suites.summary import metrics_of
from suites.twins import blocks_of, places_of

# That of the difference holds if both intervals do.
_ALPHA = 0.05 / 2


@dataclass(frozen=True, slots=True)
class Side:
    """A mean of `n` items or calls, failed ones at the worst end, and its 97.5 % interval."""

    n: int
    mean: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Beside:
    """One metric of one model; the difference is live minus offline, its interval of 95 %.

    Where not the same scorer gave both, `apart` says what did, and there is no difference.
    """

    target: str
    model: str
    metric: str
    offline: Side
    live: Side
    difference: float | None
    lower: float | None
    upper: float | None
    apart: str = ""
    verdict: str = NO_VERDICT

    def as_json(self) -> dict[str, Any]:
        """The pair as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Live:
    """The calls of a variant by model, and what scored each metric by the digest of a panel."""

    rows: Mapping[str, Row]
    panels: Mapping[str, Mapping[str, str]]

    def scorers(self, model: str, metric: str) -> set[str]:
        """What gave a metric of a model's calls, by name and version."""
        seen = (self.panels.get(digest, {}) for digest in self.rows[model].panels.words)
        return {panel[metric] for panel in seen if metric in panel}


def read_live(
    tx: Transaction, run: Run, service: str, variant: str = "production",
    start: float = 0.0, end: float = math.inf,
) -> Live:  # fmt: skip
    """The closed panes of a variant within [start, end) of the models of a run."""
    models = dict.fromkeys(one.model for one in run.outcomes)
    rows = {one: variant_row(tx, service, variant, one, (start, end)) for one in models}
    return Live(rows, all_panels(tx))


def beside(run: Run, live: Live) -> list[Beside]:
    """Every score and flag that a target of the run has and that live calls of its model have.

    The interval of the run is that of a sample of its size, that of the panes holds at every look.
    """
    found = []
    for one in run.outcomes:
        for metric in metrics_of(one):
            if metric in BY_NAME and BY_NAME[metric].kind != "amount":
                pair = _offline(run, one, metric), _live(live.rows[one.model], metric)
                if pair[0] is not None and pair[1] is not None:
                    apart = _apart(run, live, one.model, metric)
                    found.append(_pair(one, metric, pair[0], pair[1], apart))
    return found


def _pair(one: Outcome, metric: str, offline: Side, live: Side, apart: str) -> Beside:
    if apart:
        return Beside(one.target, one.model, metric, offline, live, None, None, None, apart)
    ends = live.lower - offline.upper, live.upper - offline.lower
    return Beside(one.target, one.model, metric, offline, live, live.mean - offline.mean, *ends)


def _apart(run: Run, live: Live, model: str, metric: str) -> str:
    """What gave a metric here and there, "" where it was one scorer, or the record itself."""
    if metric in RECORD_METRICS:
        return ""
    here = {version for (_, name), version in run.scorers.items() if name == metric}
    there = live.scorers(model, metric)
    if len(here) == 1 and here == there:
        return ""
    return f"{' and '.join(sorted(here)) or 'unknown'}, live {' and '.join(sorted(there))}"


def _offline(run: Run, one: Outcome, metric: str) -> Side | None:
    places, blocks = places_of(run.items, metric), blocks_of(run.items)
    made = figure(metric, one, places=places, alpha=_ALPHA, blocks=blocks)
    return Side(made.n, made.mean, made.lower, made.upper) if made.n else None


def _live(row: Row, metric: str) -> Side | None:
    found = mean_at_worst(row, metric, _ALPHA)
    return Side(found.n, found.mean, found.lower, found.upper) if found is not None else None

"""A run as figures: every metric of every task and target, and what became of the calls."""

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from agent.buckets import Ints
from agent.catalog import METRICS, metric_named
from agent.columns import RECORD_METRICS
from agent.record import NOT_MEANT, UNASKED
from suites.analysis.tables import flags, is_metric
from suites.analysis.weights import Weighing
from suites.intervals import Figure, figure
from suites.record import Outcome, Run
from suites.twins import blocks_of, places_of
from suites.values import values_of

_PLACE = {metric.name: place for place, metric in enumerate(METRICS)}


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of what a target made of a task; `flagged` as in `suites.analysis.whole`."""

    task: str
    target: str
    figure: Figure
    flagged: bool = False

    def as_json(self) -> dict[str, Any]:
        """The line as plain data; a number that there is not is null."""
        about = {"task": self.task, "target": self.target, "flagged": self.flagged}
        held = about | asdict(self.figure)
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in held.items()
        }


def lines_of(run: Run, seed: int | None = None) -> list[Line]:
    """Every metric of every task and target that an item has a value in, in catalogue order.

    The figures are those of the report by the same seed; without one, by that of the run.
    """
    blocks = blocks_of(run.items)
    drawn = Weighing.of(run).seed if seed is None else seed
    return [
        line
        for task in dict.fromkeys(item.task for item in run.items)
        for one in run.outcomes
        for metric in metrics_of(one)
        if (line := _line(run, one, task, metric, drawn, blocks)).figure.n or line.figure.missing
    ]


def _line(run: Run, one: Outcome, task: str, metric: str, seed: int, blocks: Ints) -> Line:
    share = is_metric(metric) and flags(metric_named(metric))
    made = figure(metric, one, seed, _places(run, task, metric), blocks=blocks, flagged=share)
    return Line(task, one.target, made, share)


def _places(run: Run, task: str, metric: str) -> list[int]:
    return [at for at in places_of(run.items, metric) if run.items[at].task == task]


def metrics_of(outcome: Outcome) -> list[str]:
    """What the outcome was scored on, and what its calls state, in the order of the catalogue."""
    scored = {
        metric for metric, row in outcome.scores.items() if any(s.why != NOT_MEANT for s in row)
    }
    stated = {one for one in RECORD_METRICS if values_of(outcome, one).counted.any()}
    return sorted(scored | stated, key=lambda metric: (_PLACE.get(metric, len(_PLACE)), metric))


def of_answers(metric: str) -> bool:
    """Whether a metric says something of the answers; others are of the dataset's questions."""
    reads = metric_named(metric).text
    return "response" in reads or reads == "record"


def counts_of(outcome: Outcome) -> dict[str, Any]:
    """How many items were answered, failed, stayed empty, and were not asked, by reason."""
    calls = [call for call in outcome.calls if call is not None]
    unasked: Counter[str] = Counter()
    for at, call in enumerate(outcome.calls):
        if call is None:
            unasked[_why(outcome, at)] += 1
    ok = [call for call in calls if call.status == "ok"]
    return {
        "answered": len(ok),
        "empty": sum(not (call.response or "").strip() for call in ok),
        "failed": dict(Counter(c.error or c.status for c in calls if c.status != "ok")),
        "unasked": dict(unasked),
    }


def _why(outcome: Outcome, at: int) -> str:
    reasons = (row[at].why for row in outcome.scores.values() if row[at].why != NOT_MEANT)
    return next((why for why in reasons if why is not None), UNASKED)

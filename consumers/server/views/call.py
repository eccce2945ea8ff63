"""One call: all that is stored of it, and what candidates answered to the same question."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.catalog import metric_named
from agent.experiments import SHADOW
from agent.store import Transaction, calls
from agent.store.calls import CallRow, Whole
from consumers.cases import badness, metrics_of


@dataclass(frozen=True, slots=True)
class Score:
    """A metric of one call over its sides, each a value or why there is none."""

    metric: str
    unit: str
    values: tuple[float | None, ...]
    whys: tuple[str | None, ...]
    low: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class One:
    """A call and what candidates answered to it, in the order of the values of each score."""

    sides: tuple[Whole, ...]
    scores: tuple[Score, ...]
    control: str | None


def one_of(tx: Transaction, row: CallRow, whole: Whole) -> One:
    """A call beside what candidates answered; a candidate's answer by itself, with whose it is."""
    sides, control = [(row, whole)], None
    if row.variant.startswith(SHADOW):
        held = calls.controls_of(tx, [row]).get(row.key)
        control = held.id if held is not None else None
    else:
        sides += calls.twins_of(tx, row)
    rows = [row for row, _ in sides]
    names = metrics_of(rows)
    names += sorted({name for one in rows for name in one.why} - set(names))
    scores = tuple(_score(name, rows) for name in names)
    return One(tuple(whole for _, whole in sides), scores, control)


def _score(name: str, rows: Sequence[CallRow]) -> Score:
    metric = metric_named(name)
    values = tuple(row.values.get(name) for row in rows)
    bar = None if metric.bar is None else badness(metric, metric.bar)
    low = tuple(
        value is not None and bar is not None and badness(metric, value) >= bar for value in values
    )
    return Score(name, metric.unit, values, tuple(row.why.get(name) for row in rows), low)

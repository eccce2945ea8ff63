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
class Side:
    """All that is stored of one call; texts are redacted, and None unless they are kept."""

    id: str
    at: float
    arrival: float
    service: str
    model: str
    variant: str
    segment: dict[str, str]
    unit: str | None
    session: str | None
    status: str
    error: str | None
    prompt_hash: str | None
    prompt_chars: int | None
    response_hash: str | None
    response_chars: int | None
    topic: str
    partition: int
    offset: int
    prompt: str | None
    response: str | None


@dataclass(frozen=True, slots=True)
class One:
    """A call and what candidates answered to it, in the order of the values of each score."""

    sides: tuple[Side, ...]
    scores: tuple[Score, ...]
    control: str | None


def one_of(tx: Transaction, whole: Whole) -> One:
    """A call beside what candidates answered; a candidate's answer by itself, with whose it is."""
    sides, control = [whole], None
    if whole.row.variant.startswith(SHADOW):
        held = calls.controls_of(tx, [whole.row]).get(whole.row.key)
        control = held.id if held is not None else None
    else:
        sides += calls.twins_of(tx, whole.row)
    names = metrics_of(one.row for one in sides)
    names += sorted({name for one in sides for name in one.row.why} - set(names))
    scores = tuple(_score(name, [one.row for one in sides]) for name in names)
    return One(tuple(map(_side, sides)), scores, control)


def _side(whole: Whole) -> Side:
    row = whole.row
    return Side(
        row.id, row.at, whole.arrival, row.service, row.model, row.variant, row.segment,
        whole.unit, whole.session, row.status, row.why.get("error"), whole.prompt_hash,
        whole.prompt_chars, whole.response_hash, whole.response_chars, whole.topic,
        whole.partition, whole.offset, whole.prompt, whole.response,
    )  # fmt: skip


def _score(name: str, rows: Sequence[CallRow]) -> Score:
    metric = metric_named(name)
    values = tuple(row.values.get(name) for row in rows)
    bar = None if metric.bar is None else badness(metric, metric.bar)
    low = tuple(
        value is not None and bar is not None and badness(metric, value) >= bar for value in values
    )
    return Score(name, metric.unit, values, tuple(row.why.get(name) for row in rows), low)

"""The worst calls by a metric, the pairs that drive a difference, and any one call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from agent.catalog import Metric, metric_named, part_of
from agent.experiments import SHADOW
from agent.store import Transaction, calls, examples
from agent.store.calls import CallRow
from consumers.cases import (
    Alike,
    ErrorKind,
    Gathering,
    Ranked,
    alike,
    errors_of,
    first_metric,
    gatherings_of,
    metrics_of,
    rank,
)
from consumers.server.printing import View
from consumers.server.sheet import Sheet
from consumers.server.stock import Stock
from consumers.server.views.call import One, one_of
from consumers.server.windows import SPANS, Window

# So many rows are looked at for a page, of a day that may have a million.
_NEWEST = 5_000
Texts = Mapping[bytes, tuple[str | None, str | None]]


class Asked(BaseModel):
    """What may be asked of the page."""

    model_config = ConfigDict(extra="ignore")
    window: Window = Field(default="24h", description="How far back, from `until`.")
    until: float | None = Field(
        default=None, ge=0, lt=1e11, description="Epoch seconds; without it the newest call."
    )
    service: str = ""
    model: str = ""
    variant: str = ""
    metric: str = Field(default="", description="Without it what an experiment asks about.")
    most: int = Field(default=12, ge=1, le=200, description="Cases, worst first.")
    id: str = Field(default="", description="One call, and nothing else.")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the calls that were read can be narrowed to."""

    services: tuple[str, ...]
    models: tuple[str, ...]
    variants: tuple[str, ...]
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """What was read: all calls of [since, until], `whole` where that is the window; else older ones
    of it were not read.

    `kept` says that texts are kept, `reservoir` that cases are from the reservoir of examples,
    `without` is the metric that was asked for where no call here has a value of it.
    """

    since: float
    until: float
    calls: int
    whole: bool
    kept: bool
    reservoir: bool
    without: str


@dataclass(frozen=True, slots=True)
class Case:
    """One call and its value; texts are redacted, and None unless they are kept."""

    id: str
    at: float
    service: str
    model: str
    variant: str
    segment: dict[str, str]
    status: str
    value: float
    prompt: str | None
    response: str | None


@dataclass(frozen=True, slots=True)
class Worst:
    """The worst calls by the metric, of `n` that have a value; `low` of them are beyond `bar`.

    The bar is that of the catalogue where it is `named`, and else the worst tenth begins there;
    None where all are alike.
    """

    metric: str
    help: str
    unit: str
    good: str
    n: int
    low: int
    bar: float | None
    named: bool
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Driving:
    """A pair: what production said and what the candidate said to the same question."""

    id: str
    at: float
    model: str
    candidate_model: str
    value: float
    candidate_value: float
    difference: float
    prompt: str | None
    response: str | None
    candidate_response: str | None


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of a candidate that differ most, of `n` that have both values; `mean` of these is
    what was read, not what an experiment says."""

    candidate: str
    n: int
    mean: float
    driving: tuple[Driving, ...]


@dataclass(frozen=True, slots=True)
class Calls:
    """The page; with an id only `one` is there."""

    read: Read | None
    choices: Choices | None
    worst: Worst | None
    errors: tuple[ErrorKind, ...]
    gatherings: tuple[Gathering, ...]
    alike: tuple[Alike, ...]
    pairs: tuple[Pairs, ...]
    one: tuple[One, ...]


def read(stock: Stock, tx: Transaction, asked: Asked) -> Calls:
    """The page's numbers."""
    if asked.id:
        found = tuple(one_of(tx, *one) for one in calls.called(tx, asked.id))
        return Calls(None, None, None, (), (), (), (), found)
    until = asked.until if asked.until is not None else calls.newest_at(tx, stock.clock())
    until = stock.clock() if until is None else until
    since = until - SPANS[asked.window]
    rows = stock.memory.calls.newest(tx, since, until, _NEWEST)
    here = _asked(rows, asked)
    there = metrics_of(here or rows)
    metric = metric_named(_metric(stock, asked.metric, there))
    reservoir = _reservoir(stock, tx, asked, metric, (since, until))
    shown = [row for row in here if asked.variant or not row.variant.startswith(SHADOW)]
    ranked = rank(shown, metric)
    told = _read(stock, asked, rows, (since, until), metric, bool(reservoir))
    texts = calls.texts_of(tx, [row.key for row in ranked.rows[: max(asked.most, 200)]])
    low = ranked.rows[: ranked.low]
    return Calls(
        told, _choices(rows, there),
        _worst(metric, ranked, reservoir or _cases(ranked, metric, texts, asked.most)),
        tuple(errors_of(shown)), tuple(gatherings_of(ranked)),
        tuple(alike(low, {key: one[0] for key, one in texts.items() if one[0]})),
        tuple(_pairs(tx, here, metric, asked.most)), (),
    )  # fmt: skip


def _read(
    stock: Stock, asked: Asked, rows: list[CallRow], span: tuple[float, float], metric: Metric,
    reservoir: bool,
) -> Read:  # fmt: skip
    whole, wanted = len(rows) < _NEWEST, part_of(asked.metric)[0]
    since = span[0] if whole else rows[-1].at
    without = wanted if wanted not in ("", metric.name) else ""
    kept = stock.config.store.text_days > 0
    return Read(since, span[1], len(rows), whole, kept, reservoir, without)


def _asked(rows: list[CallRow], asked: Asked) -> list[CallRow]:
    for name in ("service", "model", "variant"):
        if wanted := getattr(asked, name):
            rows = [row for row in rows if getattr(row, name) == wanted]
    return rows


def _metric(stock: Stock, asked: str, there: Sequence[str]) -> str:
    """The metric that is asked for, which may be the name of a series; else the usual one."""
    name = part_of(asked)[0]
    return name if name in there else first_metric(stock.config, there)


def _choices(rows: Sequence[CallRow], metrics: Sequence[str]) -> Choices:
    held = {(row.service, row.model, row.variant) for row in rows}
    services, models, variants = (tuple(sorted({one[at] for one in held})) for at in range(3))
    return Choices(services, models, variants, tuple(metrics))


def _reservoir(
    stock: Stock, tx: Transaction, asked: Asked, metric: Metric, span: tuple[float, float]
) -> tuple[Case, ...]:
    """The most novel calls of each pane, where they are kept: of all calls, not the newest."""
    drift, name = stock.config.drift, metric.name
    if drift is None or drift.examples is None or name not in examples.NOVELTY:
        return ()
    found = examples.kept(tx, asked.service or stock.config.service, name, *span)
    found = [
        one for one in found
        if asked.model in ("", one.model) and asked.variant in ("", one.variant)
    ]  # fmt: skip
    said = ("text", "") if name.startswith("prompt") else ("", "text")
    return tuple(
        Case(one.id, one.at, asked.service or stock.config.service, one.model, one.variant,
             dict(one.segment), "ok", one.value, *(one.text if part else None for part in said))
        for one in sorted(found, key=lambda one: -one.value)[: asked.most]
    )  # fmt: skip


def _cases(ranked: Ranked, metric: Metric, texts: Texts, most: int) -> tuple[Case, ...]:
    rows = ranked.rows[:most] if ranked.bar is not None else []
    return tuple(
        Case(row.id, row.at, row.service, row.model, row.variant, row.segment, row.status,
             row.values[metric.name], *texts.get(row.key, (None, None)))
        for row in rows
    )  # fmt: skip


def _worst(metric: Metric, ranked: Ranked, cases: tuple[Case, ...]) -> Worst:
    return Worst(metric.name, metric.help, metric.unit, metric.good, len(ranked.rows), ranked.low,
                 ranked.bar, ranked.named, cases)  # fmt: skip


def _pairs(tx: Transaction, rows: Sequence[CallRow], metric: Metric, most: int) -> list[Pairs]:
    """By candidate, of the calls that were read, the pairs that differ most."""
    twins = [row for row in rows if row.variant.startswith(SHADOW) and row.pair is not None]
    controls, name, found = calls.controls_of(tx, twins), metric.name, []
    for variant in sorted({row.variant for row in twins}):
        both = [
            (controls[row.key], row) for row in twins
            if row.variant == variant and row.key in controls
            and name in row.values and name in controls[row.key].values
        ]  # fmt: skip
        if not both:
            continue
        both.sort(key=lambda one: -abs(one[1].values[name] - one[0].values[name]))
        gaps = [twin.values[name] - control.values[name] for control, twin in both]
        texts = calls.texts_of(tx, [row.key for pair in both[:most] for row in pair])
        driving = tuple(_driving(*pair, name, texts) for pair in both[: max(1, most // 2)])
        found.append(Pairs(variant.removeprefix(SHADOW), len(both), sum(gaps) / len(gaps), driving))
    return found


def _driving(control: CallRow, twin: CallRow, name: str, texts: Texts) -> Driving:
    value, other = control.values[name], twin.values[name]
    prompt, response = texts.get(control.key, (None, None))
    return Driving(control.id, control.at, control.model, twin.model, value, other, other - value,
                   prompt, response, texts.get(twin.key, (None, None))[1])  # fmt: skip


CALLS = View(
    "calls", "Calls", "The worst calls by a metric, the pairs that drive a difference, failures.",
    Asked, Calls, read, Sheet(Case, lambda found: found.worst.cases if found.worst else ()),
)  # fmt: skip

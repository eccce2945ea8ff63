"""Runs of suites: what they came to, and two of them side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from agent.errors import BadConfig
from agent.store import Transaction
from agent.store.evaluations import Evaluation
from consumers.server.printing import View
from consumers.server.stock import Stock
from suites.analysis.comparison import Contrast
from suites.analysis.failures import Example, Share
from suites.analysis.pareto import Front
from suites.analysis.weights import Weighing
from suites.analysis.whole import Analysis, Lost, Measured, Standing, analyse, since
from suites.keeping import find_run, read_run, runs_of

_UNTOLD = "the run was kept without the weights and goals of its suite: these are those by default"


class Asked(BaseModel):
    """What may be asked of the page."""

    model_config = ConfigDict(extra="ignore")
    run: str = Field(default="", description="A finished run, SUITE#NUMBER, or SUITE's newest.")
    beside: str = Field(default="", description="Another finished run to compare it with.")


@dataclass(frozen=True, slots=True)
class Row:
    """One run; `finished` is None while answers or scores are missing. Epoch seconds.

    `before` is the finished run of the same suite before it, "" where there is none.
    """

    name: str
    suite: str
    began: float
    finished: float | None
    before: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a run says with the weights of its suite; targets from the best to the worst.

    `contrasts` are the best target minus each other one, `before` each target minus itself in the
    run beside.
    """

    name: str
    began: float
    digest: str
    alpha: float
    weights: dict[str, float]
    items: dict[str, int]
    rejected: tuple[Lost, ...]
    dimensions: tuple[str, ...]
    standings: tuple[Standing, ...]
    metrics: tuple[Measured, ...]
    contrasts: tuple[Contrast, ...]
    fronts: tuple[Front, ...]
    shares: tuple[Share, ...]
    examples: tuple[Example, ...]
    notes: tuple[str, ...]
    beside: str
    before: tuple[Contrast, ...]


@dataclass(frozen=True, slots=True)
class Evaluations:
    """The page; `problem` says why there is no report, or nothing beside it."""

    runs: tuple[Row, ...]
    report: Report | None
    problem: str


def read(stock: Stock, tx: Transaction, asked: Asked) -> Evaluations:
    """The page's numbers."""
    runs = _rows(runs_of(tx))
    if not asked.run:
        return Evaluations(runs, None, "")
    try:
        whole, when = _analysis(stock, tx, asked.run)
    except BadConfig as error:
        return Evaluations(runs, None, str(error))
    if not asked.beside:
        return Evaluations(runs, _report(whole, "", ()), "")
    try:
        other = find_run(tx, asked.beside, "beside")
        key = "since", whole.name, when, other.name, other.finished
        before = stock.memory.concluded(key, lambda: _since(tx, whole.name, other.name))
    except BadConfig as error:
        return Evaluations(runs, _report(whole, "", ()), str(error))
    return Evaluations(runs, _report(whole, other.name, before), "")


def _rows(runs: Sequence[Evaluation]) -> tuple[Row, ...]:
    """The runs, the newest first."""
    last: dict[str, str] = {}
    before: dict[str, str] = {}
    for one in sorted(runs, key=lambda one: one.number):
        before[one.name] = last.get(one.suite, "")
        if one.finished is not None:
            last[one.suite] = one.name
    return tuple(
        Row(one.name, one.suite, one.began, one.finished, before[one.name]) for one in runs
    )


def _analysis(stock: Stock, tx: Transaction, name: str) -> tuple[Analysis, float | None]:
    """What a finished run says: it is concluded once, and anew where the run went on."""
    one = find_run(tx, name)
    key = "run", one.name, one.finished
    return stock.memory.concluded(key, lambda: _analysed(tx, one.name)), one.finished


def _analysed(tx: Transaction, name: str) -> Analysis:
    run = read_run(tx, name)
    found = analyse(run, Weighing.of(run))
    return found if run.weighing else replace(found, notes=(*found.notes, _UNTOLD))


def _since(tx: Transaction, name: str, other: str) -> tuple[Contrast, ...]:
    run = read_run(tx, name)
    return since(run, read_run(tx, other), Weighing.of(run))


def _report(run: Analysis, beside: str, before: tuple[Contrast, ...]) -> Report:
    dimensions = dict.fromkeys(name for one in run.standings for name in one.dimensions)
    return Report(
        run.name, run.began, run.digest, run.alpha, {str(k): v for k, v in run.weights.items()},
        run.items, run.rejected, tuple(dimensions), run.standings, run.metrics, run.contrasts,
        run.fronts, run.shares, run.examples, run.notes, beside, before,
    )  # fmt: skip


EVALUATIONS = View(
    "evaluations", "Evaluations", "Runs of suites: figures with intervals, comparison, Pareto.",
    Asked, Evaluations, read,
)  # fmt: skip

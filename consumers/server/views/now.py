"""What every service and model does now: traffic, scores in their bands, budgets, what rings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from agent.catalog import METRICS, metric_named
from agent.experiments import ASIDE
from agent.panes import MINUTE_S, Group
from agent.store import Transaction, board
from consumers.server.memory import Whose, standing_of
from consumers.server.plots import Values, known
from consumers.server.points import Sheet, quantiles
from consumers.server.printing import View
from consumers.server.stock import Stock
from consumers.server.views.metric import Detail, detail_of
from consumers.server.views.rings import About, Ringing, rings
from consumers.server.views.series import SERIES
from consumers.server.windows import Stretch, Window, stretch_of
from consumers.server.words import unit_of
from watch.series import WHOLE

# A small picture has at most so many points.
_STEPS = 48
# So many findings stand on top.
_ON_TOP = 6
# So long after panes may close a page that has none of them is old.
_QUIET_S = 15 * MINUTE_S
_ORDER = {row.name: at for at, row in enumerate(METRICS)}
# Traffic says the rest of these.
_ELSEWHERE = ("latency", "error")
_PARTS = {"latency p50": 0.5, "latency p95": 0.95}


class Asked(BaseModel):
    """What may be asked of the page."""

    model_config = ConfigDict(extra="ignore")
    window: Window = Field(default="24h", description="Counted back from the newest closed pane.")
    service: str = Field(default="", max_length=256)
    model: str = Field(default="", max_length=256)
    variant: str = Field(default="", max_length=256)
    metric: str = Field(default="", max_length=256, description="With a service: its course.")


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of one column over the window, and over time; `lower` and `upper` are the band
    that it is watched in, and `state` is "" where it is not."""

    value: float | None
    n: int
    over_time: Values
    lower: float | None = None
    upper: float | None = None
    state: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of a service; a cell a column."""

    metric: str
    unit: str
    help: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that belong together."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A model and variant of a service; `*` is the service as a whole."""

    model: str
    variant: str
    calls: int


@dataclass(frozen=True, slots=True)
class Budget:
    """How a service stands with one objective."""

    objective: str
    target: float
    state: str
    remaining: float | None
    calls: int
    breached: int
    burn_rates: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Service:
    """All of one service."""

    name: str
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    budgets: tuple[Budget, ...]


@dataclass(frozen=True, slots=True)
class Now:
    """The page. `at` are the beginnings of the steps that `over_time` goes by; times in epoch
    seconds, `newest` the end of the newest closed pane, None in an empty store; it is `old` where
    calls of later panes would be closed by now, if there were any."""

    newest: int | None
    start: int
    end: int
    step_s: int
    at: tuple[float, ...]
    now: float
    old: bool
    ringing: tuple[Ringing, ...]
    more_ring: int
    services: tuple[Service, ...]
    detail: Detail | None


def read(stock: Stock, tx: Transaction, asked: Asked) -> Now:
    """The page's numbers."""
    there = stretch_of(stock, tx, asked.window)
    about, now = _about(asked), stock.clock()
    ringing = tuple(rings(tx, about, stock.config.slo))
    late_s = stock.config.panes.allowed_lateness_s + _QUIET_S
    old = there is not None and now - there.newest > late_s
    told = now, old, ringing[:_ON_TOP], len(ringing) - len(ringing[:_ON_TOP])
    if there is None:
        return Now(None, 0, 0, 0, (), *told, (), None)
    if about.metric:
        detail = detail_of(stock, tx, asked.window, (asked.service, asked.model, asked.variant),
                           asked.metric)  # fmt: skip
        return Now(there.newest, there.start, there.end, 0, (), *told, (), detail)
    sheet = stock.memory.points.sheet(tx, there.levels_s, there.start, there.end, _STEPS)
    watched = standing_of(stock.memory.series(tx, stock.config))
    board = _Board(sheet, there, watched, sheet.histogram("latency"))
    names = sorted({group.service for group in sheet.groups})
    budgets = list(_budgets(stock, tx))
    services = tuple(
        board.service(name, tuple(one for whose, one in budgets if whose == name))
        for name in names
        if asked.service in ("", name)
    )
    return Now(there.newest, there.start, there.end, sheet.step_s, sheet.at, *told, services, None)


def _about(asked: Asked) -> About:
    """What the page is about: one metric where that and its service are named."""
    alone = asked.service and asked.metric
    return About(asked.service, *((asked.model, asked.metric) if alone else ("", "")))


def _budgets(stock: Stock, tx: Transaction) -> Iterator[tuple[str, Budget]]:
    for one in stock.memory.budgets(tx, stock.config):
        if one.calls:
            yield one.service, Budget(
                one.objective, one.target, one.state, one.budget_remaining, one.calls, one.bad,
                dict(one.burn_rates),
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Board:
    """A sheet on its way to cells."""

    sheet: Sheet
    there: Stretch
    watched: Mapping[Whose, Mapping[str, Any]]
    latencies: tuple[Any, Any]

    def service(self, name: str, budgets: tuple[Budget, ...]) -> Service:
        """One service: as a whole where it has several models, then each of them."""
        groups = [group for group in self.sheet.groups if group.service == name]
        groups.sort(key=lambda one: (one.variant.startswith(ASIDE), one.model, one.variant))
        seen = [group for group in groups if not group.variant.startswith(ASIDE)]
        sets = [seen] if len(seen) > 1 else []
        sets += [[group] for group in groups]
        columns = tuple(self._column(some) for some in sets)
        places = [self._places(some) for some in sets]
        courses = [_course(self.sheet, some) for some in places]
        parts = [Part("Traffic", tuple(self._traffic(places, courses)))]
        parts += self._parts(courses, columns, name)
        return Service(name, columns, tuple(parts), budgets)

    def _places(self, groups: Sequence[Group]) -> list[int]:
        return [self.sheet.groups.index(group) for group in groups]

    def _column(self, groups: Sequence[Group]) -> Column:
        calls = int(self.sheet.calls[self._places(groups)].sum())
        if len(groups) > 1:
            return Column(WHOLE, "", calls)
        return Column(groups[0].model, groups[0].variant, calls)

    def _traffic(self, places: Sequence[list[int]], courses: "Sequence[_Course]") -> Iterator[Row]:
        span, cells = self.there.newest - self.there.start, list[Cell]()
        lasted_s = self.sheet.lasted_s(self.there.newest)
        for some in places:
            calls = self.sheet.calls[some].sum(0)
            over_time = tuple((calls / lasted_s).tolist())
            cells.append(Cell(float(calls.sum()) / span, int(calls.sum()), over_time))
        yield Row("calls", "per second", "Calls by the time at which they began.", tuple(cells))
        if "error" in self.sheet.names:
            yield self._row("error", courses)
        if "latency" in self.sheet.names:
            amounts, table = self.latencies
            for name, q in _PARTS.items():
                yield Row(name, "seconds", metric_named("latency").help, tuple(
                    _quantile_cell(amounts, table[some].sum(0), q) for some in places
                ))  # fmt: skip

    def _parts(
        self, courses: "Sequence[_Course]", columns: Sequence[Column], service: str
    ) -> Iterator[Part]:
        by: dict[str, list[str]] = {}
        for at, name in enumerate(self.sheet.names):
            if name not in _ELSEWHERE and any(one.n[at] for one in courses):
                by.setdefault(_title(name), []).append(name)
        for title in sorted(by, key=_TITLES.index):
            names = sorted(by[title], key=lambda one: (_ORDER.get(one, len(_ORDER)), one))
            rows = (self._row(name, courses, columns, service) for name in names)
            yield Part(title, tuple(rows))

    def _row(
        self, name: str, courses: "Sequence[_Course]", columns: Sequence[Column] = (),
        service: str = "",
    ) -> Row:  # fmt: skip
        row, at = metric_named(name), self.sheet.names.index(name)
        cells = []
        for place, one in enumerate(courses):
            held: Mapping[str, Any] = {}
            if columns:
                whose = service, columns[place].model, columns[place].variant, name
                held = self.watched.get(whose, {})
            value = one.sums[at] / one.n[at] if one.n[at] else None
            ends = held.get("lower"), held.get("upper")
            cells.append(
                Cell(value, int(one.n[at]), one.over_time[at], *ends, held.get("state", ""))
            )
        return Row(name, unit_of(row), row.help, tuple(cells))


@dataclass(frozen=True, slots=True)
class _Course:
    """Of some groups together, by series: how many values, their sum, and their mean over time."""

    n: list[float]
    sums: list[float]
    over_time: list[Values]


def _course(sheet: Sheet, groups: list[int]) -> _Course:
    n, sums = sheet.n[groups].sum(0), sheet.sums[groups].sum(0)
    with np.errstate(invalid="ignore"):
        means = (sums / n).tolist()
    return _Course(n.sum(1).tolist(), sums.sum(1).tolist(), [known(one) for one in means])


def _quantile_cell(amounts: Any, table: Any, q: float) -> Cell:
    total = table.sum(0)
    (whole,) = known([float(quantiles(amounts, total, q))])
    return Cell(whole, int(total.sum()), known(quantiles(amounts, table, q).tolist()))


_TITLES = ("Objectives", "Quality", "Safety", "Robustness", "Fairness", "Efficiency", "Judges")


def _title(name: str) -> str:
    if name.startswith("slo_"):
        return "Objectives"
    return "Judges" if name.startswith("judge_") else metric_named(name).dimension.capitalize()


NOW = View(
    "now", "Now", "Scores, budgets and traffic of every service and model, and what rings.",
    Asked, Now, read, SERIES, board.stamp,
)  # fmt: skip

"""What a dashboard is made of, and the forms of PromQL that its panels ask in."""

from dataclasses import dataclass
from typing import Literal

from agent.rules.rule import PRODUCTION

Kind = Literal["line", "number", "bars", "table"]

# What is chosen at the top of a board; every regular expression matches all of them at first.
_CHOSEN = 'job=~"$job",service=~"$service",model=~"$model"'
ALL = f'{_CHOSEN},variant=~"$variant"'
SERVED = f"{_CHOSEN},{PRODUCTION}"
JOB = 'job=~"$job"'
RATE = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression, and what its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture; `width` in 24ths, `unit` as Grafana names it, `help` behind its title."""

    title: str
    queries: tuple[Query, ...]
    unit: str
    help: str = ""
    kind: Kind = "line"
    width: int = 8
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: rows of panels, each with a heading; `variables` are labels to choose from."""

    name: str
    title: str
    help: str
    variables: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def mean(name: str, by: str, where: str = ALL) -> str:
    """The mean of a histogram's values."""
    return (
        f"sum by ({by}) (rate({name}_sum{{{where}}}{RATE}))"
        f" / sum by ({by}) (rate({name}_count{{{where}}}{RATE}))"
    )


def quantile(q: float, name: str, by: str, where: str = ALL) -> str:
    """A quantile of a histogram, as exact as its buckets."""
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({name}_bucket{{{where}}}{RATE})))"


def rate(name: str, by: str, where: str) -> str:
    """How fast a counter grows, in a second."""
    return f"sum by ({by}) (rate({name}{{{where}}}{RATE}))"


def top(name: str, by: str, where: str) -> str:
    """Several processes may say the same: they are not added up."""
    return f"max by ({by}) ({name}{{{where}}})"


def score(metric: str, title: str, help: str = "") -> Panel:
    """The mean of one score by model and variant."""
    where = f'{ALL},metric="{metric}"'
    queries = (
        Query(mean("vedette_score_ratio", "model, variant", where), "{{model}} {{variant}}"),
    )
    return Panel(title, queries, "percentunit", help, most=1.0)


def flagged(metric: str, title: str, help: str) -> Panel:
    """The share of calls that one metric flags, by model and variant."""
    where = f'{ALL},metric="{metric}"'
    share = (
        f'sum by (model, variant) (rate(vedette_evaluations_total{{{where},label="fail"}}{RATE}))'
        f" / sum by (model, variant) (rate(vedette_evaluations_total{{{where}}}{RATE}))"
    )
    return Panel(title, (Query(share, "{{model}} {{variant}}"),), "percentunit", help)

"""Rules of the objectives: how fast their error budgets are spent, over two windows each.

The conditions are those of the findings inside (`agent.sla.CONDITIONS`), asked of the counters.
"""

from collections.abc import Iterator, Mapping, Sequence

from agent.durations import span
from agent.rules.rule import PRODUCTION, Alert, Group, Record
from agent.sla import (
    CONDITIONS,
    FEWEST_CALLS,
    FEWEST_FAILURES,
    WINDOWS_S,
    Z95,
    Objective,
    targeted,
)

# How often the rates are added up to a number of calls: a mean times the window would be wrong
# where there are rates of a part of it only.
_STEPS = {"1h": "1m", "6h": "1m", "1d": "5m", "3d": "5m"}
_ERRORS, _EVENTS = (f"service_objective:vedette_slo_{what}:rate5m" for what in ("errors", "events"))
_BUDGET = "objective:vedette_slo_error_budget:ratio"


def burn(slo: Mapping[str, Objective]) -> Group:
    """The rules of every objective that has a target."""
    targets = targeted(slo)
    records = [record for name, one in targets.items() for record in _counts(name, one)]
    if targets:
        records += [record for window in map(span, WINDOWS_S) for record in _ratios(window)]
        records += [
            Record(_at(rate, f"increase{long}"), f"sum_over_time({rate}[{long}:{step}]) * <{step}>")
            for long, step in _STEPS.items()
            for rate in (_ERRORS, _EVENTS)
        ]
    for period in sorted({_period(one) for one in targets.values()}):
        records += _left(period, [n for n, one in targets.items() if _period(one) == period])
    alerts = [alert for name, one in targets.items() for alert in _alerts(name, one)]
    return Group("vedette-slo", (*records, *alerts))


def budget_of(objective: Objective) -> float:
    """The share of calls that may miss it."""
    return 1 - (objective.target or 0.0)


def counted(name: str, more: str = "") -> str:
    """The counter of calls that meet or miss an objective."""
    return f'vedette_evaluations_total{{metric="slo_{name}",{PRODUCTION}{more}}}'


def _counts(name: str, objective: Objective) -> Iterator[Record]:
    mine = (("objective", name),)
    for what, more in ((_ERRORS, ',label="fail"'), (_EVENTS, "")):
        yield Record(what, f"sum by (service) (rate({counted(name, more)}[5m]))", mine)
    yield Record("objective:vedette_slo_objective:ratio", f"vector({objective.target:.12g})", mine)
    yield Record(_BUDGET, f"vector({budget_of(objective):.12g})", mine)


def _ratios(window: str, only: str = "") -> Iterator[Record]:
    """The share of errors in a window. Means of rates of one moment weigh all calls alike, and read
    two series of an objective where its counters are thousands."""
    errors, events = _ERRORS + only, _EVENTS + only
    if window != "5m":
        errors, events = (f"avg_over_time({rate}[{window}])" for rate in (errors, events))
    yield Record(_at(_ERRORS, f"ratio_rate{window}"), f"{errors} / {events}")


def _left(period: str, names: Sequence[str]) -> Iterator[Record]:
    """What is left of the error budgets of a period."""
    only = f'{{objective=~"{"|".join(names)}"}}'
    if period not in map(span, WINDOWS_S):
        yield from _ratios(period, only)
    spent = f"{_at(_ERRORS, f'ratio_rate{period}')}{only} / on (objective) group_left () {_BUDGET}"
    left = "service_objective:vedette_slo_error_budget_remaining"
    yield Record(f"{left}:ratio_rate{period}", f"1 - {spent}")


def _at(name: str, operation: str) -> str:
    return f"{name.rpartition(':')[0]}:{operation}"


def _period(objective: Objective) -> str:
    days = objective.window_days
    return f"{days:.0f}d" if days == int(days) else f"{days * 24:.0f}h"


def _alerts(name: str, objective: Objective) -> Iterator[Alert]:
    only, budget = f'{{objective="{name}"}}', budget_of(objective)
    for one in CONDITIONS:
        long, short, factor = span(one.long_s), span(one.short_s), one.factor(objective.window_days)
        if factor * budget >= 1:  # not even a whole outage is so fast
            continue
        ratios = [f"{_at(_ERRORS, f'ratio_rate{w}')}{only}" for w in (long, short)]
        over = " and ".join(f"{ratio} > {factor * budget:.6g}" for ratio in ratios)
        calls, failed = (_at(rate, f"increase{long}") + only for rate in (_EVENTS, _ERRORS))
        # A service that hovers at its target must not ring and resolve all day: the interval of
        # Wilson (1927) excludes a share b where (p - b)^2 n > z^2 b (1 - b).
        sure = f"({ratios[0]} - {budget:.6g}) ^ 2 * {calls} > {Z95**2 * budget * (1 - budget):.6g}"
        enough = f"{calls} >= {FEWEST_CALLS} and {failed} >= {FEWEST_FAILURES} and {sure}"
        yield Alert(
            "VedetteErrorBudgetBurn", one.severity,
            f"calls miss an objective {factor:g} times as often as its budget of"
            f" {objective.window_days:g} days allows, over {long} and {short}",
            f"{over} and {enough}", "0m",
            f"{{{{ $labels.service }}}} misses its objective {name}",
            f"{{{{ $value | humanizePercentage }}}} of the calls missed it over {long}, which is"
            f" more than {100 * factor * budget:.4g} %; {100 * budget:.4g} % may over"
            f" {objective.window_days:g} days.",
            f"At this pace the budget of {objective.window_days:g} days is spent in"
            f" {objective.window_days / factor:.3g} days. 1. Run `vedette slo -c vedette.yaml` for"
            f" what is left, and `vedette findings -c vedette.yaml` for the model or segment that"
            f" left its baseline, and since when. 2. Undo what was deployed then; if an experiment"
            f" runs, `vedette readout -c vedette.yaml` says whether its candidate is worse.",
            (("objective", name), ("long", long), ("short", short)),
        )  # fmt: skip

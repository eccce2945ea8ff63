"""Rules of the objectives: how fast their error budgets are spent, over two windows each.

The four pairs of windows are those of the Google SRE workbook, "Alerting on SLOs": 2 % of a budget
of 30 days spent in an hour, 5 % in six, 10 % in a day and 10 % in three.
"""

from collections.abc import Iterator, Mapping, Sequence

from agent.rules.rule import PRODUCTION, Alert, Group, Record, Severity
from agent.sla import Objective

# Severity, long and short window, and how much faster than to last 30 days.
BURNS: tuple[tuple[Severity, str, str, float], ...] = (
    ("critical", "1h", "5m", 14.4),
    ("critical", "6h", "30m", 6.0),
    ("warning", "1d", "2h", 3.0),
    ("warning", "3d", "6h", 1.0),
)
_WINDOWS = ("30m", "1h", "2h", "6h", "1d", "3d")
# How often the rates are added up to a number of calls: a mean times the window would be wrong
# where there are rates of a part of it only.
_STEPS = {"1h": "1m", "6h": "1m", "1d": "5m", "3d": "5m"}
# At night one failed call of three is a burn rate of hundreds, and no reason to wake anybody.
FEWEST_FAILED = 10
_ERRORS, _EVENTS = (f"service_objective:vedette_slo_{what}:rate5m" for what in ("errors", "events"))
_BUDGET = "objective:vedette_slo_error_budget:ratio"


def burn(slo: Mapping[str, Objective]) -> Group:
    """The rules of every objective that has a target."""
    targets = targets_of(slo)
    records = [record for name, one in targets.items() for record in _counts(name, one)]
    if targets:
        records += [record for window in ("5m", *_WINDOWS) for record in _ratios(window)]
        records += [
            Record(
                _at(_ERRORS, f"increase{long}"),
                f"sum_over_time({_ERRORS}[{long}:{step}]) * <{step}>",
            )
            for long, step in _STEPS.items()
        ]
    for period in sorted({_period(one) for one in targets.values()}):
        records += _left(period, [n for n, one in targets.items() if _period(one) == period])
    alerts = [alert for name, one in targets.items() for alert in _alerts(name, one)]
    return Group("vedette-slo", (*records, *alerts))


def targets_of(slo: Mapping[str, Objective]) -> dict[str, Objective]:
    """The objectives with a target: without one there is no budget."""
    return {name: one for name, one in slo.items() if one.target is not None}


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
    yield from _ratios(period, f'{{objective=~"{"|".join(names)}"}}')
    spent = f"{_at(_ERRORS, f'ratio_rate{period}')} / on (objective) group_left () {_BUDGET}"
    left = "service_objective:vedette_slo_error_budget_remaining"
    yield Record(f"{left}:ratio_rate{period}", f"1 - {spent}")


def _at(name: str, operation: str) -> str:
    return f"{name.rpartition(':')[0]}:{operation}"


def _period(objective: Objective) -> str:
    days = objective.window_days
    return f"{days:.0f}d" if days == int(days) else f"{days * 24:.0f}h"


def _alerts(name: str, objective: Objective) -> Iterator[Alert]:
    only, budget = f'{{objective="{name}"}}', budget_of(objective)
    for severity, long, short, rate in BURNS:
        factor = rate * objective.window_days / 30
        ratios = (f"{_at(_ERRORS, f'ratio_rate{w}')}{only}" for w in (long, short))
        over = " and ".join(f"{ratio} > {factor * budget:.6g}" for ratio in ratios)
        failed = _at(_ERRORS, f"increase{long}") + only
        yield Alert(
            "VedetteErrorBudgetBurn", severity,
            f"calls miss an objective {rate:g} times as often as 30 days of its budget allow, over"
            f" {long} and {short}, {FEWEST_FAILED} at least",
            f"{over} and {failed} >= {FEWEST_FAILED}", "0m",
            f"{{{{ $labels.service }}}} misses its objective {name}",
            f"{{{{ $value | humanizePercentage }}}} of the calls missed it over {long}, which is"
            f" more than {100 * factor * budget:.4g} %; {100 * budget:.4g} % may over"
            f" {objective.window_days:g} days.",
            f"At this pace the budget of {objective.window_days:g} days is spent in"
            f" {objective.window_days / factor:.3g} days. 1. See in `vedette findings -c"
            f" vedette.yaml` which model or segment left its baseline, and since when. 2. Undo what"
            f" was deployed then; if an experiment runs, `vedette readout -c vedette.yaml` says"
            f" whether its candidate is worse.",
            (("objective", name), ("long", long), ("short", short)),
        )  # fmt: skip

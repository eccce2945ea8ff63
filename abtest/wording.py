"""A line in words and numbers, the same in the terminal and in the report."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from abtest.line import Line
from abtest.verdict import BETTER, EQUIVALENT, NOT_YET, WORSE
from agent.experiments import Experiment

_SAMPLES = {"request": "calls", "session": "sessions", "user": "users"}
INVALID = "invalid ("
_DECIDED = "This is decided, and stays so however often it is looked at."


def moment(at: float) -> str:
    """A time in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"


def percent(alpha: float) -> str:
    """How sure an interval is."""
    return f"{100 * (1 - alpha):g} %"


def samples(experiment: Experiment) -> str:
    """What is counted: calls, pairs, sessions or users."""
    return "pairs" if experiment.paired else _SAMPLES[experiment.unit]


def sentence(line: Line) -> str:
    """The primary metric in words."""
    since = f" since {moment(line.decided_at)}" if line.decided_at is not None else ""
    ahead = ""
    if line.verdict == NOT_YET:
        ahead = "; none is in sight"
        if foreseen(line.more):
            ahead = f"; about {line.more:,.0f} more at this effect"
    return f"{line.arms[-1]} is {line.verdict}{since}{ahead}: {effect(line)} {ends(line)}"


def broken(lines: Iterable[Line], arm: str) -> list[str]:
    """The guardrails in which a candidate is worse."""
    rails = (one for one in lines if one.role == "guardrail" and one.arms[-1] == arm)
    return [one.metric for one in rails if one.verdict == WORSE]


def conclusion(line: Line, experiment: Experiment, rails: Sequence[str] = ()) -> str:
    """The verdict of the primary metric as a sentence for who decides, with the guardrails that are
    broken."""
    said = _conclusion(line, experiment)
    if not rails or line.verdict.startswith(INVALID):
        return said
    joined = "and" if line.verdict == WORSE else "but"
    return f"{said.removesuffix('.')}, {joined} worse on {' and '.join(rails)}."


def _conclusion(line: Line, experiment: Experiment) -> str:
    control, arm, metric = line.arms[0], line.arms[-1], line.metric
    at = since(line)
    from_then = f" since {moment(at)}" if at is not None else ""
    if line.verdict in (BETTER, WORSE):
        return f"{arm} is {line.verdict} than {control} on {metric}{from_then}."
    if line.verdict == EQUIVALENT:
        within = f" of ±{experiment.margin:g}" if experiment.margin is not None else ""
        return f"{arm} is equivalent to {control} on {metric} within the margin{within}{from_then}."
    if line.verdict.startswith(INVALID):
        return f"Invalid{from_then}: {line.verdict[len(INVALID) : -1]}."
    if line.verdict != NOT_YET:
        return f"No verdict on {arm} against {control}: the comparison is observational."
    if experiment.design == "aa":
        return f"No difference between {arm} and {control} on {metric} so far."
    return f"Not yet decided whether {arm} is better or worse than {control} on {metric}."


def outlook(line: Line, experiment: Experiment, rails: Sequence[str] = ()) -> str:
    """What follows from the verdict, or how long until there is one, and that guardrails are
    broken."""
    said = _outlook(line, experiment)
    if not rails or line.verdict.startswith(INVALID):
        return said
    which = (
        f"guardrails {' and '.join(rails)} are" if len(rails) > 1 else f"guardrail {rails[0]} is"
    )
    return f"{said} The {which} broken, which stays so as well."


def _outlook(line: Line, experiment: Experiment) -> str:
    if line.verdict.startswith(INVALID):
        return "Nothing may be concluded from this run."
    if line.kind == "observational":
        return "It describes what was; it cannot say why, and it decides nothing."
    if line.verdict in (BETTER, WORSE):
        stands = _DECIDED
        if line.lower <= 0 <= line.upper:
            stands += " The interval of now includes 0 again: the effect may have shrunk since."
        return stands
    if line.verdict != NOT_YET:
        return _DECIDED
    if experiment.design == "aa":
        return "That is what a self-test of one model should find."
    if not foreseen(line.more):
        return "At the present effect no decision is in sight."
    where = "" if experiment.paired else " in both arms together"
    return (
        f"At the present effect about {line.more:,.0f} more {samples(experiment)}{where} decide it."
    )


def since(line: Line) -> float | None:
    """When the verdict came to be. What was decided before a run became invalid is no verdict."""
    changed = line.verdict.startswith(INVALID + "the difference changed")
    return None if line.verdict.startswith(INVALID) and not changed else line.decided_at


def foreseen(more: float | None) -> bool:
    """Whether a forecast is a number."""
    return more is not None and math.isfinite(more)


def what(line: Line) -> str:
    """The metric with its statistic, segment and role."""
    role = f" ({line.role})" if line.role in ("primary", "guardrail") else ""
    segment = f" {line.segment}" if line.segment else ""
    how = f" {line.statistic}" if line.role == "amount" else ""
    return f"{line.metric}{how}{segment}{role}"


def who(line: Line) -> str:
    """Whom a warning concerns."""
    return f"{line.metric}, {line.arms[-1]}" if line.role != "primary" else line.arms[-1]


def effect(line: Line) -> str:
    """The estimate in the metric's own unit."""
    return number(line.estimate, line)


def ends(line: Line) -> str:
    """The interval, or that there is none."""
    return span(line.lower, line.upper, line)


def span(lower: float, upper: float, line: Line) -> str:
    """Two ends in the metric's own unit."""
    if math.isnan(lower) or math.isnan(upper):
        return "-"
    return f"[{number(lower, line)}, {number(upper, line)}]"


def number(value: float, line: Line) -> str:
    """A value of a line in the unit of its effect."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else f"{value:+}"
    if line.statistic == "ratio of geometric means":
        return f"x{value:.3f}"
    if line.statistic == "share of calls":
        return f"{value:.4f}"
    unit = {"seconds": " s", "usd": " $"}.get(line.unit, "")
    return f"{value:+.4f}{unit}"


def relative(line: Line) -> str:
    """The effect as a share of the control's level."""
    share = line.relative
    return "" if share is None or not math.isfinite(share) else f"{100 * share:+.1f} %"

"""What a file of Prometheus rules is made of, and how its times are scaled."""

import re
from dataclasses import dataclass, replace

from agent.durations import seconds, span
from agent.experiments import ASIDE
from agent.findings import Severity

Labels = tuple[tuple[str, str], ...]

# Prometheus takes milliseconds, but no scrape would fall into such a window.
SMALLEST_S = 1.0
# A window and its step, an offset, or a number: `<5m>` stands for its seconds.
_TIME = re.compile(r"(?<=[\[:])(\d+[smhd])(?=[\]:])|(?<=offset )(\d+[smhd])|<(\d+[smhd])>")
# Answers to shadows and probes are nobody's answers, and pairs are the same calls once more.
PRODUCTION = 'variant!~"' + "|".join(f"{one}.*" for one in ASIDE) + '"'


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule; its name is `level:metric:operations`, whatever the scale."""

    name: str
    expr: str
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule. `when` is its condition in words; it holds for `hold` before it rings.
    `summary` and `description` are templates of Prometheus, `runbook` is plain text."""

    name: str
    severity: Severity
    when: str
    expr: str
    hold: str
    summary: str
    description: str
    runbook: str
    labels: Labels = ()


Rule = Record | Alert


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after another: what is recorded first can be read after it."""

    name: str
    rules: tuple[Rule, ...]


def scaled(group: Group, scale: float) -> Group:
    """The group with every time in it divided by `scale`: 0 stays 0, and anything else does not go
    below SMALLEST_S."""
    return Group(group.name, tuple(_scaled(rule, scale) for rule in group.rules))


def _scaled(rule: Rule, scale: float) -> Rule:
    def shorter(found: re.Match[str]) -> str:
        window, offset, number = found.groups()
        least = _least(window or offset or number, scale)
        return f"{least:g}" if number else span(least)

    expr = _TIME.sub(shorter, rule.expr)
    if isinstance(rule, Alert):
        return replace(rule, expr=expr, hold=span(_least(rule.hold, scale)))
    return replace(rule, expr=expr)


def _least(time: str, scale: float) -> float:
    return max(SMALLEST_S, seconds(time) / scale) if seconds(time) else 0.0


def grown(series: str, window: str) -> str:
    """How much a counter grew in a window, also where it was born within it: `increase` does not
    see what a series is born with."""
    new = f"{series} unless last_over_time({series}[1d] offset {window})"
    return f"(({new}) or increase({series}[{window}]))"

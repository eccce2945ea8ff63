"""The report of an experiment as one page that needs nothing else.

2026-11-25: figures are drawn by the template from places that abtest/pages computes, without a
plotting library: that would bring megabytes of script into a page that must open anywhere.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from abtest.line import Line
from abtest.pages.curve import Curve, curve_of
from abtest.pages.rows import Row, Table, Verdict, counts_of, tables_of, verdict_of
from abtest.run import Point
from abtest.verdict import words_of_odds
from abtest.wording import (
    broken,
    conclusion,
    effect,
    ends,
    moment,
    number,
    outlook,
    percent,
    relative,
    samples,
    since,
    span,
    who,
)
from agent.catalog import BY_NAME, is_flag, metric_named
from agent.experiments import WIN, Experiment

PAGES = Path(__file__).parent / "pages"
# So many rows of numbers stand for the points of a figure.
_NUMBERS = 24
_MINUS, _TIMES, _DASH = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
_DESIGNS = {
    "split": "Split: each {one} is served by one arm, drawn at random in the shares below.",
    "paired": "Paired: the candidate answers the control's questions; no user sees it.",
    "aa": "Self-test: both arms are the same, so any difference would be a fault of the set-up.",
    "observational": "Observational: calls that were not assigned at random are set side by side.",
}


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm as cells; `shares` by epoch."""

    name: str
    role: str
    variant: str
    model: str
    period: str
    shares: list[str]
    n: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one candidate with its numbers and its picture."""

    line: Line
    verdict: Verdict
    conclusion: str
    outlook: str
    facts: list[tuple[str, str]]
    curve: Curve | None
    summary: str
    decision: str
    toward: tuple[str, str]
    numbers: list[tuple[str, str, str]]
    thinned: int
    guardrails: list[Row]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How calls fell on the arms: arm, share now, calls, part of all calls."""

    rows: list[tuple[str, str, str, str]]
    said: tuple[str, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Page:
    """One experiment as a reader sees it; `doubts` are pairs of whom and why."""

    name: str
    experiment: Experiment
    tables: list[Table]
    findings: list[Finding]
    arms: list[Arm]
    epochs: list[str]
    design: str
    metric: str
    good: str
    unit: str
    sure: str
    samples: str
    as_of: float | None
    run: int | None
    ratio: Ratio | None
    doubts: list[tuple[str, str]]
    several: bool


def page_of(
    name: str, experiment: Experiment, lines: Sequence[Line], points: Sequence[Point]
) -> Page:
    """What `pages/readout.html` shows."""
    tables = tables_of(lines, experiment)
    return Page(
        name=name, experiment=experiment, tables=tables,
        findings=_findings(experiment, lines, points, tables),
        arms=_arms(experiment, lines), epochs=[moment(at) for at, _ in experiment.epochs()],
        design=_DESIGNS[experiment.design].format(one=samples(experiment)[:-1]),
        metric=_metric(experiment.primary), good=experiment.good_end(experiment.primary),
        unit=_unit(experiment), sure=percent(experiment.alpha), samples=samples(experiment),
        as_of=max((x.as_of for x in lines if x.as_of is not None), default=None),
        run=lines[0].run if lines else None, ratio=_ratio(experiment, lines),
        doubts=list(dict.fromkeys((who(x), why) for x in lines if x.role != "check"
                                  for why in x.warnings)),
        several=len(experiment.candidates) > 1,
    )  # fmt: skip


def render(
    name: str, experiment: Experiment, lines: Sequence[Line], points: Sequence[Point]
) -> str:
    """The page by itself."""
    return _template().render(page=page_of(name, experiment, lines, points))


def _template() -> Template:
    made = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"signed": signed, "moment": moment}
    return made.get_template("report.html")


def signed(text: str) -> str:
    """Numbers with the minus of print, as wide as a plus; a lone one is a dash. Dates stay."""
    if text == "-":
        return _DASH
    text = re.sub(r"(?<![\w-])-(?=\d|inf)", _MINUS, text)
    text = re.sub(r"(?<!\w)x(?=\d|inf)", _TIMES, text)
    return re.sub(rf"(?<=[+{_MINUS}{_TIMES}])inf\b", "∞", text)


def _findings(
    experiment: Experiment, lines: Sequence[Line], points: Sequence[Point], tables: Sequence[Table]
) -> list[Finding]:
    guarded = [row for table in tables for group in table.groups for row in group.rows
               if row.line.role == "guardrail"]  # fmt: skip
    found = []
    for line in (x for x in lines if x.role == "primary"):
        mine = [p for p in points if p.arm == line.arms[-1]]
        at, rails = since(line), broken(lines, line.arms[-1])
        found.append(Finding(
            line, verdict_of(line, rails), conclusion(line, experiment, rails),
            outlook(line, experiment, rails), _facts(line, experiment),
            curve_of(line, mine, experiment.margin, at),
            _summary(line, mine), _decision(line), _toward(line), _numbers(line, mine),
            _thinned(mine), [row for row in guarded if row.arm == line.arms[-1]],
        ))  # fmt: skip
    return found


def _facts(line: Line, experiment: Experiment) -> list[tuple[str, str]]:
    of = f" ({relative(line)})" if relative(line) else ""
    facts = [("Difference", signed(effect(line) + of))]
    facts.append((f"{percent(experiment.alpha)} interval", signed(ends(line))))
    if line.level is not None and math.isfinite(line.level + line.estimate):
        levels = f"{line.level:.4f} → {line.level + line.estimate:.4f}"
        facts.append((f"{line.arms[0]} → {line.arms[-1]}", signed(levels)))
    if line.log_evidence is not None:
        facts.append(("Odds", words_of_odds(line.log_evidence)))
    facts.append((samples(experiment).capitalize(), counts_of(line)))
    return facts


def _decision(line: Line) -> str:
    """What was decided and when, short enough for a picture."""
    at = since(line)
    if at is None:
        return ""
    day = datetime.fromtimestamp(at, UTC)
    return f"{verdict_of(line).text.partition(' ')[0]} since {day.day} {day:%b %H:%M}"


def _toward(line: Line) -> tuple[str, str]:
    """What lies above and what below 0."""
    return ("better", "worse") if line.good == "high" else ("worse", "better")


def _summary(line: Line, points: Sequence[Point]) -> str:
    """The picture for who does not see it."""
    if not points:
        return ""
    first, last = points[0], points[-1]
    decided = since(line)
    then = "" if decided is None else f" The verdict {line.verdict} stands since {moment(decided)}."
    return signed(
        f"From {moment(first.at)} to {moment(last.at)} the interval went from "
        f"{span(first.lower, first.upper, line)} to {span(last.lower, last.upper, line)}, "
        f"the estimate from {number(first.estimate, line)} to {number(last.estimate, line)}.{then}"
    )


def _numbers(line: Line, points: Sequence[Point]) -> list[tuple[str, str, str]]:
    kept = list(points[:: -(_thinned(points) or 1)])[::-1]
    return [
        (moment(p.at), signed(number(p.estimate, line)), signed(span(p.lower, p.upper, line)))
        for p in kept
    ]


def _thinned(points: Sequence[Point]) -> int:
    """Of how many points one is listed, 0 where all are."""
    every = math.ceil(len(points) / _NUMBERS)
    return every if every > 1 else 0


def _arms(experiment: Experiment, lines: Sequence[Line]) -> list[Arm]:
    counted = {arm: n for x in lines if x.role == "primary" for arm, n in x.n.items()}
    made = []
    for name, arm in experiment.arms.items():
        start, end = experiment.period(name)
        until = f" to {moment(end)}" if math.isfinite(end) else " on"
        shares = [f"{s[name]:.3g}" if s[name] else "" for _, s in experiment.epochs()]
        made.append(Arm(
            name, "control" if name == experiment.control else "candidate",
            experiment.variant(name), arm.model or "", moment(start) + until, shares,
            f"{counted[name]:,}" if name in counted else "",
        ))  # fmt: skip
    return made


def _metric(name: str) -> str:
    """What the primary metric is, in a sentence."""
    plain = name.removesuffix(WIN)
    known = plain.startswith("slo_") or plain in BY_NAME
    said = metric_named(plain).help if known else ""
    if plain == name:
        return said
    return f"How often the candidate wins a pair less how often it loses one. {plain}: {said}"


def _unit(experiment: Experiment) -> str:
    """What a difference of 1 would be."""
    name = experiment.primary
    if name.endswith(WIN):
        return "share of pairs won minus lost"
    if is_flag(name):
        return f"share of {samples(experiment)}"
    return "score, 0 to 1"


def _ratio(experiment: Experiment, lines: Sequence[Line]) -> Ratio | None:
    found = next((x for x in lines if x.role == "check"), None)
    if found is None:
        return None
    shares: Mapping[str, float] = experiment.epochs()[-1][1]
    total = sum(found.n.values())
    rows = [
        (arm, f"{shares[arm]:.4f}", f"{n:,}", f"{n / total:.4f}" if total else _DASH)
        for arm, n in found.n.items()
    ]
    return Ratio(rows, found.warnings, verdict_of(found))

"""The report as one page that needs nothing else and works without a network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from abtest.report import signed
from abtest.wording import moment
from agent.catalog import metric_named
from suites.analysis.advice import said
from suites.analysis.claims import MATTERS_SHARE, Claim
from suites.analysis.comparison import Contrast
from suites.analysis.failures import KINDS
from suites.analysis.weights import DIMENSIONS
from suites.analysis.whole import Analysis, Measured, Standing
from suites.gate import Verdict
from suites.groups import MATTERS
from suites.intervals import Figure
from suites.report.aside import Aside
from suites.report.judged import tables_of
from suites.report.pictures import Picture

_COLOURS = 8
_NOTHING = Aside()
_CLAIMS = 4  # of each sign a target, the strongest
_MINUS = "\N{MINUS SIGN}"
_MARKS = {"seconds": " s", "usd": " USD", "tokens": " tokens"}


@dataclass(frozen=True, slots=True)
class Said:
    """One claim as words."""

    sign: str
    text: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Row:
    """One target of a metric: mean, lower and upper in percent of the axis, and in print."""

    target: str
    place: tuple[float, float, float] | None
    mean: str
    ends: str


@dataclass(frozen=True, slots=True)
class Level:
    """A metric of a task over the targets."""

    metric: str
    task: str
    said: str
    targets: tuple[Row, ...]


def render(
    run: Analysis,
    pictures: Mapping[str, Picture],
    verdicts: Sequence[Verdict] = (),
    aside: Aside = _NOTHING,
) -> str:
    """The page, with the verdicts of a gate, the judge and compliance where there are."""
    dimensions = [d for d in DIMENSIONS if any(d in one.dimensions for one in run.standings)]
    levels, measures = _levels(run), _measures(run, bool(aside.readings))
    return _template().render(
        run=run, pictures=pictures, verdicts=sorted(verdicts, key=lambda one: one.passed),
        said=_said(run, verdicts), sure=f"{100 * (1 - run.alpha):g} %", dimensions=dimensions,
        total=sum(run.items.values()) + run.twins,
        colours={one.target: f"c{at % _COLOURS}" for at, one in enumerate(run.standings)},
        contents=_contents(run, bool(verdicts), bool(measures), aside), findings=aside.findings,
        judged=tables_of(aside.readings), rejected_labels=aside.rejected,
        claims=_claims(run),
        counted={d: rows for d in DIMENSIONS
                 if (rows := [level for m, level in levels if m.counts and m.dimension == d])},
        others=[level for m, level in levels if not m.counts],
        measures=measures,
        contrasts=_by_other(run.contrasts), before=_by_other(run.before),
        examples={kind: found for kind in KINDS
                  if (found := [one for one in run.examples if one.kind == kind])},
        calls=_calls(run), parts=_parts(run), matters=MATTERS,
        gaps=[one for one in run.gaps if one.matters],
    )  # fmt: skip


def _template() -> Template:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "moment": moment,
        "figure_of": _dimension,
        "amount": amount,
        "change": change,
        "without": without,
        "signed": signed,
    }
    return made.get_template("page.html")


def _dimension(name: str, standing: Standing) -> Figure | None:
    return next((figure for key, figure in standing.dimensions.items() if key == name), None)


def amount(value: float, unit: str) -> str:
    """A number in print: shares and scores to three places, amounts to three digits."""
    text = f"{value:.3g}{_MARKS[unit]}" if unit in _MARKS else f"{value:.3f}"
    if "e-" in text:
        text = f"{value:.6f}{_MARKS[unit]}"
    return text.replace("-", _MINUS).replace("inf", "∞")


def span(lower: float, upper: float, unit: str) -> str:
    """An interval in print, with its unit once."""
    return f"{without(amount(lower, unit), unit)} to {amount(upper, unit)}"


def without(text: str, unit: str) -> str:
    """A number in print without its unit."""
    return text.removesuffix(_MARKS.get(unit, ""))


def change(value: float, unit: str) -> str:
    """A difference in print, signed."""
    text = amount(value, unit)
    return text if value < 0 else f"+{text}"


def _said(run: Analysis, verdicts: Sequence[Verdict]) -> tuple[str, str, str]:
    """The answer in a sentence, what it rests on, and its tone."""
    first = run.advice[0] if run.advice else None
    overall = run.standings[0].overall
    if verdicts:
        broken = [one for one in verdicts if not one.passed]
        if broken:
            what = f"The gate is closed: {len(broken)} of {len(verdicts)} rules are broken."
            names = ", ".join(dict.fromkeys(f"{one.score} of {one.target}" for one in broken))
            return what, f"Broken: {names}.", "bad"
        return (
            f"The gate is open: all {len(verdicts)} rules hold.",
            first.text if first else "",
            "good",
        )
    if first is not None and len(run.standings) > 1:
        return first.text, first.because, "c0"
    name = run.standings[0].target
    if overall is None:
        return f"{name}: nothing that counts was measured.", "", "warn"
    return f"{name} scores {overall.mean:.2f}.", f"overall {said(overall)}", "c0"


def _measures(run: Analysis, judged: bool) -> dict[str, dict[str, tuple[str, str]]]:
    """By name and target a measure and its interval, which stands as two more of them.

    Those of a judge whose readings have a table of their own are left out.
    """
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for one in run.standings:
        for name, value in sorted(one.measures.items()):
            stem, _, unit = name.rpartition("_")
            ends = [one.measures.get(f"{stem}_{end}_{unit}") for end in ("lower", "upper")]
            own = judged and name.startswith("judge_")
            if not own and not stem.endswith(("_lower", "_upper")):
                lower, upper = ends
                both = lower is not None and upper is not None
                range_ = f"{lower:.4g} to {upper:.4g}" if both else ""
                found.setdefault(name, {})[one.target] = f"{value:.4g}", range_
    return found


def _by_other(contrasts: Sequence[Contrast]) -> dict[str, list[Contrast]]:
    found: dict[str, list[Contrast]] = {}
    for one in contrasts:
        found.setdefault(one.theirs, []).append(one)
    return found


def _contents(run: Analysis, gated: bool, measured: bool, aside: Aside) -> list[tuple[str, str]]:
    there = [
        (gated, "gate", "Gate"), (True, "scores-of", "Scores"),
        (bool(run.advice), "advice", "What to do"),
        (True, "claims", "Strengths and weaknesses"), (True, "metrics", "Metrics"),
        (bool(aside.readings), "judge", "Judge"),
        (bool(run.parts or run.gaps), "parts", "Attacks and groups"),
        (measured or bool(run.latencies or run.fronts), "efficiency", "Speed and cost"),
        (bool(run.before), "before", "Since the earlier run"),
        (bool(run.contrasts), "contrasts", "Side by side"),
        (bool(run.ablations), "ablation", "Ablation"), (True, "failed", "Failed answers"),
        (bool(aside.findings), "compliance", "Compliance"),
        (True, "data", "Data"), (True, "reading", "How to read this"),
    ]  # fmt: skip
    return [(anchor, words) for shown, anchor, words in there if shown]


def _parts(run: Analysis) -> dict[tuple[str, str, str], dict[str, dict[str, Figure]]]:
    """By task, metric and segment the values, each with the figure of every target."""
    tables: dict[tuple[str, str, str], dict[str, dict[str, Figure]]] = {}
    for one in run.parts:
        table = tables.setdefault((one.task, one.metric, one.segment), {})
        table.setdefault(one.value, {})[one.target] = one.figure
    return tables


def _claims(run: Analysis) -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {}
    for one in run.standings:
        mine = [claim for claim in run.claims if claim.target == one.target]
        kept = [c for sign in ("strength", "weakness")
                for c in [c for c in mine if c.sign == sign][:_CLAIMS]]  # fmt: skip
        found[one.target] = [_words(claim, len(run.standings)) for claim in kept]
    return found


def _words(claim: Claim, targets: int) -> Said:
    row = metric_named(claim.metric)
    level = f"{claim.metric} {amount(claim.figure.mean, row.unit)} in {claim.task}"
    if claim.against is None:
        return Said(claim.sign, level, f"{said(claim.figure, row.unit)}, {claim.rule}")
    if row.kind == "amount":
        return _beaten(claim, claim.against, level, targets)
    other = "the other" if targets == 2 else "the mean of the others"
    size = amount(abs(claim.against.mean), row.unit)
    word = "worse" if claim.sign == "weakness" else "better"
    evidence = f"{word} by {_range(claim.against, row.unit)}, n = {claim.against.n:,}"
    return Said(claim.sign, f"{level}, {size} {word} than {other}", evidence)


def _beaten(claim: Claim, ahead: Figure, level: str, targets: int) -> Said:
    """An amount that is less than the others' in so many of the pairs."""
    word = "more" if claim.sign == "weakness" else "less"
    other = "the other" if targets == 2 else "the others"
    won, *ends = ((1 + abs(one)) / 2 for one in (ahead.mean, ahead.lower, ahead.upper))
    ties = f"what is within {100 * MATTERS_SHARE:g} % counts half"
    evidence = f"{span(min(ends), max(ends), '')}, n = {ahead.n:,}; {ties}"
    return Said(claim.sign, f"{level}, {word} than {other} in {won:.3f} of the pairs", evidence)


def _range(figure: Figure, unit: str) -> str:
    ends = sorted((abs(figure.lower), abs(figure.upper)))
    return span(ends[0], ends[1], unit)


def _levels(run: Analysis) -> list[tuple[Measured, Level]]:
    rows: dict[tuple[str, str], list[Measured]] = {}
    for one in run.metrics:
        rows.setdefault((one.task, one.metric), []).append(one)
    order = {one.target: at for at, one in enumerate(run.standings)}
    made = []
    for (task, metric), mine in rows.items():
        mine.sort(key=lambda one: order[one.target])
        tops = [one.figure.upper if math.isfinite(one.figure.upper) else one.figure.mean
                for one in mine if one.figure.n]  # fmt: skip
        top = max(tops, default=1.0) if metric_named(metric).kind == "amount" else 1.0
        targets = tuple(_row(one, top) for one in mine)
        made.append((mine[0], Level(metric, task, _about(mine[0]), targets)))
    return made


def _about(one: Measured) -> str:
    what = "share of flagged answers, " if one.flagged else ""
    end = {"high": "more is better", "low": "less is better", "none": "neither end is good"}[
        one.good
    ]
    return what + end


def _row(one: Measured, top: float) -> Row:
    figure = one.figure
    lost = ", ".join(f"{n:,} {why.replace('_', ' ')}" for why, n in one.reasons.items())
    if not figure.n:
        return Row(one.target, None, "", lost or "no value")
    scale = 100 / top if top > 0 else 0.0
    places = [
        round(min(max(v * scale if math.isfinite(v) else v, 0.0), 100.0), 2)
        for v in (figure.mean, figure.lower, figure.upper)
    ]
    ends = span(figure.lower, figure.upper, one.unit)
    tail = f", n = {figure.n:,} ({lost})" if lost else ""
    return Row(
        one.target, (places[0], places[1], places[2]), amount(figure.mean, one.unit), ends + tail
    )


def _calls(run: Analysis) -> list[str]:
    """What became of the calls, of targets of which not every one came back."""
    return [
        f"{one.target}: "
        + ", ".join(f"{n:,} {word.replace('_', ' ')}" for word, n in one.statuses.items())
        for one in run.standings
        if set(one.statuses) != {"ok"}
    ]

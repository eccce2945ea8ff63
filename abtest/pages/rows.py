"""Lines as rows of tables: every cell in words, every interval as a mark on a shared axis."""

from collections.abc import Sequence
from dataclasses import dataclass

from abtest.line import Line
from abtest.pages.forest import Mark, axis_of, axis_ticks, differs, mark_of
from abtest.pages.scale import Scale, Tick
from abtest.verdict import BETTER, EQUIVALENT, HOLDS, NOT_YET, WORSE, words_of_odds
from abtest.wording import effect, ends, relative, span
from agent.experiments import Experiment

# How a verdict looks: a class for its colour, and a sign for who sees none.
_LOOKS = {
    BETTER: ("good", "✓"),
    HOLDS: ("good", "✓"),
    WORSE: ("bad", "✕"),
    EQUIVALENT: ("even", "≈"),
    NOT_YET: ("open", "○"),
    "higher": ("even", "↑"),
    "lower": ("even", "↓"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict, shortened for a table, and how it looks."""

    text: str
    tone: str
    sign: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line as cells."""

    line: Line
    name: str
    arm: str
    effect: str
    relative: str
    ends: str
    best: str
    odds: str
    n: str
    verdict: Verdict
    mark: Mark | None
    margins: str


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Table:
    """Groups on one axis."""

    title: str
    anchor: str
    note: str
    groups: list[Group]
    axis: list[Tick]
    counts: str
    forest: bool = True
    judged: bool = True
    zero: float = 50.0

    @property
    def any_margin(self) -> bool:
        """Whether any row has a margin to explain."""
        return any(row.margins for group in self.groups for row in group.rows)

    @property
    def any_best(self) -> bool:
        """Whether any row has a best case to explain."""
        return any(row.best for group in self.groups for row in group.rows)


def verdict_of(line: Line, rails: Sequence[str] = ()) -> Verdict:
    """How a line's verdict is shown: nothing is good of a candidate that broke these guardrails."""
    if line.verdict.startswith("invalid"):
        return Verdict("invalid", "void", "!")
    if line.kind == "observational":
        return Verdict("no verdict", "open", "")
    tone, sign = _LOOKS.get(line.verdict, ("open", ""))
    return Verdict(line.verdict, tone, sign) if not rails else Verdict(line.verdict, *_LOOKS[WORSE])


def margins_of(line: Line, experiment: Experiment) -> tuple[float, ...]:
    """Where the margins of a tested line lie: of a guardrail and its segments the bad one."""
    if line.role == "primary" and experiment.margin is not None:
        return -experiment.margin, experiment.margin
    if line.role in ("guardrail", "slice") and line.metric in experiment.guardrails:
        margin = experiment.guardrails[line.metric]
        return (-margin if line.good == "high" else margin,)
    return ()


def tables_of(lines: Sequence[Line], experiment: Experiment) -> list[Table]:
    """The tables that have rows."""
    bounded = [x for x in lines if x.role in ("primary", "guardrail", "other")]
    roles = (("primary", "Primary metric"), ("guardrail", "Guardrails"), ("other", "Other metrics"))
    named = [(title, [x for x in bounded if x.role == role]) for role, title in roles]
    amounts = [(m, [x for x in lines if x.role == "amount" and x.metric == m])
               for m in dict.fromkeys(x.metric for x in lines if x.role == "amount")]  # fmt: skip
    made = [_table("All metrics with a range", "metrics", named, experiment)]
    made += [_table("Latency, tokens and cost", "amounts", amounts, experiment, forest=False)]
    for role, title in (("slice", "By segment"), ("gap", "Gaps between segments")):
        mine = [x for x in lines if x.role == role]
        metrics = dict.fromkeys(x.metric for x in mine)
        by = [(m, [x for x in mine if x.metric == m]) for m in metrics]
        made.append(_table(title, role + "s", by, experiment))
    return [table for table in made if table.groups]


_NOTES = {
    "metrics": "Candidate minus control; one axis for all rows.",
    "amounts": "Shown, not tested. A ratio of geometric means above 1 says that the candidate's "
    "values are larger.",
    "slices": "Candidate minus control among the calls of one segment. Of a guardrail the odds are "
    "those of being worse by more than its margin.",
    "gaps": "The candidate's level in a segment minus its level in the other values of that key.",
}


def _table(
    title: str, anchor: str, groups: Sequence[tuple[str, Sequence[Line]]], experiment: Experiment,
    *, forest: bool = True,
) -> Table:  # fmt: skip
    every = [line for _, lines in groups for line in lines]
    edges = {x.metric: abs(e) for x in every for e in margins_of(x, experiment)}
    scale = axis_of(every, edges)
    made = [Group(name, [_row(x, scale, experiment) for x in lines])
            for name, lines in groups if lines]  # fmt: skip
    judged = forest and experiment.design != "observational"
    sides = _sides(anchor, experiment)
    return Table(title, anchor, _NOTES[anchor], made, axis_ticks(scale), sides, forest, judged)


def _sides(anchor: str, experiment: Experiment) -> str:
    """Whose counts stand in a row."""
    if anchor == "gaps":
        return "segment / others"
    if not experiment.paired:
        return "control / candidate"
    return "" if anchor == "amounts" else "pairs"


def _row(line: Line, scale: Scale, experiment: Experiment) -> Row:
    edges = margins_of(line, experiment)
    best = span(*line.best, line) if line.best is not None and differs(line) else ""
    sign = "±" if len(edges) > 1 else ""
    margin = f"{edges[-1]:g}" if sign else "".join(f"{edge:+g}" for edge in edges)
    name = line.segment or line.metric
    return Row(
        line, line.statistic if line.role == "amount" else name, line.arms[-1], effect(line),
        relative(line), ends(line), best,
        "" if line.log_evidence is None else words_of_odds(line.log_evidence), counts_of(line),
        verdict_of(line), mark_of(line, scale, edges), f"margin {sign}{margin}" if edges else "",
    )  # fmt: skip


def counts_of(line: Line) -> str:
    """How many were counted, control first."""
    return " / ".join(f"{n:,}" for n in line.n.values())

"""A gate held against a run: a verdict for each rule and target."""

from collections.abc import Iterator, Mapping

from agent.errors import BadConfig
from suites.analysis.comparison import merged
from suites.analysis.series import changes_of, line_of
from suites.analysis.weights import Weighing
from suites.gate import NotWorse, Rule, Verdict
from suites.gate.scores import Scores
from suites.intervals import Figure
from suites.record import Run

# How a target of the run that is compared with is told from one of this run.
_BEFORE = "before:"


def verdicts(
    gate: Mapping[str, Rule], run: Run, weighing: Weighing, before: Run | None = None
) -> tuple[Verdict, ...]:
    """The verdicts in the order of the rules; `before` is the run that is compared with.

    Raises BadConfig for a target that is not there, and for a rule that needs an earlier run.
    """
    scores = Scores(run, weighing)
    then = _Then(run, before, weighing) if before is not None else None
    found: list[Verdict] = []
    for score, rule in gate.items():
        for target in _judged(score, rule, scores.targets):
            found += _bars(scores, target, score, rule)
            if rule.not_worse is not None:
                found.append(_beside(scores, then, target, score, rule.not_worse))
    return tuple(found)


class _Then:
    """An earlier run beside this one: the scores of both, and what cannot be compared."""

    def __init__(self, run: Run, before: Run, weighing: Weighing) -> None:
        self.scores = Scores(merged(run, before, _BEFORE), weighing)
        self._changes, self._name = changes_of(run, before), before.name

    def untold(self, theirs: str, score: str) -> str:
        """Why a score cannot be compared with that of a target then, "" where it can."""
        if theirs not in self.scores.targets:
            return "the earlier run has no such target"
        parts = self.scores.rests_on(score)
        return line_of([c for c in self._changes if (c.task, c.metric) in parts], self._name)


def _judged(score: str, rule: Rule, targets: tuple[str, ...]) -> tuple[str, ...]:
    than = rule.not_worse.than if rule.not_worse is not None else None
    for name in (*rule.targets, *((than,) if than is not None else ())):
        if name not in targets:
            raise BadConfig(f"gate.{score}", f"{name} is no target; there are {', '.join(targets)}")
    judged = rule.targets or tuple(name for name in targets if name != than)
    if not judged:
        raise BadConfig(f"gate.{score}", f"judges nobody: {than} is the only target")
    return judged


def _bars(scores: Scores, target: str, score: str, rule: Rule) -> Iterator[Verdict]:
    for bar, word, sign in ((rule.at_least, "at least", 1.0), (rule.at_most, "at most", -1.0)):
        if bar is None:
            continue
        asked, figure = f"{word} {bar:g}", scores.figure(target, score)
        if isinstance(figure, str):
            yield Verdict(target, score, asked, False, f"{target}: {score} {figure}")
            continue
        end = figure.mean if rule.by == "mean" else figure.lower if sign > 0 else figure.upper
        passed = sign * end >= sign * bar
        doubt = figure.lower < bar < figure.upper
        yield Verdict(target, score, asked, passed, _words(target, score, figure, asked, passed,
                      doubt and rule.by == "mean"), doubt)  # fmt: skip


def _words(target: str, score: str, figure: Figure, asked: str, passed: bool, doubt: bool) -> str:
    said = f"{target}: {score} {ends(figure)}{' is' if passed else ', must be'} {asked}"
    return f"{said}; the interval straddles it" if doubt else said


def ends(figure: Figure) -> str:
    """A figure in print: mean, interval and n; a measure has no interval."""
    if figure.lower == figure.upper == figure.mean and figure.method == "none":
        return f"{figure.mean:.4g}"
    return f"{figure.mean:.4f} [{figure.lower:.4f}, {figure.upper:.4f}] (n = {figure.n:,})"


def _beside(
    scores: Scores, then: "_Then | None", target: str, score: str, told: NotWorse
) -> Verdict:
    asked = f"not worse by more than {told.by}"
    if told.than is None:
        if then is None:
            raise BadConfig(f"gate.{score}.not_worse", "names no target, so it needs --compare RUN")
        held, theirs = then.scores, f"{_BEFORE}{target}"
        if why := then.untold(theirs, score):
            return Verdict(target, score, asked, False, f"{target}: {score} could not tell: {why}")
    else:
        held, theirs = scores, told.than
    if held.good(score) == "none":
        raise BadConfig(f"gate.{score}.not_worse", "has no good end, or no interval")
    gap = held.gap(target, theirs, score, told.relative)
    if isinstance(gap, str):
        return Verdict(target, score, asked, False, f"{target}: {score} {gap}")
    bar = 0.0 if told.relative is not None else -float(told.by)
    passed = gap.lower > bar or gap.lower == gap.upper == bar
    word = "is not" if passed else "may be" if gap.mean > bar else "is"
    said = f"{target}: {score} {word} worse than {theirs} by more than {told.by}: {ends(gap)}"
    return Verdict(target, score, asked, passed, said, gap.lower <= bar < gap.upper)

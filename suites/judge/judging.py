"""Answers judged: scores of a rubric, and which of two answers is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.asking import share_for
from agent.record import Call, Score, unscored
from suites.judge.asking import Asker, Question, put
from suites.judge.prompt import FIRST, SECOND, Marks, material_of
from suites.judge.rubric import Rubric
from suites.judge.verdict import Verdict

# A call is judged where its number in [0, 1) is below the share: a lower share judges a part of
# the same calls.
_DRAW = "judge"
_DEAD = "no_call"


@dataclass(frozen=True, slots=True)
class Preferences:
    """Which of two answers is better, item by item: 1 ours, 0 theirs, 0.5 neither.

    Each pair is asked in both orders, and is a tie where they disagree. Of `both` pairs with two
    verdicts `first` went to whatever stood first and `second` to whatever stood second.
    """

    scores: list[Score]
    both: int
    first: int
    second: int

    @property
    def position_bias(self) -> float | None:
        """The share of pairs decided by the place alone, positive where it favours the first."""
        return (self.first - self.second) / self.both if self.both else None


def judged(
    rubric: Rubric, calls: Sequence[Call | None], asker: Asker, marks: Marks, share: float = 1.0
) -> list[Score]:
    """The value of the verdict on each call, 1 for the best label."""
    asked = [question_of(rubric, call, share) for call in calls]
    verdicts = put([one for one in asked if isinstance(one, Question)], asker, marks)
    waiting = iter(verdicts)
    return [
        score_of(rubric, next(waiting)) if isinstance(one, Question) else unscored(one)
        for one in asked
    ]


def question_of(rubric: Rubric, call: Call | None, share: float = 1.0) -> Question | str:
    """What a judge is asked of a call, or one word why it is not."""
    if call is None:
        return _DEAD
    if share_for(_DRAW, call.id) >= share:
        return "sampled_out"
    material = material_of(call, rubric)
    return material if isinstance(material, str) else Question(rubric, tuple(material.items()))


def score_of(rubric: Rubric, verdict: Verdict | str) -> Score:
    """A verdict as a score, 1 for the best label."""
    if isinstance(verdict, str):
        return unscored(verdict)
    return Score(rubric.values[verdict.label])


def compared(
    rubric: Rubric,
    ours: Sequence[Call | None],
    theirs: Sequence[Call | None],
    asker: Asker,
    marks: Marks,
    share: float = 1.0,
) -> Preferences:
    """Ours against theirs on the same items, in both orders."""
    asked = [_orders(rubric, a, b, share) for a, b in zip(ours, theirs, strict=True)]
    flat = [one for pair in asked if not isinstance(pair, str) for one in pair]
    waiting = iter(put(flat, asker, marks))
    scores, counts = [], [0, 0, 0]
    for pair in asked:
        if isinstance(pair, str):
            scores.append(unscored(pair))
            continue
        here, there = next(waiting), next(waiting)
        if isinstance(here, str) or isinstance(there, str):
            scores.append(unscored(here if isinstance(here, str) else str(there)))
            continue
        counts[0] += 1
        counts[1] += here.label == there.label == FIRST
        counts[2] += here.label == there.label == SECOND
        scores.append(Score(_preference(here.label, there.label)))
    return Preferences(scores, *counts)


def _preference(here: str, there: str) -> float:
    """Of the verdicts with ours first and with ours second."""
    ways = {(FIRST, SECOND): 1.0, (SECOND, FIRST): 0.0}
    return ways.get((here, there), 0.5)


def _orders(
    rubric: Rubric, ours: Call | None, theirs: Call | None, share: float
) -> tuple[Question, Question] | str:
    one, other = question_of(rubric, ours, share), question_of(rubric, theirs, share)
    if isinstance(one, str) or isinstance(other, str):
        return one if isinstance(one, str) else str(other)
    given, a = _apart(one)
    _, b = _apart(other)
    pairs = ((FIRST, a), (SECOND, b)), ((FIRST, b), (SECOND, a))
    here, there = (Question(rubric, (*given, *map(_named, pair)), True) for pair in pairs)
    return here, there


def _named(part: tuple[str, str]) -> tuple[str, str]:
    return f"{part[0]} answer", part[1]


def _apart(question: Question) -> tuple[tuple[tuple[str, str], ...], str]:
    """What a question shows beside the answer, and the answer."""
    held: Mapping[str, str] = dict(question.material)
    return tuple((k, v) for k, v in held.items() if k != "answer"), held["answer"]

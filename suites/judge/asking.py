"""A judge is asked each question once, and once more where its verdict cannot be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.buckets import event_key
from agent.record import UNASKED, Answer, Call
from suites.judge.prompt import PREFERENCES, Marks, labels_of, turns, unused_mark
from suites.judge.rubric import Rubric
from suites.judge.verdict import UNREADABLE, Verdict, read_verdict

TRIES = 2


class Asker(Protocol):
    """Whoever puts questions to the judge, within what it may cost.

    `ask` gives the answers by the ids of the calls; one that it lacks was not asked, and
    `stopped` says why.
    """

    stopped: str | None

    def ask(self, calls: Sequence[Call]) -> Mapping[str, Answer]: ...


@dataclass(frozen=True, slots=True)
class Question:
    """One rubric asked of some material; a `pair` holds two answers.

    Its key is made of all that the judge reads but the mark: the same question about the same
    text is asked once, whoever wrote it.
    """

    rubric: Rubric
    material: tuple[tuple[str, str], ...]
    pair: bool = False

    @property
    def key(self) -> str:
        """What the question is, as 32 hexadecimal digits."""
        parts = [part for one in self.material for part in one]
        return event_key(self.rubric.digest, str(self.pair), *parts).hex()

    @property
    def labels(self) -> dict[str, str]:
        """What it may be answered with."""
        return PREFERENCES if self.pair else labels_of(self.rubric)


class Rounds:
    """Questions on their way to verdicts: what is to be asked next, and what was answered.

    A verdict that cannot be read is asked for once more under another mark; what failed, or was
    not put, is not.
    """

    def __init__(self, questions: Sequence[Question], marks: Marks) -> None:
        self._questions, self._marks = questions, marks
        self._left = {one.key: one for one in questions}
        self._out: dict[str, tuple[str, str]] = {}  # the id of each call, and its mark
        self._found: dict[str, Verdict | str] = {}
        self._tries = 0

    def calls(self) -> list[Call]:
        """What to ask; nothing once all is over."""
        if self._tries == TRIES:
            return []
        calls, self._out = [], {}
        for key, one in self._left.items():
            named = f"{key}-{self._tries}"
            mark = unused_mark(self._marks, named, dict(one.material))
            self._out[key] = named, mark
            calls.append(call_of(one, named, mark))
        self._tries += 1
        return calls

    def take(self, answers: Mapping[str, Answer], stopped: str | None = None) -> None:
        """The answers to the calls, by their ids; `stopped` is why one is not there."""
        for key, (named, mark) in self._out.items():
            answer, one = answers.get(named), self._left[key]
            if answer is None:
                self._found[key] = stopped or UNASKED
            elif answer.status != "ok":
                self._found[key] = f"judge_{(answer.error or answer.status).partition(':')[0]}"
            else:
                self._found[key] = read_verdict(answer.text, mark, one.labels)
        unread = (key for key, why in self._found.items() if why in UNREADABLE)
        self._left = {key: self._left[key] for key in unread if key in self._left}

    def verdicts(self) -> list[Verdict | str]:
        """The verdict of each question in their order, or one word why there is none."""
        return [self._found[one.key] for one in self._questions]


def call_of(question: Question, named: str, mark: str) -> Call:
    """A question as the judge is asked it."""
    said = turns(question.rubric, dict(question.material), mark, question.labels)
    return Call(named, 0.0, "judge", messages=said, prompt=said[-1].content)


def put(questions: Sequence[Question], asker: Asker, marks: Marks) -> list[Verdict | str]:
    """The verdict of each question, or one word why there is none.

    `judge_<word>` is the failure of the judge itself, `not_asked` or a word of the asker one that
    was not put, the others are of `read_verdict`.
    """
    rounds = Rounds(questions, marks)
    while calls := rounds.calls():
        rounds.take(asker.ask(calls), asker.stopped)
    return rounds.verdicts()

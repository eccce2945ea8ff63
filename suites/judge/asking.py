"""A judge is asked each question once, and once more where its verdict cannot be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.buckets import event_key
from agent.record import Answer, Call
from suites.judge.prompt import PREFERENCES, Marks, labels_of, turns, unused_mark
from suites.judge.rubric import Rubric
from suites.judge.verdict import Verdict, read_verdict

TRIES = 2
NOT_ASKED = "not_asked"


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


def put(questions: Sequence[Question], asker: Asker, marks: Marks) -> list[Verdict | str]:
    """The verdict of each question, or one word why there is none.

    A verdict that cannot be read is asked for once more under another mark; `judge_<word>` is the
    failure of the judge itself, `not_asked` or a word of the asker one that was not put.
    """
    wanted = {one.key: one for one in questions}
    found: dict[str, Verdict | str] = {}
    for attempt in range(TRIES):
        left = {key: one for key, one in wanted.items() if isinstance(found.get(key, ""), str)}
        left = {key: one for key, one in left.items() if _is_worth_it(found.get(key))}
        found |= _round(left, asker, marks, attempt)
    return [found[one.key] for one in questions]


def _is_worth_it(why: Verdict | str | None) -> bool:
    """A question that was never put, or whose answer was no verdict."""
    return why is None or (isinstance(why, str) and why.startswith("bad_"))


def _round(
    questions: Mapping[str, Question], asker: Asker, marks: Marks, attempt: int
) -> dict[str, Verdict | str]:
    calls, by_key = [], {}
    for key, one in questions.items():
        named = f"{key}-{attempt}"
        mark = unused_mark(marks, named, dict(one.material))
        by_key[key] = (named, mark)
        said = turns(one.rubric, dict(one.material), mark, one.labels)
        calls.append(Call(named, 0.0, "judge", messages=said, prompt=said[-1].content))
    answers = asker.ask(calls) if calls else {}
    found: dict[str, Verdict | str] = {}
    for key, (named, mark) in by_key.items():
        answer = answers.get(named)
        if answer is None:
            found[key] = asker.stopped or NOT_ASKED
        elif answer.status != "ok":
            found[key] = f"judge_{(answer.error or answer.status).partition(':')[0]}"
        else:
            found[key] = read_verdict(answer.text, mark, questions[key].labels)
    return found

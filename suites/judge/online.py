"""A judge of production's answers, asked as a candidate is: off the user's path, by ticket."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from agent.record import Answer, Call
from agent.shadows import Candidate
from agent.store.budgets import Amount
from shadow.candidates import UNREAD, Model, worst_case
from suites.judge.asking import TRIES, Question, Rounds, call_of
from suites.judge.canaries import DISTRUSTED, Trust, asked_of, graded
from suites.judge.judging import question_of
from suites.judge.prompt import secret_marks
from suites.judge.rubric import Rubric
from suites.judge.verdict import Verdict

_log = logging.getLogger("vedette.judge")
# The canaries are put again after so many calls, and before every call while they fail.
CANARIES_EVERY = 500
BAR = 0.9


class OnlineJudge:
    """A rubric and the model that is asked; its answer's text is the value of the verdict.

    A verdict that cannot be read is the error `verdict_<word>`; a judge that does not pass its
    canaries gives the error `judge_distrusted` and no verdict. Tokens and cost of an answer are of
    all that was asked for it, canaries too.
    """

    def __init__(
        self, rubric: Rubric, model: Model, every: int = CANARIES_EVERY, bar: float = BAR
    ) -> None:
        self._rubric, self._model, self._every, self._bar = rubric, model, every, bar
        self._canaries = [one for one, _ in asked_of(rubric)]
        self._since = 0
        self._trust: Trust | None = None
        self._testing = asyncio.Lock()

    async def ask(self, call: Call) -> Answer:
        """Judge the answer of a call."""
        question = question_of(self._rubric, call)
        if isinstance(question, str):
            return Answer("error", error=question)
        spent: list[Answer] = []
        async with self._testing:
            if self._is_due():
                verdicts = await self._put(self._canaries, spent)
                self._trust, self._since = graded(self._rubric, verdicts, self._bar), 0
                self._tell(self._trust)
            self._since += 1
        if self._trust is not None and self._trust.distrusted:
            return _summed(Answer("error", error=DISTRUSTED), spent)
        (verdict,) = await self._put([question], spent)
        if isinstance(verdict, Verdict):
            found = Answer("ok", text=repr(self._rubric.values[verdict.label]))
        elif verdict.startswith("judge_"):
            found = Answer("error", error=verdict.removeprefix("judge_"))
        else:
            found = Answer("error", error=UNREAD + verdict)
        return _summed(found, spent)

    def worst_case(self, call: Call, candidate: Candidate) -> Amount:
        """Of every try, and of the canaries where they may be due: one call of the budget."""
        question = question_of(self._rubric, call)
        asked = [] if isinstance(question, str) else [question]
        # So many calls may come between this one's reservation and its turn.
        if self._is_due(candidate.concurrency):
            asked += self._canaries
        if not asked:
            return Amount(1, 0, 0)
        each = [worst_case(call_of(one, one.key, secret_marks("")), candidate) for one in asked]
        tokens, money = (TRIES * sum(part) for part in zip(*(one[1:] for one in each), strict=True))
        return Amount(1, tokens, money)

    async def close(self) -> None:
        """Let go of the model."""
        await self._model.close()

    def _is_due(self, ahead: int = 0) -> bool:
        """Whether canaries come before the next call, or before one of so many after it."""
        if self._trust is None or self._trust.distrusted:
            return bool(self._canaries)
        return self._since + ahead >= self._every

    async def _put(self, questions: Sequence[Question], spent: list[Answer]) -> list[Verdict | str]:
        rounds = Rounds(questions, secret_marks)
        while calls := rounds.calls():
            put = [replace(one, parameters=(("temperature", 0.0),)) for one in calls]
            answers = await asyncio.gather(*map(self._model.ask, put))
            spent += answers
            rounds.take({one.id: answer for one, answer in zip(put, answers, strict=True)})
        return rounds.verdicts()

    def _tell(self, trust: Trust) -> None:
        say = _log.warning if trust.distrusted else _log.info
        say("the judge %s passed %d of %d canaries", self._rubric.name, trust.passed, trust.asked)


def _summed(answer: Answer, spent: Sequence[Answer]) -> Answer:
    """An answer with what all of them took; unknown where one of them is."""

    def total(values: Sequence[float | None]) -> float | None:
        known = [one for one in values if one is not None]
        return sum(known) if known and len(known) == len(values) else None

    tokens_in, tokens_out = (
        total([one.tokens_in for one in spent]), total([one.tokens_out for one in spent]),
    )  # fmt: skip
    return replace(
        answer,
        tokens_in=None if tokens_in is None else int(tokens_in),
        tokens_out=None if tokens_out is None else int(tokens_out),
        cost_usd=total([one.cost_usd for one in spent]),
        latency_s=total([one.latency_s for one in spent]),
    )

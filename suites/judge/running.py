"""The judge of a suite: its canaries, then every answer, each reply kept as it comes."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agent.errors import BadConfig
from agent.record import NOT_MEANT, Answer, Call, Score, unscored
from agent.store.budgets import NOTHING, Amount
from suites.asking import Asking, Local, ask_local, open_endpoint, open_local
from suites.journal import Journal
from suites.judge.canaries import DISTRUSTED, Trust, tried
from suites.judge.judging import Preferences, compared, judged
from suites.judge.prompt import drawn_marks
from suites.judge.rubric import Rubric, load_rubric
from suites.judge.spending import spent_measures
from suites.purse import bounds_of, charge, less, minus, total
from suites.record import Item, Outcome
from suites.suite import Judge

# Where the journal keeps its replies; no target has such a name.
JUDGE = "(judge)"
_NOT_FOR_IT = unscored(NOT_MEANT)


def load_rubrics(told: Judge, folder: Path) -> tuple[Rubric, ...]:
    """The rubrics of a judge; raises BadConfig for one that cannot be used, or two of one name."""
    found = tuple(load_rubric(name, folder) for name in told.rubrics)
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        raise BadConfig("judge.rubrics", "two rubrics have one name")
    if told.labels is not None and not (folder / told.labels.expanduser()).is_file():
        raise BadConfig("judge.labels", f"{told.labels} is no file")
    for name in told.cheap:
        if name not in names:
            raise BadConfig(f"judge.cheap.{name}", "is no rubric of this judge")
    return found


class Asker:
    """Puts questions to the judge within its cap; what the journal has is not asked again.

    `spent` is what the answers that were put to it have cost, whenever that was: a run that goes on
    has spent what one that was never stopped has. The cap is one of all that was ever asked in the
    run. `by` is the digest of the model that is asked.
    """

    def __init__(self, told: Judge, folder: Path, concurrency: int, journal: Journal) -> None:
        self._by, self._folder, self._at_once = told.by, folder, concurrency
        self.by = journal.asked
        self._journal, self._bounds = journal, bounds_of(told.budget)
        self._counted: set[str] = set()
        self._local: Local | None = None
        self.spent = NOTHING
        self.stopped: str | None = None

    def ask(self, calls: Sequence[Call]) -> Mapping[str, Answer]:
        """The answers to these questions, as far as they were asked."""
        # What a person sets wins; a verdict is no place for chance.
        parameters = {"temperature": 0.0} | self._by.parameters
        put = [replace(call, parameters=tuple(parameters.items())) for call in calls]
        self._count(put)
        if self._by.url is None:
            self._ask_local(put)
        else:
            self._ask_endpoint(put)
        self._count(put)
        there = self._journal.there
        return {call.id: there[call.id].answer for call in calls if call.id in there}

    def _ask_local(self, calls: Sequence[Call]) -> None:
        there = self._journal.there
        if all(call.id in there for call in calls):
            return
        if self._local is None:
            self._local = open_local("judge.by", self._by, self._folder)
        ask_local(self._local, calls, there, self._journal.keep)

    def _ask_endpoint(self, calls: Sequence[Call]) -> None:
        model, candidate = open_endpoint("judge.by", self._by, self._at_once)
        left, there = less(self._bounds, self._journal.cost), self._journal.there
        asking = Asking(model, self._by, candidate, left, self._journal.keep)
        asyncio.run(asking.ask([call for call in calls if call.id not in there]))
        self.stopped = asking.stopped or self.stopped

    def _count(self, calls: Sequence[Call]) -> None:
        there = self._journal.there
        for call in calls:
            if call.id in there and call.id not in self._counted:
                self._counted.add(call.id)
                self.spent = total([self.spent, self._cost(call, there[call.id].answer)])

    def _cost(self, call: Call, answer: Answer) -> Amount:
        if self._by.url is not None:
            return charge(call, self._by.candidate(self._at_once), answer)
        return Amount(1, (answer.tokens_in or 0) + (answer.tokens_out or 0), 0)


class Judging:
    """Judges the outcomes of a run by every rubric."""

    def __init__(self, told: Judge, rubrics: Sequence[Rubric], asker: Asker, seed: int) -> None:
        self._told, self._rubrics, self._asker = told, rubrics, asker
        self._marks = drawn_marks(seed)

    def judge(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
        """The outcomes with the scores of every rubric, and how the judge did.

        Of a judge that fails its canaries nothing more is asked, and no score counts. What its
        canaries cost is counted with the first target, and so is a text that several answered.
        """
        places = [i for i, one in enumerate(items) if self._is_mine(one)]
        trusts = [(one, *self._tried(one)) for one in self._rubrics]
        against = next((one for one in outcomes if one.target == self._told.against), None)
        for outcome in outcomes:
            scores, measures = dict(outcome.scores), dict(outcome.measures)
            for rubric, trust, canaries in trusts:
                before = self._asker.spent
                measures |= _trust_measures(rubric, trust)
                row = self._row(rubric, trust, outcome, places)
                scores[rubric.metric] = _spread(row, places, len(items))
                if against is not None and against is not outcome:
                    found = self._compared(rubric, trust, outcome, against, places)
                    scores[f"{rubric.metric}_win"] = _spread(found.scores, places, len(items))
                    measures |= _place_measures(rubric, found)
                spent = minus(self._asker.spent, before)
                whole = total([spent, canaries]) if outcome is outcomes[0] else spent
                measures |= spent_measures(rubric, whole, self._told.by.price)
            yield replace(outcome, scores=scores, measures=measures)

    def _tried(self, rubric: Rubric) -> tuple[Trust, Amount]:
        before = self._asker.spent
        trust = tried(rubric, self._asker, self._marks, self._told.bar)
        return trust, minus(self._asker.spent, before)

    def versions(self, items: Sequence[Item]) -> dict[tuple[str, str], str]:
        """What gives every rubric's metrics in each task: the question, and who answers it."""
        tasks, by = {one.task for one in items if self._is_mine(one)}, self._asker.by
        return {
            (task, f"{one.metric}{end}"): f"judge 1+{one.digest[:12]}+{by[:12]}"
            for task in tasks
            for one in self._rubrics
            for end in ("", "_win")
        }

    def _is_mine(self, item: Item) -> bool:
        return item.twin is None and (not self._told.tasks or item.task in self._told.tasks)

    def _row(
        self, rubric: Rubric, trust: Trust, outcome: Outcome, places: Sequence[int]
    ) -> list[Score]:
        if trust.distrusted:
            return _refused(places)
        calls = [outcome.calls[i] for i in places]
        return judged(rubric, calls, self._asker, self._marks, self._told.share)

    def _compared(
        self, rubric: Rubric, trust: Trust, ours: Outcome, theirs: Outcome, places: Sequence[int]
    ) -> Preferences:
        if trust.distrusted:
            return Preferences(_refused(places), 0, 0, 0)
        a, b = ([one.calls[i] for i in places] for one in (ours, theirs))
        return compared(rubric, a, b, self._asker, self._marks, self._told.share)


def _refused(places: Sequence[int]) -> list[Score]:
    return [Score(None, "invalid", DISTRUSTED)] * len(places)


def _spread(row: Sequence[Score], places: Sequence[int], n: int) -> tuple[Score, ...]:
    whole = [_NOT_FOR_IT] * n
    for i, score in zip(places, row, strict=True):
        whole[i] = score
    return tuple(whole)


def _trust_measures(rubric: Rubric, trust: Trust) -> dict[str, float]:
    if trust.share is None:
        return {}
    return {
        f"{rubric.metric}_canaries_passed_ratio": trust.share,
        f"{rubric.metric}_canaries_asked_calls": float(trust.asked),
    }


def _place_measures(rubric: Rubric, found: Preferences) -> dict[str, float]:
    bias = found.position_bias
    return {} if bias is None else {f"{rubric.metric}_position_bias_ratio": bias}

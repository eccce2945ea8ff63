"""How an answer stands up to a change of its question that should change nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from agent.experiments import PROBE
from agent.probes import PROBES, SEGMENT
from agent.record import Call, Score, unscored
from agent.scoring import NO, YES
from suites.checks import NOT_ASKED, NOT_FOR_THIS, Terms, check
from suites.extracts import extracted, named
from suites.record import Item

# The question that was changed got no answer: there is nothing to compare with.
_NO_ORIGINAL = unscored("no_original")
Answered = Callable[[Call, Call], Score]


class Twins:
    """The changed items of a task beside the calls of both forms."""

    def __init__(self, items: Sequence[Item], calls: Sequence[Call | None]) -> None:
        self._row: list[Score] = [NOT_FOR_THIS] * len(items)
        self.pairs: dict[int, tuple[Call, Call]] = {}
        places = {item.call.id: at for at, item in enumerate(items)}
        for at, item in enumerate(items):
            if item.twin is None:
                continue
            call, first = calls[at], calls[places[item.twin]] if item.twin in places else None
            if call is None:
                self._row[at] = NOT_ASKED
            elif first is None or not (first.response or "").strip():
                self._row[at] = _NO_ORIGINAL
            else:
                self.pairs[at] = call, first

    def row(self, scores: Mapping[int, Score]) -> list[Score]:
        """A score for every item: of those pairs that have one, or why there is none."""
        return [
            scores.get(at, NOT_FOR_THIS if at in self.pairs else why)
            for at, why in enumerate(self._row)
        ]


@check("changes")
class Changes:
    """Of every changed question how near its answer is to that of the unchanged one
    (agent/scoring/consistency.py), and whether a right answer became wrong.

    `answer_flip` is of robustness only, since who the question is about may be part of its
    reference, and of items whose unchanged form was answered rightly: by one of `exact_match`,
    `choice_match` and `number_match`, of what the task's `extract` takes of both.
    """

    def __init__(self, terms: Terms) -> None:
        self._near, self._right = terms.scorer("consistency"), terms.scorer("matches")
        self._extract = terms.extract
        right = named(self._right.version, terms.extract)
        self.version = f"1+{self._near.version}+{right}"
        self.metrics: tuple[str, ...] = (*self._near.metrics, "answer_flip")

    def check(
        self, items: Sequence[Item], calls: Sequence[Call | None]
    ) -> Mapping[str, Sequence[Score]]:
        twins = Twins(items, calls)
        probes = [
            replace(
                call, variant=f"{PROBE}suite", reference=first.response,
                segment=((SEGMENT, items[at].change or ""),),
            )
            for at, (call, first) in twins.pairs.items()
        ]  # fmt: skip
        given = self._near.score(probes)
        found = {
            metric: twins.row(dict(zip(twins.pairs, given[metric], strict=True)))
            for metric in self._near.metrics
        }
        return found | {"answer_flip": twins.row(self._flips(items, twins))}

    def _flips(self, items: Sequence[Item], twins: Twins) -> dict[int, Score]:
        at = [at for at in twins.pairs if items[at].change in PROBES["robustness"]]
        before = self._correct([replace(twins.pairs[i][1], reference=items[i].call.reference)
                                for i in at])  # fmt: skip
        after = self._correct([replace(twins.pairs[i][0], reference=items[i].call.reference)
                               for i in at])  # fmt: skip
        return {
            place: NO if right else YES
            for place, was_right, right in zip(at, before, after, strict=True)
            if was_right
        }

    def _correct(self, calls: Sequence[Call]) -> list[bool]:
        rows = self._right.score([extracted(self._extract, call) for call in calls]).values()
        return [any(score.value == 1.0 for score in scores) for scores in zip(*rows, strict=True)]

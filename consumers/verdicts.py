"""What a judge of production comes to, over the calls among which all that was drawn was asked.

Calls are drawn evenly and asked as they come, until the hour's budget is spent, a breaker opens or
somebody stops it: of a busy hour the rest is drawn and not asked. 2026-11-27, two days of 30,000
calls an hour by day of which .80 are right and 3,000 by night with .92, rate .02, 200 an hour: as
one sample the interval of the verdicts held the truth in none of 20, at every look in 17.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from abtest.ppi import Estimate, anytime, judged_alone, mean, of_scores
from agent.catalog import metric_named
from agent.panes import HOUR_S
from agent.store.judgements import Answered, Drawn, Scope
from agent.store.tickets import OUT, SETTLED

# The weight of the interval that holds at every look: it must not depend on the data.
_FIXED_WEIGHT = 0.5
AT_EVERY_LOOK = "at every look"


@dataclass(frozen=True, slots=True)
class Sample:
    """What became of the calls that were drawn: the keys of those that were asked, how many were
    not by why, how many wait, and by the hour when the first began that was not asked."""

    asked: frozenset[bytes]
    unasked: Counter[str]
    waiting: int
    ends: dict[int, float]

    def is_even(self, at: float) -> bool:
        """Whether all that was drawn in the hour of a call, up to it, was asked."""
        return at < self.ends.get(int(at // HOUR_S), math.inf)


@dataclass(frozen=True, slots=True)
class Found:
    """What a judge said, over `calls` answered calls that began in [since, until).

    `aside` more do not count, since calls that were drawn beside them were not asked: `unasked` by
    why, and `waiting`. `silent` ones were asked and have no verdict. `lacking` ones have no cheap
    score and count in no estimate with it; `estimates` are means of the verdicts.
    """

    judge: str
    cheap: str | None
    since: float
    until: float
    calls: int
    judged: int
    lacking: int
    aside: int
    unasked: dict[str, int]
    waiting: int
    silent: int
    warnings: list[str]
    estimates: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class _Part:
    """Verdicts and the cheap scores of those calls, of those that gave none, and of all others."""

    said: list[float]
    scores: list[float]
    silent: list[float]
    others: list[float]


def sample_of(drawn: Iterable[Drawn]) -> Sample:
    """What became of the calls that were drawn."""
    asked, unasked, waiting = set[bytes](), Counter[str](), 0
    ends: dict[int, float] = {}
    for one in drawn:
        if one.state in SETTLED:
            asked.add(one.key)
            continue
        waiting += one.state in OUT
        if one.state not in OUT:
            unasked[one.why] += 1
        hour = int(one.at // HOUR_S)
        ends[hour] = min(one.at, ends.get(hour, math.inf))
    return Sample(frozenset(asked), unasked, waiting, ends)


def found_in(
    name: str, cheap: str | None, scope: Scope, rows: Sequence[Answered], sample: Sample
) -> Found:
    """The estimates of a judge."""
    even = [one for one in rows if sample.is_even(one.at)]
    part = _part(even, None, sample.asked)
    estimates = {"judge": _to_the_worst(_alone, part)}
    aside, lacking = len(rows) - len(even), 0
    if cheap is not None:
        scored = [one for one in even if one.cheap is not None]
        lacking = len(even) - len(scored)
        both = _part(scored, cheap, sample.asked)
        estimates[f"judge + {cheap}"] = _to_the_worst(_corrected, both)
        if not sample.unasked:
            estimates[AT_EVERY_LOOK] = _to_the_worst(_at_every_look, both)
    warnings = list(_warnings(sample, aside, len(part.silent), cheap is not None))
    return Found(
        name, cheap, scope.since, scope.until, len(even), len(part.said), lacking, aside,
        dict(sample.unasked), sample.waiting, len(part.silent), warnings, estimates,
    )  # fmt: skip


def _part(rows: Iterable[Answered], cheap: str | None, asked: frozenset[bytes]) -> _Part:
    low = cheap is not None and metric_named(cheap).good == "low"
    made = _Part([], [], [], [])
    for one in rows:
        score = 0.0 if cheap is None or one.cheap is None else one.cheap
        turned = 1 - score if low else score
        if one.verdict is not None:
            made.said.append(one.verdict)
            made.scores.append(turned)
        else:
            (made.silent if one.key in asked else made.others).append(turned)
    return made


def _to_the_worst(
    make: Callable[[list[float], list[float], list[float]], Estimate], part: _Part
) -> Estimate:
    """An estimate whose interval also holds whatever the verdicts that were not given are."""
    plain = make(part.said, part.scores, part.silent + part.others)
    if not part.silent:
        return plain
    n, scores = len(part.silent), part.scores + part.silent
    worst, best = (make(part.said + [value] * n, scores, part.others) for value in (0.0, 1.0))
    return replace(plain, lower=min(plain.lower, worst.lower), upper=max(plain.upper, best.upper))


def _alone(said: list[float], scores: list[float], others: list[float]) -> Estimate:
    return judged_alone(said, others=len(others))


def _corrected(said: list[float], scores: list[float], others: list[float]) -> Estimate:
    return mean(said, scores, of_scores(others))


def _at_every_look(said: list[float], scores: list[float], others: list[float]) -> Estimate:
    return anytime(said, scores, scores + others, _FIXED_WEIGHT)


def _warnings(sample: Sample, aside: int, silent: int, cheap: bool) -> Iterator[str]:
    if sample.unasked:
        why = ", ".join(f"{n} {word}" for word, n in sorted(sample.unasked.items()))
        none = f", and there is no figure {AT_EVERY_LOOK}" if cheap else ""
        yield (
            f"{sample.unasked.total()} calls that were drawn were not asked ({why}): an hour counts"
            f" up to the first of them, so {aside} answered calls are in no figure{none};"
            " a lower `rate` or a larger budget asks all that is drawn"
        )
    elif sample.waiting:
        yield f"{sample.waiting} drawn calls wait to be asked: {aside} calls do not count yet"
    if silent:
        yield f"{silent} calls were asked and have no verdict: the intervals hold whatever it were"

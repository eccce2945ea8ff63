"""Whether an answer says what its reference says: the whole text, a choice, a number."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence

from agent.record import Call, Score, unscored
from agent.scoring import NO, YES, Options, of_references, scorer

# "Answer: B", "(B)", "B." or the letter alone; the last one that is announced counts.
_CHOICE = re.compile(
    r"(?i:answer|choice|option)\W{0,3}(?:is\W{0,3})?\(?([A-J])\b|^\W{0,3}([A-J])(?:[).:]|\s*$)",
    re.M,
)
_NUMBER = re.compile(r"[-+]?\d[\d,]{0,30}(?:\.\d{1,30})?(?:[eE][-+]?\d{1,3})?")
# Answers round; seven digits are what a float of theirs keeps.
_RELATIVE = 1e-6


@scorer("matches")
class Matches:
    """1 where the answer equals the reference after case, spaces and punctuation are levelled;
    where its choice letter does; where its last number does."""

    name = "matches"
    version = "1"
    metrics: tuple[str, ...] = ("exact_match", "choice_match", "number_match")

    def __init__(self, options: Options) -> None: ...

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        rules = (_exact, _choice, _number)
        return {
            metric: of_references(calls, rule)
            for metric, rule in zip(self.metrics, rules, strict=True)
        }


def _level(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", plain)) or plain.strip()


def _exact(response: str, reference: str) -> Score:
    return YES if _level(response) == _level(reference) else NO


def _choice(response: str, reference: str) -> Score:
    wanted = _letter(reference)
    if wanted is None:
        return unscored("no_choice")
    return YES if _letter(response) == wanted else NO


def _letter(text: str) -> str | None:
    found = [first or second for first, second in _CHOICE.findall(text)]
    return found[-1].upper() if found else None


def _number(response: str, reference: str) -> Score:
    wanted, given = _last(reference), _last(response)
    if wanted is None:
        return unscored("no_number")
    return YES if given is not None and math.isclose(given, wanted, rel_tol=_RELATIVE) else NO


def _last(text: str) -> float | None:
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None

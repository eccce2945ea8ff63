"""Whether an answer names the right intent."""

import re
from collections.abc import Mapping, Sequence

from agent.record import Call, Score
from agent.scoring import NO, NO_RESPONSE, SCANNED_CHARS, YES
from suites.checks import NOT_ASKED, NOT_FOR_THIS, Terms, check
from suites.record import Item

# Between a label and the other words for it, in the fact `intent` or the reference.
ALTERNATIVE = "|"


@check("intent")
class Intent:
    """1 where an answer names one label of the task, and it is the item's.

    An item's label is its fact `intent`, else its reference; `card_lost|stolen card` is one label
    with another word for it. Case, spaces and underscores are levelled, the longest label counts
    where one is a part of another, and an answer that names several names none.
    """

    version = "1"
    metrics: tuple[str, ...] = ("intent_match",)

    def __init__(self, terms: Terms) -> None: ...

    def check(
        self, items: Sequence[Item], calls: Sequence[Call | None]
    ) -> Mapping[str, Sequence[Score]]:
        told = [item.facts.get("intent") or item.call.reference for item in items]
        labels = Labels([one for one in told if one])
        row = []
        for call, label in zip(calls, told, strict=True):
            if label is None or (wanted := labels.label_of(label)) is None:
                row.append(NOT_FOR_THIS)
            elif call is None:
                row.append(NOT_ASKED)
            elif call.response is None:
                row.append(NO_RESPONSE)
            else:
                row.append(YES if labels.named(call.response) == wanted else NO)
        return {"intent_match": row}


class Labels:
    """The labels of a task with the words for each."""

    def __init__(self, told: Sequence[str]) -> None:
        self._label_of: dict[str, str] = {}
        for one in told:
            words = [level(word) for word in one.split(ALTERNATIVE) if level(word)]
            for word in words:
                self._label_of.setdefault(word, words[0])
        longest = sorted(self._label_of, key=lambda word: (-len(word), word))
        self._pattern = re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, longest))})(?!\S)")

    def label_of(self, told: str) -> str | None:
        """The label that an item has; None of one without a letter or digit."""
        words = (self._label_of.get(level(word)) for word in told.split(ALTERNATIVE))
        return next((label for label in words if label is not None), None)

    def named(self, text: str) -> str | None:
        """The one label that a text names; None where it names none, or more than one."""
        said = level(text[:SCANNED_CHARS])
        if said in self._label_of:
            return self._label_of[said]
        found = {self._label_of[word] for word in self._pattern.findall(said) if word}
        return found.pop() if len(found) == 1 else None


def level(text: str) -> str:
    """In small letters, words apart by one space, without any other sign."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))

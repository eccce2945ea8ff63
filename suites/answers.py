"""Recorded answers: what a file says that a model answered, by the item's id or its prompt."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from agent.errors import BadRecord
from agent.record import Answer
from agent.store.budgets import NOTHING, Amount
from suites.datasets import Row, at, holds, read_rows
from suites.mappings import identity, text
from suites.record import Item

_NUMBERS = ("latency_s", "ttft_s", "cost_usd")
_COUNTS = ("tokens_in", "tokens_out")
_WORDS = ("error", "finish")
FIELDS = ("id", "prompt", "response", "at", "status", *_NUMBERS, *_COUNTS, *_WORDS)
_WORD_CHARS = 128  # as of what an endpoint says (shadow/replies.py)
_STATUS = ("ok", "error", "timeout")
# The fact of an item that holds its prompt as the dataset has it, without the template.
PLAIN = "plain_prompt"


@dataclass(frozen=True, slots=True)
class Given:
    """One answer, and when it was asked for in epoch seconds, 0 where nobody says.

    `cost` is what all tries of its question came to; the store keeps the sum, not the parts.
    """

    item: str
    at: float
    answer: Answer
    cost: Amount = NOTHING


class Recorded:
    """The answers of a file.

    `columns` names the column of a field where it has another name, and `where` the rows that are
    read. `rejected` counts by reason the rows that are no answer. Raises BadConfig for a file that
    cannot be read.
    """

    def __init__(
        self, key: str, file: Path, columns: Mapping[str, str], where: Mapping[str, str],
        folder: Path,
    ) -> None:  # fmt: skip
        self._columns = {name: name for name in FIELDS} | dict(columns)
        self.rejected: Counter[str] = Counter()
        self._by_id: dict[str, Given] = {}
        self._by_prompt: dict[str, Given] = {}
        for row in read_rows(key, str(file), folder):
            if isinstance(row, str):
                self.rejected[row] += 1
            elif holds(row, where):
                self._take(row)

    def _take(self, row: Row) -> None:
        found = {name: at(row, column) for name, column in self._columns.items()}
        try:
            named, prompt = identity(found["id"]), _last(found["prompt"])
            given = Given("", _number(found["at"]) or 0.0, _answer(found))
        except BadRecord as error:
            self.rejected[error.reason] += 1
            return
        if named is None and prompt is None:
            self.rejected["bad_id"] += 1
        if named is not None:
            self._by_id.setdefault(named, given)
        if prompt is not None:
            self._by_prompt.setdefault(prompt, given)

    def answers(self, items: Sequence[Item]) -> Iterator[Given | None]:
        """What was answered to each item, None where the file does not say.

        By the item's own id, by that of its row (of an item that is no changed form of another),
        by its prompt with and without the template.
        """
        for item in items:
            plain = item.facts.get(PLAIN, item.call.prompt)
            ids = [item.call.id] if item.twin else [item.call.id, item.call.id.partition(":")[2]]
            found = [self._by_id.get(one) for one in ids]
            found += [self._by_prompt.get(one or "") for one in (item.call.prompt, plain)]
            first = next((one for one in found if one is not None), None)
            yield first and Given(item.call.id, first.at, first.answer)


def _last(prompt: Any) -> str | None:
    """A prompt, or the last turn of one that is a conversation."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[-1], dict):
        prompt = prompt[-1].get("content")
    return text(prompt)


def _answer(found: Mapping[str, Any]) -> Answer:
    said, status = found["response"], found["status"]
    if said is not None:
        said = text(said) or ""  # an empty answer is one
    if said is None and status in (None, "ok"):
        raise BadRecord("no_response")
    if status not in (None, *_STATUS):
        raise BadRecord("bad_value")
    held: dict[str, Any] = {name: _number(found[name]) for name in _NUMBERS}
    held |= {name: _count(found[name]) for name in _COUNTS}
    held |= {name: _word(found[name]) for name in _WORDS}
    return Answer(status or "ok", said, **held)


def _word(value: Any) -> str | None:
    """A text as one line that can be counted and printed."""
    said = " ".join((text(value) or "").split())
    return "".join(filter(str.isprintable, said))[:_WORD_CHARS] or None


def _number(value: Any) -> float | None:
    """A number, or one that a CSV file holds as a text; None where there is none."""
    try:
        number = None if value in (None, "") or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None  # a time in words is no reason to lose an answer
    return number if number is not None and 0 <= number < 1e15 else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None


def as_row(answer: Answer) -> dict[str, Any]:
    """An answer as plain data, what it does not say left out."""
    held = {one.name: getattr(answer, one.name) for one in fields(Answer)}
    return {name: value for name, value in held.items() if value is not None}

"""From the row of a dataset to a question: by columns, or by the mapping of a known dataset."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agent.errors import BadRecord
from agent.record import Message
from suites import checks
from suites.datasets import Row, at

_FIELDS = ("id", "prompt", "reference", "contexts", "messages", "system")
_ID_CHARS = 100  # an item's id has its task before it and the name of a change behind it
_TEXT_CHARS = 1_000_000
_SUMMARISE = "Summarise the following article in a few sentences.\n\n"
# Chat logs name the speaker in two ways; the second is that of ShareGPT.
_SPEAKERS = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant"}
_FINAL = re.compile(r"####\s*(\S[^\n]*)")


@dataclass(frozen=True, slots=True)
class Question:
    """What a row asks; `messages` are the turns before the prompt, which is the user's last."""

    prompt: str
    id: str | None = None
    reference: str | None = None
    contexts: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


Mapper = Callable[[Row], Question]


def fields_of(kind: str) -> tuple[str, ...]:
    """What a task of this kind can take from a column."""
    return (*_FIELDS, *checks.FACTS.get(kind, ()))


def mapper_of(told: str | Mapping[str, str], kind: str) -> Mapper:
    """How rows become questions; a mapper raises BadRecord for a row that is none."""
    if isinstance(told, str) and told != "plain":
        return READY[told]
    columns = {name: name for name in fields_of(kind)} if isinstance(told, str) else dict(told)
    return partial(_by_columns, columns)


def _by_columns(columns: Mapping[str, str], row: Row) -> Question:
    found = {name: at(row, column) for name, column in columns.items()}
    turns = _turns(found.get("messages"))
    system = text(found.get("system"))
    last = turns[-1] if turns else None
    if last and last.role == "user" and found.get("prompt") in (None, last.content):
        found["prompt"], turns = last.content, turns[:-1]
    return Question(
        _prompt(found.get("prompt")), identity(found.get("id")), text(found.get("reference")),
        _texts(found.get("contexts")), (*_system(system), *turns),
        {name: fact for name in found if name not in _FIELDS
         if (fact := _fact(found[name])) is not None},
    )  # fmt: skip


def _system(said: str | None) -> tuple[Message, ...]:
    return (Message("system", said),) if said else ()


def _commonsense_qa(row: Row) -> Question:
    labels, options = _list(at(row, "choices.label")), _list(at(row, "choices.text"))
    lines = [f"{one}. {said}" for one, said in zip(labels, options, strict=False)]
    if not lines or len(labels) != len(options):
        raise BadRecord("no_choices")
    prompt = "\n".join([_prompt(row.get("question")), *lines])
    return Question(prompt, identity(row.get("id")), text(row.get("answerKey")))


def _gsm8k(row: Row) -> Question:
    worked = text(row.get("answer"))
    final = _FINAL.search(worked or "")
    return Question(_prompt(row.get("question")), identity(row.get("id")), final and final[1])


def _cnn_dailymail(row: Row) -> Question:
    article = _prompt(row.get("article"))
    reference = text(row.get("highlights"))
    return Question(_SUMMARISE + article, identity(row.get("id")), reference, (article,))


def _chat(row: Row) -> Question:
    """A logged conversation: its last question, with the answer of the log as its reference."""
    held = next((row[n] for n in ("messages", "conversation", "conversations") if row.get(n)), None)
    turns, reference = _turns(held), text(row.get("response"))
    if not turns:
        return Question(_prompt(row.get("prompt")), identity(row.get("id")), reference)
    while turns and turns[-1].role != "user":
        reference, turns = reference or turns[-1].content, turns[:-1]
    prompt = _prompt(turns[-1].content if turns else None)
    return Question(prompt, identity(row.get("id")), reference, (), turns[:-1])


READY: dict[str, Mapper] = {
    "commonsense_qa": _commonsense_qa,
    "gsm8k": _gsm8k,
    "cnn_dailymail": _cnn_dailymail,
    "chat": _chat,
}


def text(value: Any) -> str | None:
    """A text or a number as a text; None where it is missing or empty. Raises BadRecord."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRecord("bad_text")
    said = str(value)
    if len(said) > _TEXT_CHARS:
        raise BadRecord("too_large")
    try:
        said.encode()
    except UnicodeEncodeError:
        raise BadRecord("encoding") from None
    return said if said.strip() else None


def identity(value: Any) -> str | None:
    """What identifies a row in its dataset; None where it does not say. Raises BadRecord."""
    said = text(value)
    if said is not None and (len(said) > _ID_CHARS or not said.isprintable()):
        raise BadRecord("bad_id")
    return said


def _prompt(value: Any) -> str:
    said = text(value)
    if said is None:
        raise BadRecord("no_prompt")
    return said


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> tuple[str, ...]:
    read = (text(one) for one in (value if isinstance(value, list) else [value]))
    return tuple(one for one in read if one is not None)


def _turns(value: Any) -> tuple[Message, ...]:
    """Turns, or the JSON text of a CSV file that holds them."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BadRecord("bad_turn") from None
    turns = []
    for one in _list(value):
        role = one.get("role", one.get("from")) if isinstance(one, dict) else None
        said = text(one.get("content", one.get("value"))) if isinstance(one, dict) else None
        if not isinstance(role, str):
            raise BadRecord("bad_turn")
        if said is not None:
            turns.append(Message(_SPEAKERS.get(role, role), said))
    return tuple(turns)


def _fact(value: Any) -> str | None:
    return json.dumps(value) if isinstance(value, list | dict) else text(value)

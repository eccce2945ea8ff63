"""Items with answers, for the tests of checks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.record import Call, Message, Score
from agent.scoring import Options, load
from suites import checks
from suites.record import Item

TERMS = checks.Terms(lambda name: load(name, Options(device="cpu")))


def item(
    name: str = "t:1",
    prompt: str = "Why?",
    reference: str | None = None,
    turns: Sequence[tuple[str, str]] = (),
    twin: str | None = None,
    change: str | None = None,
    **facts: object,
) -> Item:
    """A question; facts that are no text are kept as JSON."""
    messages = tuple(Message(role, said) for role, said in turns)
    call = Call(name, 0.0, "", prompt=prompt, messages=messages, reference=reference,
                origin="dataset")  # fmt: skip
    held = {key: one if isinstance(one, str) else json.dumps(one) for key, one in facts.items()}
    return Item(call, "t", held, twin, change)


def answered(items: Sequence[Item], texts: Sequence[str | None]) -> list[Call | None]:
    """The calls with these answers; None is one that did not come back."""
    return [
        replace(one.call, model="m", response=text, status="timeout" if text is None else "ok")
        for one, text in zip(items, texts, strict=True)
    ]


def checked(
    name: str, items: Sequence[Item], texts: Sequence[str | None]
) -> Mapping[str, Sequence[Score]]:
    """What a check says of these answers."""
    return checks.load(name, TERMS).check(items, answered(items, texts))


def values(scores: Sequence[Score]) -> list[float | str | None]:
    """Each score's value, or why there is none."""
    return [one.why if one.value is None else one.value for one in scores]

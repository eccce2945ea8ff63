"""The questions of our own that ship: attacks, attempts at secrets, and swaps of people."""

import importlib
import json
from dataclasses import replace
from importlib import resources
from random import Random

from suites.record import Item
from suites.twins import drawn

# The kinds that have questions of their own, each a module beside this one.
SHIPPED = ("attack", "leakage", "bias")

# The facts that are segments too, where a row of a user's own has them.
SEGMENTS: dict[str, tuple[str, ...]] = {
    "attack": ("harm", "technique"),
    "leakage": ("technique",),
    "bias": ("axis", "group"),
}
Rows = list[dict[str, str]]


def rows(name: str) -> Rows:
    """The rows of a file beside this module."""
    said = resources.files(__name__).joinpath(f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in said.splitlines()]


def shipped(
    kind: str, task: str, seed: int, limit: int | None = None, system: str | None = None
) -> list[Item]:
    """The questions of a kind, `limit` of them drawn by seed (of bias whole sets, no more than
    that); none for a kind that has no questions of its own. With a `system` prompt of the task
    the questions are for that one."""
    if kind not in SHIPPED:
        return []
    made: list[list[Item]] = importlib.import_module(f"{__name__}.{kind}").sets(task, seed, system)
    if limit is not None:
        order = Random(drawn(seed, task, kind)).sample(range(len(made)), len(made))
        left, chosen = limit, set()
        for at in order:
            if len(made[at]) <= left:
                chosen.add(at)
                left -= len(made[at])
        made = [one for at, one in enumerate(made) if at in chosen]
    return [item for one in made for item in one]


def adapted(kind: str, item: Item) -> Item:
    """A row of a user's own with its segments."""
    found = [(name, item.facts[name]) for name in SEGMENTS.get(kind, ()) if name in item.facts]
    segment = tuple(sorted({**dict(item.call.segment), **dict(found)}.items()))
    return replace(item, call=replace(item.call, segment=segment))

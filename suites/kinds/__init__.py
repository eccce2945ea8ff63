"""The questions of our own that ship: attacks, attempts at secrets, and swaps of people."""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import resources

from suites.record import Item

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


def shipped(kind: str, task: str, seed: int, limit: int | None = None) -> list[Item]:
    """The questions of a kind, `limit` of them drawn by seed (of bias whole sets, no more than
    that); none for a kind that has no questions of its own."""
    from suites.kinds import attack, bias, leakage

    made: dict[str, Callable[[str, int, int | None], list[Item]]] = {
        "attack": attack.items,
        "leakage": leakage.items,
        "bias": bias.items,
    }
    return made[kind](task, seed, limit) if kind in made else []


def adapted(kind: str, item: Item, seed: int) -> Item:
    """A row of a user's own as the checks of its kind take it: its segments, and for `{secret}` in
    a system turn one that is drawn."""
    from suites.kinds.leakage import planted

    found = [(name, item.facts[name]) for name in SEGMENTS.get(kind, ()) if name in item.facts]
    segment = tuple(sorted({**dict(item.call.segment), **dict(found)}.items()))
    made = replace(item, call=replace(item.call, segment=segment))
    return planted(made, seed) if kind == "leakage" else made

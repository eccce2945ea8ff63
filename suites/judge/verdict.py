"""What a judge said, read strictly: one object, its three keys, its mark, one known label."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

UNREADABLE = ("bad_json", "bad_keys", "bad_mark", "bad_label")
_KEYS = {"mark", "reason", "verdict"}
_SAID_CHARS = 20_000
# One fence around the whole is how many models write JSON.
_FENCED = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A label, and the judge's reason as it gave it: a text like any other."""

    label: str
    reason: str


def read_verdict(said: str | None, mark: str, labels: Collection[str]) -> Verdict | str:
    """The verdict, or one word for what is wrong with it.

    `bad_json` is anything that is not one JSON object alone, `bad_keys` one with other keys,
    `bad_mark` one that does not repeat the mark (a verdict copied from the material), `bad_label`
    a verdict that was not to choose from.
    """
    text = (said or "").strip()
    if found := _FENCED.match(text):
        text = found[1]
    if len(text) > _SAID_CHARS:
        return "bad_json"
    try:
        told = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return "bad_json"
    if not isinstance(told, dict):
        return "bad_json"
    if set(told) != _KEYS or not isinstance(told["reason"], str):
        return "bad_keys"
    if told["mark"] != mark:
        return "bad_mark"
    label = told["verdict"]
    if type(label) is int:  # of a scale
        label = str(label)
    if not isinstance(label, str) or label not in labels:
        return "bad_label"
    return Verdict(label, told["reason"])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) < len(pairs):
        raise ValueError("a key stands twice")
    return told


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON")

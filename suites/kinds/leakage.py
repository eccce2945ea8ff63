"""Attempts at secrets: system prompts with a drawn secret, and questions that ask for it."""

import string
from dataclasses import replace
from random import Random

from agent.record import Call, Message
from suites.kinds import rows
from suites.record import Item
from suites.twins import drawn

PLACE = "{secret}"
# Without those that are taken for each other: 0 O, 1 I.
_SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_ONSETS, _VOWELS = (*"bdfgklmnprstvz", "br", "dr", "kr", "pl", "st", "tr"), "aeiou"


def items(task: str, seed: int, limit: int | None) -> list[Item]:
    """Every system prompt with every question; each item has a secret of its own.

    The facts are `secret` and `technique`; the technique and the kind of secret are segments.
    """
    made = []
    for house, system in enumerate(rows("systems")):
        for number, asked in enumerate(rows("extractions")):
            name = f"{task}:{house}-{number}"
            said = secret(system["kind"], drawn(seed, name))
            told = Message("system", system["prompt"].replace(PLACE, said))
            segment = (("secret", system["kind"]), ("technique", asked["technique"]))
            call = Call(
                name, 0.0, "", prompt=asked["question"], messages=(told,), segment=segment,
                origin="dataset",
            )  # fmt: skip
            made.append(Item(call, task, {"secret": said, "technique": asked["technique"]}))
    if limit is None or limit >= len(made):
        return made
    chosen = set(Random(drawn(seed, task, "leakage")).sample(range(len(made)), limit))
    return [item for at, item in enumerate(made) if at in chosen]


def planted(item: Item, seed: int) -> Item:
    """A row of a user's own with a secret drawn for every `{secret}` in its system turns."""
    turns = item.call.messages
    if "secret" in item.facts or not any(PLACE in turn.content for turn in turns):
        return item
    said = secret("code", drawn(seed, item.call.id))
    told = tuple(replace(turn, content=turn.content.replace(PLACE, said)) for turn in turns)
    facts = {**item.facts, "secret": said}
    return replace(item, call=replace(item.call, messages=told), facts=facts)


def secret(kind: str, seed: int) -> str:
    """A secret that no model has read before: of a kind, decided by the seed."""
    draw = Random(seed)
    signs = "".join(draw.choices(_SIGNS, k=12))
    word = _word(draw)
    return {
        "password": f"{word}-{_word(draw)}-{draw.randrange(1000, 9999)}",
        "key": "key_" + "".join(draw.choices(string.ascii_letters + string.digits, k=28)),
        "e-mail": f"{word}.{_word(draw)}@example.org",
        "name": f"{word.title()} {_word(draw).title()}",
    }.get(kind, f"{signs[:4]}-{signs[4:8]}-{signs[8:]}")


def _word(draw: Random) -> str:
    return "".join(draw.choice(_ONSETS) + draw.choice(_VOWELS) for _ in range(3))

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


def sets(task: str, seed: int, system: str | None) -> list[list[Item]]:
    """Every system prompt with every question; each item has a secret of its own.

    The facts are `secret` and `technique`; the technique and the kind of secret are segments. With
    a `system` prompt of the task the questions alone: the task puts that before them.
    """
    houses = [{"kind": "code", "prompt": ""}] if system is not None else rows("systems")
    return [
        [_item(f"{task}:{house}-{number}", told, asked, seed)]
        for house, told in enumerate(houses)
        for number, asked in enumerate(rows("extractions"))
    ]


def _item(name: str, told: dict[str, str], asked: dict[str, str], seed: int) -> Item:
    segment = (("secret", told["kind"]), ("technique", asked["technique"]))
    facts = {"technique": asked["technique"]}
    turns: tuple[Message, ...] = ()
    if told["prompt"]:
        facts["secret"] = secret(told["kind"], drawn(seed, name))
        turns = (Message("system", told["prompt"].replace(PLACE, facts["secret"])),)
    call = Call(
        name, 0.0, "", prompt=asked["question"], messages=turns, segment=segment, origin="dataset"
    )
    return Item(call, name.partition(":")[0], facts)


def planted(item: Item, seed: int) -> Item:
    """An item with a secret drawn for every `{secret}` in its system turns, if it has none yet; a
    changed form of an item has the same one."""
    turns = item.call.messages
    if "secret" in item.facts or not any(PLACE in turn.content for turn in turns):
        return item
    said = secret("code", drawn(seed, item.twin or item.call.id))
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

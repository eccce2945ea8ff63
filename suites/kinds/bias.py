"""Swaps of people: the same question about people of other names, groups and kin."""

from collections.abc import Iterator
from random import Random

from agent.record import Call
from shadow.people import GROUPS, KIN, NAMES
from suites.kinds import rows
from suites.record import Item
from suites.twins import drawn

# Where the names of each column of shadow/people.py are common, and whose names its rows are.
ORIGINS = ("European", "African American", "Arabic", "Latin American", "Asian")
GENDERS = ("women", "men")
# Pairs of kin for each question about them.
_PAIRS = 3
_AXES = ("religion", "nationality", "orientation")


def sets(task: str, seed: int, system: str | None) -> list[list[Item]]:
    """Sets of one question each about every group of an axis; the first of a set, drawn by seed,
    is the one that the others are twins of.

    The facts are `axis`, `group` and `set`; the first two are segments too.
    """
    return [
        [*_set(f"{task}:{one['template']}-{number}", axis, one["prompt"], people, seed)]
        for one in rows("templates")
        for number, (axis, people) in enumerate(_people(one["axis"], drawn(seed, one["prompt"])))
    ]


# What is put into a question, by what it is a name of.
People = dict[str, str]


def _people(axis: str, seed: int) -> Iterator[tuple[str, People]]:
    """The axes of a kind of question, each with what every group of it is called."""
    draw = Random(seed)
    if axis == "names":
        for row, gender in zip(NAMES, GENDERS, strict=True):
            chosen = {of: draw.choice(names) for of, names in zip(ORIGINS, row, strict=True)}
            yield f"names of {gender}", chosen
    elif axis == "groups":
        for name, groups in zip(_AXES, GROUPS, strict=True):
            yield name, {group: group for group in groups}
    else:
        for man, woman in draw.sample(KIN, _PAIRS):
            yield "gender", {"men": man, "women": woman}


def _set(name: str, axis: str, template: str, people: People, seed: int) -> Iterator[Item]:
    place = template[template.index("{") : template.index("}") + 1]
    groups = Random(drawn(seed, name)).sample(sorted(people), len(people))
    first = f"{name}-{groups[0]}"
    for group in groups:
        call = Call(
            f"{name}-{group}", 0.0, "", prompt=template.replace(place, people[group]),
            segment=(("axis", axis), ("group", group)), origin="dataset",
        )  # fmt: skip
        facts = {"axis": axis, "group": group, "set": name}
        change = "names" if place == "{name}" else "groups"
        twin = (first, change) if group != groups[0] else (None, None)
        yield Item(call, name.partition(":")[0], facts, *twin)

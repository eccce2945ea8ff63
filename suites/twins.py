"""Changed forms of a suite's questions, after which a good answer would stay as it is."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from agent.buckets import Ints
from agent.probes import APART_BY, METRIC_OF
from shadow.probes import changed
from suites.record import Item
from suites.values import units_of

# What is said of a changed question beside the one that it is a changed form of; all else is said
# of the questions as they came.
OF_TWINS = frozenset({*METRIC_OF.values(), *APART_BY, "answer_flip", "fairness_length"})


def twins(items: Iterable[Item], kinds: Sequence[str], seed: int) -> list[Item]:
    """One twin of each item and kind of change (shadow/probes.py) that applies to its prompt.

    The twin of an item has its reference and facts, the kind behind its id, and the id of the item
    as `twin`. Items that are twins have none. The conversation before the prompt stays as it is.
    """
    made = []
    for item in items:
        if item.twin is not None or item.call.prompt is None:
            continue
        for kind in kinds:
            prompt = changed(kind, item.call.prompt, drawn(seed, item.call.id, kind))
            if prompt is not None:
                call = replace(item.call, id=f"{item.call.id}~{kind}", prompt=prompt)
                made.append(replace(item, call=call, twin=item.call.id, change=kind))
    return made


def drawn(seed: int, *words: str) -> int:
    """A number that the seed and the words decide."""
    said = "/".join((str(seed), *words)).encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big")


def places_of(items: Sequence[Item], metric: str) -> list[int]:
    """Where a metric counts: at the changed questions for one of these, else at the others."""
    return [at for at, item in enumerate(items) if (item.twin is not None) == (metric in OF_TWINS)]


def blocks_of(items: Sequence[Item]) -> Ints:
    """A number for what belongs together: an item with its changed twins, or the items of one
    session or user."""
    units = units_of(item.call for item in items)
    places = {item.call.id: at for at, item in enumerate(items)}
    first = [places.get(item.twin or "", at) for at, item in enumerate(items)]
    return units[np.array(first, np.int64)]

"""What one closed pane holds of every watched series, as bins of one grid.

A bounded value has the bins that it was stored with. An amount has one of 257 steps of its
logarithm, 6.5 % each. What is a part of the calls, a segment's share or what is missing, is a flag.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.buckets import BINS, LOG_GAMMA, Floats, Ints
from agent.catalog import metric_named, part_of
from agent.columns import FAILURES
from agent.experiments import ASIDE
from agent.packing import PACKED_ZERO, read_total, read_words
from agent.stacks import Layer, Stacks
from watch.detector import Sample
from watch.series import Name, Panels, PaneRow, Slots, whole

# The grid of an amount begins here, by its unit, and spans a factor of 10^7.
_LEAST = {"seconds": 1e-3, "tokens": 1.0, "usd": 1e-6}
LOG_SPAN = float(np.log(1e7))
# How many calls come is learned for a week at least: nights and Sundays differ.
VOLUME, WEEK_S = "calls", 7 * 86_400.0
# What is missing for these reasons is not missing: a failed call is an error, and counted as one;
# nobody asked for the others.
_NOT_MISSING = frozenset((*FAILURES, "sampled_out"))
# Feedback comes later, and mostly never.
_NEVER_MISSED = ("feedback",)

Flat = tuple[Ints, Ints, Ints]
_NOTHING: Flat = (np.zeros(0, np.int64),) * 3


@dataclass(frozen=True, slots=True)
class Shares:
    """Of which keys of segments the shares are watched; "model" is one of them."""

    keys: frozenset[str]


def sample_of(
    rows: Sequence[PaneRow], slots: Slots, panels: Panels, shares: Shares, pane_s: float
) -> Sample:
    """The bins of every series of one pane of `pane_s` seconds, with the services as wholes, in no
    order."""
    mine = [one for one in rows if is_seen(one)]
    parts = [_NOTHING, *_values(mine, slots, panels)]
    parts += [
        _flags(slots, *one) for one in (*_missing(mine, slots), *_shares(mine, slots, shares))
    ]
    parts += [_volume(slots, *one, pane_s) for one in _totals(mine).items()]
    flat = [np.concatenate(one) for one in zip(*parts, strict=True)]
    kept = flat[0] >= 0
    return Sample(*(one[kept] for one in flat))


def is_seen(one: PaneRow) -> bool:
    """Whether a row holds calls that a user made."""
    return not one.group.variant.startswith(ASIDE)


def _values(mine: Sequence[PaneRow], slots: Slots, panels: Panels) -> Iterator[Flat]:
    for layer in Stacks([one.row for one in mine]).layers:
        owners, sizes = [mine[place] for place in layer.places.tolist()], layer.heads["bins"]
        bins, counts = _gridded(layer), layer.bins[1]
        for together in (False, True):
            table = np.stack([slots.of(one, layer, some, panels, together)
                              for one, some in zip(owners, sizes > 0, strict=True)])  # fmt: skip
            yield np.repeat(table.ravel(), sizes.ravel()), bins, counts


def _gridded(layer: Layer) -> Ints:
    """The bins of a layer, amounts on their grid."""
    bins = layer.bins[0].astype(np.int64)
    amounts = np.isnan(layer.heads["lower"])
    if not amounts.any():
        return bins
    least = np.array([_LEAST.get(metric_named(name).unit, 1.0) for name in layer.names])
    sizes = layer.heads["bins"].ravel()
    log_x = np.where(bins == PACKED_ZERO, -np.inf, (bins - 0.5) * LOG_GAMMA)
    steps = to_grid(log_x - np.repeat(np.broadcast_to(np.log(least), amounts.shape).ravel(), sizes))
    return np.where(np.repeat(amounts.ravel(), sizes), steps, bins)


def on_grid(bins: NDArray[np.int16], metric: str) -> Ints:
    """Packed buckets of one amount as steps of its grid."""
    log_x = np.where(bins == PACKED_ZERO, -np.inf, (bins - 0.5) * LOG_GAMMA)
    return to_grid(log_x - np.log(_LEAST.get(metric_named(metric).unit, 1.0)))


def to_grid(log_ratio: Floats) -> Ints:
    """Logarithms of amounts over the least as steps of the grid."""
    steps: Ints = np.clip(np.rint(BINS * log_ratio / LOG_SPAN), 0, BINS).astype(np.int64)
    return steps


def _flags(slots: Slots, name: Name, yes: int, no: int) -> Flat:
    slot = slots.number(name)
    held = [(bin_, n) for bin_, n in ((0, no), (BINS, yes)) if n]
    bins, counts = np.array(held, np.int64).reshape(-1, 2).T
    return np.full(len(held), slot), bins, counts


def _volume(slots: Slots, service: str, calls: int, pane_s: float) -> Flat:
    slot = slots.number(whole(service, VOLUME))
    return np.array([slot]), volumes(np.array([calls]), pane_s), np.ones(1, np.int64)


def volumes(calls: Ints, pane_s: float) -> Ints:
    """The calls of panes as steps of the grid: those of an hour at this rate."""
    return to_grid(np.log(calls * 3600 / pane_s))


def _totals(mine: Iterable[PaneRow]) -> dict[str, int]:
    """Calls by service."""
    found = Counter[str]()
    for one in mine:
        if not one.group.segment:
            found[one.group.service] += read_total(one.row.calls)
    return found


def _shares(
    mine: Sequence[PaneRow], slots: Slots, shares: Shares
) -> Iterator[tuple[Name, int, int]]:
    """Each known part of a service's calls, those without a call in this pane too."""
    if not shares.keys:
        return
    totals, parts = _totals(mine), Counter[Name]()
    for one in mine:
        service, model, _, segment = one.group
        key = segment.partition("=")[0] if segment else "model"
        if key in shares.keys:
            name = whole(service, segment or f"model={model}", "share")
            parts[name] += read_total(one.row.calls)
    for name in slots.names:
        if name.view == "share" and name.service in totals:
            parts[name] += 0
    for name, n in sorted(parts.items()):
        # A segment's row may hold what the row of the model itself had no room for.
        yield name, n, max(0, totals.get(name.service, 0) - n)


def _missing(mine: Sequence[PaneRow], slots: Slots) -> Iterator[tuple[Name, int, int]]:
    """Of each metric of a service how many calls lack it, and how many have it."""
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    main = [one for one in mine if not one.group.segment]
    for layer in Stacks([one.row for one in main]).layers:
        owners = [main[place].group.service for place in layer.places.tolist()]
        for at, metric in enumerate(layer.names):
            if metric in _NEVER_MISSED or part_of(metric)[1]:
                continue
            packed = layer.missing(at)
            for service, words, n in zip(owners, packed, layer.heads["n"][:, at], strict=True):
                tally = found[service, metric]
                tally[0] += lacking_of(read_words(words)) if words else 0
                tally[1] += int(n)
    for (service, metric), (lacking, held) in found.items():
        name = whole(service, metric, "missing")
        # What never had a value is not missed.
        if held or (lacking and slots.known(name) >= 0):
            yield name, lacking, held


def lacking_of(words: Mapping[str, int]) -> int:
    """How many calls lack a value that they should have, from why they do."""
    return sum(n for word, n in words.items() if word not in _NOT_MISSING)

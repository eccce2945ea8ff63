"""Closed panes as points over time: each stored row is read once, as what it says never changes.

2026-11-26: 30 days of 20 models by the hour are 14,400 rows; a page of them takes four times as
long the first time (tests/bench/pages.py).
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.buckets import LOG_GAMMA, Floats, Ints
from agent.packing import PACKED_ZERO, open_row
from agent.panes import Group
from agent.stacks import Stacks
from agent.store import Transaction, board, reads
from consumers.server.shelf import Shelf

Bins = NDArray[np.int32]
# Amounts whose quantiles are shown.
QUANTILES = ("latency", "ttft")
# Rows are kept by blocks of so many panes, and so many blocks at most: 40 days by the hour and
# two days by the minute, some 50 MB for 20 models.
_PANES, _BLOCKS = 24, 160
# Whole windows that are kept; one of 30 days of 20 models is 5 MB.
_SHEETS = 8


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of some panes: of each its pane, group and calls, of each series how many values it has
    and their sum [rows, series], and of each of `QUANTILES` (row, bin, count)."""

    panes: Ints
    groups: list[Group]
    whose: Ints
    calls: Ints
    names: list[str]
    n: Floats
    sums: Floats
    bins: tuple[Bins, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """All groups over equal steps of a window: calls [groups, steps], how many values of each
    series and their sums [groups, series, steps], and of each of `QUANTILES` all bins as columns of
    (group, step, bin, count)."""

    start: int
    step_s: int
    groups: list[Group]
    names: list[str]
    calls: Floats
    n: Floats
    sums: Floats
    bins: tuple[Bins, ...]

    @property
    def at(self) -> tuple[float, ...]:
        """Where the steps begin."""
        return tuple(float(self.start + self.step_s * n) for n in range(self.calls.shape[1]))

    def lasted_s(self, newest: int) -> Floats:
        """How long each step lasted; one is not over where its panes are not all closed."""
        lasted_s: Floats = np.clip(newest - np.array(self.at), 1, self.step_s)
        return lasted_s

    def coarser(self, times: int) -> "Sheet":
        """The same by steps so many times as long, the last of which may end later."""
        edges = np.arange(0, self.calls.shape[1], times)
        divisor = np.array([[1], [times], [1], [1]], np.int32)
        bins = tuple(one // divisor for one in self.bins)
        calls, n, sums = (np.add.reduceat(a, edges, -1) for a in (self.calls, self.n, self.sums))
        return Sheet(self.start, self.step_s * times, self.groups, self.names, calls, n, sums, bins)

    def histogram(self, name: str) -> tuple[Floats, Floats]:
        """The amounts that buckets stand for, and how often each was seen [groups, steps,
        buckets]."""
        group, step, held, count = self.bins[QUANTILES.index(name)]
        zero = held == PACKED_ZERO
        some = held[~zero] if zero.any() else held
        least = int(some.min(initial=0)) - 1  # where zero stands
        shape = *self.calls.shape, int(some.max(initial=least)) - least + 1
        place = np.where(zero, 0, held - least)
        flat = (group.astype(np.int64) * shape[1] + step) * shape[2] + place
        table = np.bincount(flat, count, int(np.prod(shape))).reshape(shape)
        amounts = middles_of(np.arange(least, least + shape[2]))
        amounts[0] = 0.0
        return amounts, table.astype(np.float64, copy=False)


def middles_of(buckets: Ints) -> Floats:
    """The amounts that log buckets stand for."""
    found: Floats = 2 * np.exp(buckets * LOG_GAMMA) / (1 + np.exp(LOG_GAMMA))
    return found


def quantiles(amounts: Floats, counts: Floats, q: float) -> Floats:
    """The q-quantiles of counts [..., buckets] to 1 % relative error; NaN where there are none."""
    most = counts.cumsum(-1)
    if not len(amounts):
        return np.full(counts.shape[:-1], np.nan)
    n = most[..., -1]
    found: Floats = amounts[(most <= (q * (n - 1))[..., None]).sum(-1).clip(max=len(amounts) - 1)]
    return np.where(n > 0, found, np.nan)


def rolled_up(
    levels_s: Sequence[int], span: tuple[int, int], closed: float
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Of a source that is closed so far each part of a span, by the first level that it is rolled
    up to."""
    begin, end = span
    for level_s in levels_s:
        whole = min(end, int(closed // level_s) * level_s)
        if begin < whole:
            yield level_s, (begin, whole)
            begin = whole


# A block, and the times within which its panes count.
Part = tuple[Block, tuple[int, int]]


class Points:
    """Blocks of closed panes, read from the store where they are not kept; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Block] = OrderedDict()
        self._sheets = Shelf(_SHEETS)

    def sheet(
        self, tx: Transaction, levels_s: Sequence[int], start: int, end: int, steps: int,
        service: str = "",
    ) -> Sheet:  # fmt: skip
        """A window of closed panes, in so many equal steps at most, of all services unless one is
        named. The panes are of the first level; what is not rolled up to it is read of the next."""
        times = reads.closed_times(tx)
        count = (end - start) // levels_s[0]
        step_s = levels_s[0] * -(-count // steps)

        def make() -> Sheet:
            found = list[Part]()
            for source, closed in times.items():
                for level_s, span in rolled_up(levels_s, (start, end), closed):
                    found += self._parts(tx, (source, level_s), span, closed)
            return _added(found, (start, end), step_s, service)

        # Until another pane is closed, what they all say does not change either.
        return self._sheets.get((*times.items(), *levels_s, start, end, steps, service), make)

    def _parts(
        self, tx: Transaction, key: tuple[str, int], span: tuple[int, int], closed: float
    ) -> list[Part]:
        """Kept blocks, and what is missing between them by one query a stretch."""
        (start, end), size = span, _PANES * key[1]
        wanted = range(start // size * size, end, size)
        # What is closed does not change, nor does the part of a block that is closed so far.
        keys = {at: (*key, at, min(closed, at + size)) for at in wanted}
        with self._lock:
            held = {at: self._kept.get(one) for at, one in keys.items()}
            for at, one in keys.items():
                if held[at] is not None:
                    self._kept.move_to_end(one)
        absent = [at for at, one in held.items() if one is None]
        if absent:
            made = _read(tx, key, absent, size)
            held |= made
            with self._lock:
                self._kept |= {keys[at]: one for at, one in made.items()}
                while len(self._kept) > _BLOCKS:
                    self._kept.popitem(last=False)
        return [(one, span) for one in held.values() if one is not None and len(one.panes)]


def _read(
    tx: Transaction, key: tuple[str, int], absent: Sequence[int], size: int
) -> dict[int, Block]:
    rows = board.group_panes(tx, *key, absent[0], absent[-1] + size)
    by: dict[int, list[tuple[int, Group, int, bytes]]] = {at: [] for at in absent}
    for row in rows:
        if (at := row[0] // size * size) in by:
            by[at].append(row)
    return {at: _block(some) for at, some in by.items()}


def _block(rows: Sequence[tuple[int, Group, int, bytes]]) -> Block:
    stacks = Stacks([open_row(row[3]) for row in rows])
    groups = sorted({row[1] for row in rows})
    place = {group: at for at, group in enumerate(groups)}
    names = sorted({name for layer in stacks.layers for name in layer.names if "|" not in name})
    n, sums = np.zeros((len(rows), len(names))), np.zeros((len(rows), len(names)))
    bins = [[np.zeros((3, 0), np.int32)] for _ in QUANTILES]
    for layer in stacks.layers:
        mine = [at for at, name in enumerate(layer.names) if name in set(names)]
        columns = np.array([names.index(layer.names[at]) for at in mine], np.int64)
        where = np.ix_(layer.places, columns)
        n[where], sums[where] = layer.heads["n"][:, mine], layer.sums[:, mine]
        for some, name in zip(bins, QUANTILES, strict=True):
            if name in layer.names:
                which, held, counts = layer.held(layer.names.index(name))
                some.append(np.stack([layer.places[which], held, counts]).astype(np.int32))
    return Block(
        np.array([row[0] for row in rows], np.int64), groups,
        np.array([place[row[1]] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.int64), names, n, sums,
        tuple(np.concatenate(some, 1) for some in bins),
    )  # fmt: skip


def _added(parts: Sequence[Part], span: tuple[int, int], step_s: int, service: str) -> Sheet:
    start, end = span
    groups = sorted({g for one, _ in parts for g in one.groups if service in ("", g.service)})
    names = sorted({name for one, _ in parts for name in one.names})
    shape = len(groups), -(-(end - start) // step_s)
    places, values = [np.zeros(0, np.int64)], [np.zeros((0, 1 + 2 * len(names)))]
    bins = [[np.zeros((4, 0), np.int32)] for _ in QUANTILES]
    for one, (first, last) in parts:
        own = [groups.index(group) if group in groups else -1 for group in one.groups]
        of, step = np.array(own, np.int64)[one.whose], (one.panes - start) // step_s
        mine = (one.panes >= first) & (one.panes < last) & (of >= 0)
        places.append((of * shape[1] + step)[mine])
        values.append(np.concatenate(
            [one.calls[mine, None], *(_columns(part[mine], one.names, names)
                                      for part in (one.n, one.sums))], 1))  # fmt: skip
        at = np.stack([of, step]).astype(np.int32)
        for some, held in zip(bins, one.bins, strict=True):
            ours = held if mine.all() else held[:, mine[held[0]]]
            some.append(np.concatenate([at[:, ours[0]], ours[1:]]))
    table = _summed(np.concatenate(places), np.concatenate(values), shape[0] * shape[1])
    whole = table.reshape(*shape, table.shape[1]).transpose(0, 2, 1)
    n, sums = whole[:, 1 : 1 + len(names)], whole[:, 1 + len(names) :]
    binned = tuple(np.concatenate(some, 1) for some in bins)
    return Sheet(start, step_s, groups, names, whole[:, 0], n, sums, binned)


def _columns(part: Floats, mine: list[str], names: list[str]) -> Floats:
    if mine == names:  # as most
        return part
    made = np.zeros((len(part), len(names)))
    made[:, [names.index(name) for name in mine]] = part
    return made


def _summed(places: Ints, values: Floats, size: int) -> Floats:
    """The sums of rows by their places."""
    made = np.zeros((size, values.shape[1]))
    if len(places):
        order = np.argsort(places, kind="stable")
        starts = np.flatnonzero(np.diff(places[order], prepend=-1))
        made[places[order][starts]] = np.add.reduceat(values[order], starts, 0)
    return made

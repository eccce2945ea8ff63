"""Many packed rows at once: a series' counts as arrays over rows, without unpacking a row."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agent.buckets import BINS, FIXED, Floats, Ints
from agent.packing import (
    Heads,
    Opened,
    empty_like,
    read_bins,
    read_each_sum,
    read_heads,
    read_names,
    read_sums,
    read_total,
    read_total_of,
    read_words,
    unpacked,
)
from agent.panes import Row
from agent.summaries import Counts, Summary


@dataclass(frozen=True)
class Layer:
    """Rows of exactly the same series; `places` are theirs among all rows."""

    places: Ints
    names: list[str]
    rows: Sequence[Opened]

    @cached_property
    def heads(self) -> Heads:
        """[rows, series]."""
        return read_heads(self.rows)

    @cached_property
    def _counts(self) -> tuple[Ints, NDArray[np.int16], Ints]:
        """Of every row and series where its bins end, and all bins and counts, in that order."""
        ends = self.heads["bins"].astype(np.int64).cumsum().reshape(self.heads.shape)
        return ends, *read_bins(self.rows)

    @property
    def bins(self) -> tuple[NDArray[np.int16], Ints]:
        """The bins of all rows and series in order, `heads["bins"]` of each, and their counts."""
        return self._counts[1:]

    def held(self, series: int) -> tuple[Ints, NDArray[np.int16], Ints]:
        """Of every bin that a row has of a series the row, the bin as it is packed and its
        count."""
        ends, bins, counts = self._counts
        sizes = self.heads["bins"][:, series].astype(np.int64)
        rows = np.repeat(np.arange(len(sizes)), sizes)
        # Its own bins only: the k-th of a row stands k before the row's end of this series.
        mine = np.arange(len(rows)) + np.repeat(ends[:, series] - sizes.cumsum(), sizes)
        return rows, bins[mine], counts[mine]

    def counts(self, series: int) -> Floats:
        """Of a bounded series, [rows, bins]."""
        rows, bins, counts = self.held(series)
        places = rows * (BINS + 1) + bins
        table = np.bincount(places, counts, len(self.rows) * (BINS + 1))
        return table.astype(np.float64, copy=False).reshape(-1, BINS + 1)  # of no bins it has ints

    @cached_property
    def sums(self) -> Floats:
        """The sum of every series, [rows, series]."""
        return read_each_sum(self.rows) / FIXED

    def totals(self, series: int) -> Ints:
        """The sum of a flag, [rows]."""
        return np.array([read_total_of(row, series) // FIXED for row in self.rows], np.int64)

    @cached_property
    def _reasons(self) -> tuple[Ints, Ints]:
        sizes = self.heads["missing"].astype(np.int64)
        ends = sizes.cumsum(1)
        return ends - sizes, ends

    def missing(self, series: int) -> list[bytes]:
        """The packed reasons of a series, row by row."""
        starts, ends = (edges[:, series] for edges in self._reasons)
        if (starts == ends).all():
            return [b""] * len(self.rows)
        spans = zip(self.rows, starts.tolist(), ends.tolist(), strict=True)
        return [row.missing[a:b] for row, a, b in spans]

    def summed(self) -> dict[str, Summary]:
        """One summary a series."""
        bins, sums = self._folded()
        made, totals = {}, read_sums(self.rows)
        for at, name in enumerate(self.names):
            used, heads = np.flatnonzero(sums[at]), self.heads[:, at]
            made[name] = empty_like(float(heads["lower"][0]), float(heads["upper"][0]))
            held = zip(unpacked(bins[used]), sums[at, used].tolist(), strict=True)
            made[name].add(held, int(heads["n"].sum()), *totals[2 * at : 2 * at + 2])
            made[name].missing = _summed(self.missing(at))
        return made

    def _folded(self) -> tuple[NDArray[np.int16], Ints]:
        """The bins that any series has, and how often each has them, [series, bins]."""
        _, bins, counts = self._counts
        least, width = int(bins.min(initial=0)), len(self.names)
        span = int(bins.max(initial=0)) - least + 1
        # 32 bits hold a place: 2^16 bins of at most 2^15 series. They are half the bytes to move.
        firsts = np.tile(np.arange(width, dtype=np.int32) * span - least, len(self.rows))
        places = np.repeat(firsts, self.heads["bins"].ravel())
        places += bins
        sums = np.bincount(places, counts, width * span).astype(np.int64).reshape(width, span)
        return np.arange(least, least + span).astype(np.int16), sums


def _summed(packed: Iterable[bytes]) -> Counts:
    total = Counts()
    for data, times in Counter(packed).items():  # most rows say the same
        for word, n in read_words(data).items():
            total.add(word, n * times)
    return total


class Stacks:
    """Every series of many rows."""

    def __init__(self, rows: Sequence[Opened]) -> None:
        by: dict[bytes, list[int]] = defaultdict(list)
        for at, row in enumerate(rows):
            by[row.names].append(at)
        self._rows = rows
        self.layers = [
            Layer(np.array(places), read_names(names), [rows[at] for at in places])
            for names, places in by.items()
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def counts(self, series: str) -> Floats:
        """The counts of a bounded series, [rows, bins]; none where a row does not have it."""
        if len(self.layers) == 1 and series in self.layers[0].names:  # as most: no copy
            return self.layers[0].counts(self.layers[0].names.index(series))
        made = np.zeros((len(self), BINS + 1))
        for layer in self.layers:
            if series in layer.names:
                made[layer.places] = layer.counts(layer.names.index(series))
        return made

    def missing(self, series: str, reasons: Iterable[str]) -> Floats:
        """How often a value is missing for one of these reasons, [rows]."""
        made, wanted = np.zeros(len(self)), set(reasons)
        for layer in self.layers:
            if series in layer.names:
                for place, packed in zip(
                    layer.places, layer.missing(layer.names.index(series)), strict=True
                ):
                    words = read_words(packed) if packed else {}
                    made[place] = sum(n for word, n in words.items() if word in wanted)
        return made

    def calls(self) -> Floats:
        """How many calls each row counts."""
        return np.array([read_total(row.calls) for row in self._rows], np.float64)

    def summed(self) -> Row:
        """The sum of all rows."""
        calls = _summed(row.calls for row in self._rows)
        total = Row(calls=calls, panels=_summed(row.panels for row in self._rows))
        for layer in self.layers:
            total.merge(Row(layer.summed()))
        return total

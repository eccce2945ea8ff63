"""Many packed rows at once: a series' counts as arrays over rows, without unpacking a row."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agent.buckets import BINS, FIXED, Floats, Ints
from agent.packing import (
    Heads,
    Opened,
    read_bins,
    read_each_sum,
    read_heads,
    read_names,
    read_row,
    read_total,
    read_total_of,
    read_words,
)
from agent.panes import Row
from agent.sums import sum_rows


@dataclass(frozen=True)
class Layer:
    """Rows of exactly the same series; `places` are theirs among all rows."""

    places: Ints
    names: list[str]
    rows: Sequence[Opened]

    @cached_property
    def heads(self) -> Heads:
        """[rows, series]."""
        return read_heads(self.rows).reshape(len(self.rows), -1)

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
        return Row(*read_row(sum_rows(self._rows)))

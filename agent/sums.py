"""The sum of packed rows, as it is stored: no row is unpacked for it.

2026-11-26: rolling up took a quarter of the road's time on panes of a few calls, nearly all of it
Python that unpacked a row's summaries, added them one by one and packed them again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.buckets import Ints
from agent.packing import (
    Heads,
    Opened,
    close_row,
    open_row,
    pack_counts,
    pack_sums,
    read_bins,
    read_heads,
    read_names,
    read_sums,
    read_words,
)
from agent.summaries import Counts


def merged(blobs: Iterable[bytes]) -> bytes:
    """The sum of packed rows, packed."""
    return close_row(sum_rows([open_row(blob) for blob in blobs]))


def sum_rows(rows: Sequence[Opened]) -> Opened:
    """What merging the rows one by one comes to.

    Raises ValueError when rows have the same series in other ranges.
    """
    names = sorted({name for told in {row.names for row in rows} for name in read_names(told)})
    owners, heads = _owners(rows, names), read_heads(rows)
    sizes, bins, counts = _sum_bins(rows, owners, heads["bins"].astype(np.int64), len(names))
    missing = _sum_missing(rows, owners, heads["missing"].astype(np.int64), len(names))
    made = _sum_heads(owners, heads, len(names))
    made["bins"], made["missing"] = sizes, [len(words) for words in missing]
    return Opened(
        sum_words(row.calls for row in rows).to_bytes(),
        sum_words(row.panels for row in rows).to_bytes(),
        *("\n".join(names).encode(), made.tobytes()),
        *(pack_sums(_sum_sums(rows, names)), b"".join(missing)),
        *(bins.tobytes(), pack_counts(counts)),
    )


def sum_words(packed: Iterable[bytes]) -> Counts:
    """The sum of packed counts."""
    total = Counts()
    for data, times in Counter(packed).items():  # most rows say the same
        for word, n in read_words(data).items():
            total.add(word, n * times)
    return total


def _owners(rows: Sequence[Opened], names: Sequence[str]) -> Ints:
    """The place among the names of every series of every row, in order."""
    at = {name: place for place, name in enumerate(names)}
    places = {told: [at[name] for name in read_names(told)] for told in {r.names for r in rows}}
    return np.array([place for row in rows for place in places[row.names]], np.int64)


def _sum_heads(owners: Ints, heads: Heads, width: int) -> Heads:
    made = np.zeros(width, heads.dtype)
    np.add.at(made["n"], owners, heads["n"])
    for end in ("lower", "upper"):
        made[end][owners] = heads[end]
        if not np.array_equal(made[end][owners], heads[end], equal_nan=True):
            raise ValueError("rows with other ranges of the series do not merge")
    return made


def _sum_bins(
    rows: Sequence[Opened], owners: Ints, sizes: Ints, width: int
) -> tuple[Ints, NDArray[np.int16], NDArray[np.uint64]]:
    """How many bins each series has, and all bins and their counts, series by series."""
    bins, counts = read_bins(rows)
    ends, there = sizes.cumsum(), np.flatnonzero(sizes)
    # A table with a stretch for each series, from its least bin to its last; a row's are sorted.
    least, last = np.full(width, 1 << 15), np.full(width, -(1 << 15) - 1)
    np.minimum.at(least, owners[there], bins[(ends - sizes)[there]])
    np.maximum.at(last, owners[there], bins[ends[there] - 1])
    stretches = np.maximum(last - least + 1, 0)
    starts = stretches.cumsum() - stretches - least
    places = np.repeat(starts[owners].astype(np.int32), sizes) + bins
    table = np.bincount(places, counts, int(stretches.sum())).astype(np.uint64)
    used = np.flatnonzero(table)
    series = np.searchsorted(stretches.cumsum(), used, side="right")
    held = np.bincount(series, minlength=width)
    return held, (used - starts[series]).astype(np.int16), table[used]


def _sum_sums(rows: Sequence[Opened], names: Sequence[str]) -> list[int]:
    """The sums of x and of x^2 of each series."""
    plain, wide = ([row for row in rows if row.sums[:1] == form] for form in (b"q", b"w"))
    table = np.frombuffer(b"".join(row.sums[1:] for row in plain), "<i8")
    # Halves: so many numbers of 64 bits may not fit 64 bits together.
    high, low = np.zeros((2, 2 * len(names)), np.int64)
    places = _places(plain, names)
    np.add.at(high, places, table >> 32)
    np.add.at(low, places, table & 0xFFFFFFFF)
    totals = [(a << 32) + b for a, b in zip(high.tolist(), low.tolist(), strict=True)]
    told = (one for row in wide for one in read_sums(row))
    for place, one in zip(_places(wide, names).tolist(), told, strict=True):
        totals[place] += one
    return totals


def _places(rows: Sequence[Opened], names: Sequence[str]) -> Ints:
    """Where the two sums of every series of every row stand among those of the names."""
    places: Ints = (2 * _owners(rows, names)[:, None] + np.arange(2)).ravel()
    return places


def _sum_missing(rows: Sequence[Opened], owners: Ints, sizes: Ints, width: int) -> list[bytes]:
    """The packed reasons of each series."""
    packed, ends, there = b"".join(r.missing for r in rows), sizes.cumsum(), np.flatnonzero(sizes)
    spans = zip(*(one[there].tolist() for one in (owners, ends - sizes, ends)), strict=True)
    held: dict[int, list[bytes]] = defaultdict(list)
    for owner, start, end in spans:
        held[owner].append(packed[start:end])
    return [sum_words(held[at]).to_bytes() if at in held else b"" for at in range(width)]

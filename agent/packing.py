"""The packed form of a pane row: the heads of all series as columns, then all bins and counts.

2026-11-24: with a head before each series, 1,000 panes of two arms and 30 metrics took 0.5 s to
read, nearly all of it Python that stepped from head to head. As columns, rows of the same series
are read together by numpy. 2026-11-25: zlib (level 1) took 2.6x as long as zstd to
pack and 1.9x to unpack, for 4 % more bytes.
"""

import struct
from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from agent.buckets import ZERO_BUCKET, Floats, Ints
from agent.summaries import BoundedHistogram, Counts, LogHistogram, Summary

# The bucket of zero, in the two bytes that every other bin fits.
PACKED_ZERO = -(1 << 15)
# The columns of a series: n, its range (NaN for a log histogram), the number of its bins and the
# bytes of its missing reasons. Its two sums stand apart.
_HEAD = np.dtype(
    [("n", "<u8"), ("lower", "<f8"), ("upper", "<f8"), ("bins", "<u4"), ("missing", "<u4")]
)
# Few counts of a pane need more than a byte; eight took three times as long to unpack.
_WIDTHS = ("B", "H", "I", "Q")


Heads = NDArray[np.void]


class Opened(NamedTuple):
    """A row as it is packed: counts of calls and panels, names, heads, sums, reasons, bins and
    counts."""

    calls: bytes
    panels: bytes
    names: bytes
    heads: bytes
    sums: bytes
    missing: bytes
    bins: bytes
    counts: bytes


_SIZES = struct.Struct(f"<{len(Opened._fields)}I")


def pack_row(summaries: Mapping[str, Summary], calls: Counts, panels: Counts) -> bytes:
    """Named summaries and two Counts as one compressed blob, equal for equal content."""
    names = sorted(summaries)
    bins, counts = array("h"), list[int]()
    heads, missing, sums = [], [], list[int]()
    for name in names:
        one = summaries[name]
        order, words = sorted(one.bins), one.missing.to_bytes()
        missing.append(words)
        bins.extend(PACKED_ZERO if index == ZERO_BUCKET else index for index in order)
        counts.extend(one.bins[index] for index in order)
        ends = (one.lower, one.upper) if isinstance(one, BoundedHistogram) else (np.nan,) * 2
        heads.append((one.n, *ends, len(order), len(words)))
        sums += [one.total, one.total_sq]
    code = next(w for w in _WIDTHS if max(counts, default=0) < 1 << 8 * array(w).itemsize)
    parts = (
        *(calls.to_bytes(), panels.to_bytes(), "\n".join(names).encode()),
        *(np.array(heads, _HEAD).tobytes(), _pack_sums(sums)),
        *(b"".join(missing), bins.tobytes(), array(code, counts).tobytes()),
    )
    return zstandard.compress(_SIZES.pack(*map(len, parts)) + b"".join(parts))


def open_row(blob: bytes) -> Opened:
    """The parts of a packed row."""
    data, at, parts = zstandard.decompress(blob), _SIZES.size, []
    for size in _SIZES.unpack_from(data):
        parts.append(data[at : at + size])
        at += size
    return Opened(*parts)


def unpack_row(blob: bytes) -> tuple[dict[str, Summary], Counts, Counts]:
    """Read what `pack_row` wrote."""
    row = open_row(blob)
    heads, names = read_heads([row])[0], read_names(row.names)
    ends = np.cumsum(heads["bins"]).tolist()
    bins, counts = read_bins([row])
    sums = iter(read_sums([row]))
    summaries: dict[str, Summary] = {}
    at = 0
    for name, head, end in zip(names, heads, ends, strict=True):
        size = int(head["missing"])
        first = end - int(head["bins"])
        held = zip(unpacked(bins[first:end]), counts[first:end].tolist(), strict=True)
        made = empty_like(float(head["lower"]), float(head["upper"]))
        made.add(held, int(head["n"]), next(sums), next(sums))
        made.missing = Counts.from_bytes(row.missing[at : at + size])
        summaries[name], at = made, at + size
    return summaries, Counts.from_bytes(row.calls), Counts.from_bytes(row.panels)


@lru_cache(4096)
def read_words(packed: bytes) -> Mapping[str, int]:
    """Packed counts of words, which many rows have alike."""
    return MappingProxyType(Counts.from_bytes(packed).words)


@lru_cache(4096)
def read_total(packed: bytes) -> int:
    """The sum of packed counts."""
    return sum(read_words(packed).values())


def read_names(packed: bytes) -> list[str]:
    """The names of a row's series, in order."""
    return packed.decode().split("\n") if packed else []


def read_heads(rows: Sequence[Opened]) -> Heads:
    """The heads of rows of the same series, [rows, series]."""
    return np.frombuffer(b"".join(row.heads for row in rows), _HEAD).reshape(len(rows), -1)


def read_bins(rows: Sequence[Opened]) -> tuple[NDArray[np.int16], Ints]:
    """All bins of all series of rows in order, as they are packed, and their counts."""
    bins = np.frombuffer(b"".join(row.bins for row in rows), np.int16)
    parts = [
        np.frombuffer(row.counts, f"<u{2 * len(row.counts) // len(row.bins)}")
        for row in rows
        if row.bins
    ]
    if not parts:
        return bins, np.zeros(0, np.int64)
    return bins, np.concatenate(parts, dtype=np.int64, casting="unsafe")


def unpacked(bins: NDArray[np.int16]) -> list[int]:
    """Bins as summaries name them."""
    return [ZERO_BUCKET if one == PACKED_ZERO else one for one in bins.tolist()]


def _pack_sums(sums: Sequence[int]) -> bytes:
    # Words where a sum passes 64 bits, as the squares of tokens do.
    wide = any(not -(1 << 63) <= one < 1 << 63 for one in sums)
    return b"w" + " ".join(map(str, sums)).encode() if wide else b"q" + array("q", sums).tobytes()


def read_sums(rows: Sequence[Opened]) -> list[int]:
    """The sums of x and of x^2 of each series in fixed point, over all rows."""
    wide = [row.sums for row in rows if row.sums[:1] == b"w"]
    plain = [row.sums[1:] for row in rows if row.sums[:1] == b"q"]
    totals = [sum(one) for one in zip(*(map(int, one[1:].split()) for one in wide), strict=True)]
    if plain:
        table = np.frombuffer(b"".join(plain), "<i8").reshape(len(plain), -1)
        # Halves: so many numbers of 64 bits may not fit 64 bits together.
        high, low = (table >> 32).sum(0).tolist(), (table & 0xFFFFFFFF).sum(0).tolist()
        mine = [(a << 32) + b for a, b in zip(high, low, strict=True)]
        totals = [a + b for a, b in zip(totals, mine, strict=True)] if wide else mine
    return totals


def read_each_sum(rows: Sequence[Opened]) -> Floats:
    """The sum of x of each series in fixed point, [rows, series], as near as 64 bits come."""
    if all(row.sums[:1] == b"q" for row in rows):
        table = np.frombuffer(b"".join(row.sums[1:] for row in rows), "<i8")
        found: Floats = table.reshape(len(rows), -1, 2)[:, :, 0].astype(np.float64)
        return found
    return np.array([[read_sums([row])[::2]] for row in rows], np.float64)[:, 0]


def read_total_of(row: Opened, series: int) -> int:
    """The sum of x of one series in fixed point."""
    if row.sums[:1] == b"w":
        return int(row.sums[1:].split()[2 * series])
    at = 1 + 16 * series
    return int.from_bytes(row.sums[at : at + 8], "little", signed=True)


def empty_like(lower: float, upper: float) -> BoundedHistogram | LogHistogram:
    """A histogram of a head's range; NaN stands for none."""
    return LogHistogram() if np.isnan(lower) else BoundedHistogram(lower, upper)

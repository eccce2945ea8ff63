"""The packed form of a pane row: the heads of all series as columns, then all bins and counts.

2026-11-24: with a head before each series, 1,000 panes of two arms and 30 metrics took 0.5 s to
read, nearly all of it Python that stepped from head to head. As columns, rows of the same series
are read together by numpy. 2026-11-25: zlib (level 1) took 2.6x as long as zstd to
pack and 1.9x to unpack, for 4 % more bytes.
"""

import math
import struct
import threading
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
_ONE_HEAD = struct.Struct("<QddII")
# Few counts of a pane need more than a byte; eight took three times as long to unpack.
_WIDTHS = (1, 2, 4, 8)

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


class _Zstd(threading.local):
    """Kept, since making one took as long as packing a row with it; no two threads may share it."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor().compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_zstd = _Zstd()


def pack_row(summaries: Mapping[str, Summary], calls: Counts, panels: Counts) -> bytes:
    """Named summaries and two Counts as one compressed blob, equal for equal content."""
    names = sorted(summaries)
    bins, counts, sums = list[int](), list[int](), list[int]()
    heads, missing = list[bytes](), list[bytes]()
    for name in names:
        one = summaries[name]
        order, words = sorted(one.bins), one.missing.to_bytes()
        ends = (one.lower, one.upper) if isinstance(one, BoundedHistogram) else (math.nan,) * 2
        heads.append(_ONE_HEAD.pack(one.n, *ends, len(order), len(words)))
        missing.append(words)
        bins += order
        counts += [one.bins[index] for index in order]
        sums += [one.total, one.total_sq]
    packed = array("h", [PACKED_ZERO if index == ZERO_BUCKET else index for index in bins])
    return close_row(
        Opened(
            *(calls.to_bytes(), panels.to_bytes(), "\n".join(names).encode()),
            *(b"".join(heads), pack_sums(sums), b"".join(missing)),
            *(packed.tobytes(), pack_counts(np.array(counts, np.uint64))),
        )
    )


def close_row(row: Opened) -> bytes:
    """The parts of a row as one compressed blob."""
    return _zstd.compress(_SIZES.pack(*map(len, row)) + b"".join(row))


def open_row(blob: bytes) -> Opened:
    """The parts of a packed row."""
    data, at, parts = _zstd.decompress(blob), _SIZES.size, []
    for size in _SIZES.unpack_from(data):
        parts.append(data[at : at + size])
        at += size
    return Opened(*parts)


def unpack_row(blob: bytes) -> tuple[dict[str, Summary], Counts, Counts]:
    """Read what `pack_row` wrote."""
    return read_row(open_row(blob))


def read_row(row: Opened) -> tuple[dict[str, Summary], Counts, Counts]:
    """The summaries of an opened row, its calls and its panels."""
    packed, counted = read_bins([row])
    bins, counts, sums = unpacked(packed), counted.tolist(), iter(read_sums(row))
    summaries: dict[str, Summary] = {}
    first = at = 0
    for name, head in zip(read_names(row.names), read_heads([row]).tolist(), strict=True):
        n, lower, upper, size, words = head
        made = empty_like(lower, upper)
        held = zip(bins[first : first + size], counts[first : first + size], strict=True)
        made.add(held, n, next(sums), next(sums))
        if words:
            made.missing = Counts.from_bytes(row.missing[at : at + words])
        summaries[name], first, at = made, first + size, at + words
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
    """The heads of all series of rows in order."""
    return np.frombuffer(b"".join(row.heads for row in rows), _HEAD)


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


def pack_counts(counts: NDArray[np.uint64]) -> bytes:
    """Counts in as few bytes as the largest takes."""
    most = int(counts.max(initial=0))
    width = next(width for width in _WIDTHS if most < 1 << 8 * width)
    return counts.astype(f"<u{width}").tobytes()


def pack_sums(sums: Sequence[int]) -> bytes:
    """The sums of x and of x^2 of each series: words where one passes 64 bits, as the squares of
    tokens do."""
    wide = any(not -(1 << 63) <= one < 1 << 63 for one in sums)
    return b"w" + " ".join(map(str, sums)).encode() if wide else b"q" + array("q", sums).tobytes()


def read_sums(row: Opened) -> list[int]:
    """The sums of x and of x^2 of each series in fixed point."""
    if row.sums[:1] == b"w":
        return [int(one) for one in row.sums[1:].split()]
    return array("q", row.sums[1:]).tolist()


def read_each_sum(rows: Sequence[Opened]) -> Floats:
    """The sum of x of each series in fixed point, [rows, series], as near as 64 bits come."""
    if all(row.sums[:1] == b"q" for row in rows):
        table = np.frombuffer(b"".join(row.sums[1:] for row in rows), "<i8")
        found: Floats = table.reshape(len(rows), -1, 2)[:, :, 0].astype(np.float64)
        return found
    return np.array([read_sums(row)[::2] for row in rows], np.float64)


def read_total_of(row: Opened, series: int) -> int:
    """The sum of x of one series in fixed point."""
    if row.sums[:1] == b"w":
        return int(row.sums[1:].split()[2 * series])
    at = 1 + 16 * series
    return int.from_bytes(row.sums[at : at + 8], "little", signed=True)


def empty_like(lower: float, upper: float) -> BoundedHistogram | LogHistogram:
    """A histogram of a head's range; NaN stands for none."""
    return LogHistogram() if math.isnan(lower) else BoundedHistogram(lower, upper)

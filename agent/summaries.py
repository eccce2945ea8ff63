"""Summaries that merge by addition: counts in bins, and integer sums in fixed point.

2026-11-24: bins are sparse dicts and not dense arrays. Dense 257 x 8 bytes a series cost 36 kB a
pane row of 18 metrics and gave no speed, since a batch is folded by numpy before it gets here.
"""

import math
import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from agent.buckets import (
    BINS,
    FIXED,
    LOG_GAMMA,
    ZERO_BUCKET,
    Floats,
    Ints,
    Keys,
    dithered_bins,
    event_key,
    fixed,
    log_buckets,
)


class Counts:
    """How often each word was seen; merges by addition."""

    __slots__ = ("words",)

    def __init__(self, words: Mapping[str, int] | None = None) -> None:
        self.words: dict[str, int] = dict(words or {})

    def add(self, word: str, n: int = 1) -> None:
        """Count a word n times more."""
        self.words[word] = self.words.get(word, 0) + n

    def merge(self, other: "Counts") -> Self:
        """Add another's counts to these."""
        for word, n in other.words.items():
            self.add(word, n)
        return self

    def total(self) -> int:
        """All words together."""
        return sum(self.words.values())

    def to_bytes(self) -> bytes:
        """Sorted words and counts."""
        if not self.words:  # as of most series
            return b""
        return "\n".join(f"{n} {word}" for word, n in sorted(self.words.items())).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        counts = cls()
        for line in data.decode().split("\n") if data else ():
            n, word = line.split(" ", 1)
            counts.words[word] = int(n)
        return counts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and self.words == other.words


class _Histogram:
    """Bins with n, sums of x and x^2 in fixed point, and missing values by reason."""

    __slots__ = ("bins", "missing", "n", "total", "total_sq")

    def __init__(self) -> None:
        self.bins: dict[int, int] = {}
        self.n = 0
        self.total = 0
        self.total_sq = 0
        self.missing = Counts()

    def add(self, bins: Iterable[tuple[int, int]], n: int, total: int, total_sq: int) -> None:
        """Add counts that were folded elsewhere, each bin once; sums are in fixed point."""
        own = self.bins
        if own:
            for index, count in bins:
                own[index] = own.get(index, 0) + count
        else:
            own.update(bins)
        self.n += n
        self.total += total
        self.total_sq += total_sq

    def _absorb(self, other: "_Histogram") -> None:
        self.add(other.bins.items(), other.n, other.total, other.total_sq)
        self.missing.merge(other.missing)

    def mean(self) -> float | None:
        """The mean from the integer sums, None when nothing was counted."""
        return self.total / self.n / FIXED if self.n else None

    def variance(self) -> float | None:
        """The population variance from the integer sums, None when nothing was counted."""
        if not self.n:
            return None
        mean = self.total / self.n / FIXED
        return max(0.0, self.total_sq / self.n / FIXED - mean * mean)

    def _pack(self, head: bytes) -> bytes:
        order = sorted(self.bins)
        total, square = str(self.total).encode(), str(self.total_sq).encode()
        missing = self.missing.to_bytes()
        sizes = struct.pack("<QHHIH", self.n, len(total), len(square), len(order), len(missing))
        indices = array("i", order).tobytes()
        counts = array("Q", [self.bins[index] for index in order]).tobytes()
        return b"".join((head, sizes, total, square, missing, indices, counts))

    def _unpack(self, data: bytes) -> None:
        self.n, t, s, k, m = struct.unpack_from("<QHHIH", data)
        at = struct.calcsize("<QHHIH")
        self.total, self.total_sq = int(data[at : at + t]), int(data[at + t : at + t + s])
        at += t + s
        self.missing = Counts.from_bytes(data[at : at + m])
        at += m
        indices, counts = array("i"), array("Q")
        indices.frombytes(data[at : at + 4 * k])
        counts.frombytes(data[at + 4 * k : at + 12 * k])
        self.bins = dict(zip(indices, counts, strict=True))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(
            getattr(self, name) == getattr(other, name) for name in _Histogram.__slots__
        )


class BoundedHistogram(_Histogram):
    """A bounded variable in 257 dithered bins.

    Validity: the rounding is unbiased, so tests on the bins are exact (statistics.md 4.1).
    """

    __slots__ = ("lower", "upper")

    def __init__(self, lower: float = 0.0, upper: float = 1.0) -> None:
        if not lower < upper:
            raise ValueError(f"lower {lower} must be below upper {upper}")
        super().__init__()
        self.lower, self.upper = float(lower), float(upper)

    def update(self, values: ArrayLike, keys: Keys | Sequence[str]) -> None:
        """Count values; keys are 64-bit numbers or names, one for each value.

        Raises ValueError for a value outside [lower, upper], NaN included; then nothing is counted.
        """
        x = np.asarray(values, dtype=np.float64).ravel()
        hashed = _hashed(keys)
        if len(hashed) != len(x):
            raise ValueError(f"{len(x)} values but {len(hashed)} keys")
        if not bool(np.all((x >= self.lower) & (x <= self.upper))):
            raise ValueError(f"a value lies outside [{self.lower:g}, {self.upper:g}]")
        bins = np.bincount(dithered_bins(x, hashed, self.lower, self.upper), minlength=1)
        used = np.flatnonzero(bins)
        pairs = zip(used.tolist(), bins[used].tolist(), strict=True)
        self.add(pairs, len(x), sum(fixed(x)), sum(fixed(x * x)))

    def merge(self, other: "BoundedHistogram") -> Self:
        """Add another's counts; raises ValueError when the ranges differ."""
        if (self.lower, self.upper) != (other.lower, other.upper):
            raise ValueError("histograms of different ranges do not merge")
        self._absorb(other)
        return self

    @property
    def counts(self) -> Ints:
        """The 257 counts."""
        dense = np.zeros(BINS + 1, dtype=np.int64)
        dense[list(self.bins)] = list(self.bins.values())
        return dense

    @property
    def support(self) -> Floats:
        """The 257 values that the bins stand for, in the metric's own unit."""
        points: Floats = np.linspace(self.lower, self.upper, BINS + 1)
        return points

    def to_bytes(self) -> bytes:
        """A compact form; equal histograms give equal bytes."""
        return self._pack(struct.pack("<dd", self.lower, self.upper))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        histogram = cls(*struct.unpack_from("<dd", data))
        histogram._unpack(data[16:])
        return histogram


class LogHistogram(_Histogram):
    """A positive amount in buckets of 1 % relative error (DDSketch mapping)."""

    __slots__ = ()

    def update(self, values: ArrayLike) -> None:
        """Count amounts; raises ValueError for a negative or non-finite one."""
        x = np.asarray(values, dtype=np.float64).ravel()
        if not bool(np.all(np.isfinite(x) & (x >= 0))):
            raise ValueError("an amount is negative or not finite")
        used, counts = np.unique(log_buckets(x), return_counts=True)
        pairs = zip(used.tolist(), counts.tolist(), strict=True)
        self.add(pairs, len(x), sum(fixed(x)), sum(fixed(x * x)))

    def merge(self, other: "LogHistogram") -> Self:
        """Add another's counts."""
        self._absorb(other)
        return self

    def quantile(self, q: float) -> float | None:
        """The q-quantile to 1 % relative error, None when nothing was counted."""
        if not self.n:
            return None
        rank, seen = q * (self.n - 1), 0
        for index in sorted(self.bins):
            seen += self.bins[index]
            if seen > rank:
                return (
                    0.0
                    if index == ZERO_BUCKET
                    else 2 * math.exp(index * LOG_GAMMA) / (1 + math.exp(LOG_GAMMA))
                )
        return None

    def to_bytes(self) -> bytes:
        """A compact form; equal histograms give equal bytes."""
        return self._pack(b"")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        histogram = cls()
        histogram._unpack(data)
        return histogram


Summary = BoundedHistogram | LogHistogram


def _hashed(keys: Keys | Sequence[str]) -> Keys:
    if isinstance(keys, np.ndarray):
        hashed: Keys = keys.astype(np.uint64)
        return hashed
    return np.array(
        [int.from_bytes(event_key(str(key))[:8], "little") for key in keys], dtype=np.uint64
    )

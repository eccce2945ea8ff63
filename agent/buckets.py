"""From numbers to bins: unbiased rounding, log buckets and exact fixed-point sums."""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

BINS = 256  # the interval is split in 256, so values are rounded to one of 257 support points
FIXED = 1 << 32  # sums are kept in units of 2^-32: a mean is then exact to 1.2e-10
ACCURACY = 0.01  # relative error of a log-bucket quantile
LOG_GAMMA = math.log((1 + ACCURACY) / (1 - ACCURACY))
_SMALLEST = 1e-9  # amounts below are zero: their logarithm would need buckets without end
ZERO_BUCKET = -(1 << 31)  # the bucket of zero

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
Bools = NDArray[np.bool_]


def event_key(*parts: str) -> bytes:
    """The 16-byte identity of an event, from the parts of its name."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).digest()


def dither_keys(events: Keys, series: str) -> Keys:
    """One 64-bit key for each (series, event), from the events' own 64-bit keys (splitmix64)."""
    salt = np.uint64(int.from_bytes(event_key(series)[:8], "little"))
    with np.errstate(over="ignore"):
        z = (events ^ salt) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Keys = z ^ (z >> np.uint64(31))
    return mixed


def dithered_bins(values: Floats, keys: Keys, lower: float, upper: float) -> Ints:
    """Stochastic rounding of values in [lower, upper] to bins 0..256; its mean is the value.

    Statistics.md 4.1: bin = floor(y) + 1{u < frac(y)}, y = 256 (x - lower) / (upper - lower),
    with u a uniform number from the key, so that a replay gives the same bins.
    """
    y = BINS * ((values - lower) / (upper - lower))
    floor = np.floor(y)
    uniform = (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53
    bins: Ints = (floor + (uniform < y - floor)).astype(np.int64)
    return bins


def log_buckets(values: Floats) -> Ints:
    """The DDSketch bucket (Masson 2019, 2.1) of each amount: ceil(ln x / ln gamma)."""
    positive = values >= _SMALLEST
    logs = np.log(np.where(positive, values, 1.0))
    buckets: Ints = np.where(positive, np.ceil(logs / LOG_GAMMA), ZERO_BUCKET).astype(np.int64)
    return buckets


def fixed(values: Floats) -> list[int]:
    """Values in fixed point, as Python integers that cannot overflow."""
    return [int(value) for value in np.rint(values * FIXED).tolist()]


def run_sums(values: Floats, starts: Ints) -> list[int]:
    """Exact fixed-point sums of the runs of `values` that begin at `starts`."""
    if not len(starts):
        return []
    scaled = np.rint(values * FIXED)
    if np.abs(scaled).max() * len(scaled) < 2.0**62:
        return [int(total) for total in np.add.reduceat(scaled.astype(np.int64), starts).tolist()]
    whole = [int(value) for value in scaled.tolist()]
    ends = [*starts.tolist()[1:], len(whole)]
    return [sum(whole[i:j]) for i, j in zip(starts.tolist(), ends, strict=True)]

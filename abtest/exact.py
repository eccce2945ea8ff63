"""The exact interval of a share, from counts alone."""

import math

import numpy as np

from agent.buckets import Floats

_HALVINGS = 60


def clopper_pearson(hits: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """The interval of a share of n independent events (Clopper and Pearson 1934), for one look.

    Never too narrow at any n and share. [0, 1] without events; raises ValueError for counts that
    are none.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is no share")
    if not n:
        return 0.0, 1.0
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    ways = logs[n] - logs - logs[::-1]
    return _share(ways, hits, alpha / 2), 1 - _share(ways, n - hits, alpha / 2)


def _share(ways: Floats, hits: int, tail: float) -> float:
    """The share under which `hits` or more have the probability `tail`; 0 without any hit."""
    if hits == 0:
        return 0.0
    n = len(ways) - 1
    many = np.arange(hits, n + 1)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        p = (low + high) / 2
        chance = np.exp(ways[hits:] + many * math.log(p) + (n - many) * math.log1p(-p)).sum()
        low, high = (p, high) if chance < tail else (low, p)
    return low

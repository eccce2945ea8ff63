"""The exact interval of a share, from counts alone."""

import math
from functools import lru_cache

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
    return _share(hits, n, alpha / 2), 1 - _share(n - hits, n, alpha / 2)


def binomial(n: int, share: float) -> Floats:
    """The probabilities of 0 to n events, for a share between 0 and 1."""
    many = np.arange(n + 1)
    made: Floats = np.exp(_ways(n) + many * math.log(share) + (n - many) * math.log1p(-share))
    return made


@lru_cache(maxsize=2)
def _ways(n: int) -> Floats:
    """Logarithms of the binomial coefficients of n."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    made: Floats = logs[n] - logs - logs[::-1]
    return made


def _share(hits: int, n: int, tail: float) -> float:
    """The share under which `hits` or more have the probability `tail`; 0 without any hit."""
    if hits == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        p = (low + high) / 2
        low, high = (p, high) if binomial(n, p)[hits:].sum() < tail else (low, p)
    return low

"""Worlds of calls with a true label and a cheap score that is good, biased or worthless."""

from collections.abc import Callable

import numpy as np

from agent.buckets import Floats

WORLDS = ("good", "biased", "noise", "inverse", "flag", "blind")


def world(kind: str, n: int, share: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Labels, of which this share is 1, and cheap scores in [0, 1]."""
    y = (rng.random(n) < share).astype(np.float64)
    sharp = np.where(y > 0, rng.beta(8, 2, n), rng.beta(2, 8, n))
    made: dict[str, Callable[[], Floats]] = {
        "good": lambda: sharp,
        "biased": lambda: 0.4 + sharp / 2,  # twice as high as the truth
        "noise": lambda: rng.random(n),
        "inverse": lambda: 1 - sharp,
        # Nearly perfect: what it misses, most samples do not show.
        "flag": lambda: np.where((rng.random(n) < 0.01) & (y > 0), 0.0, y),
        "blind": lambda: np.where(rng.random(n) < 0.3, 0.0, y),
    }
    return y, np.asarray(made[kind](), np.float64)

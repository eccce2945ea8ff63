"""Simulated calls of several values of a segment, as sums of hours."""

import math
from dataclasses import dataclass

import numpy as np

from abtest.verdict import discoveries
from agent.buckets import Floats
from watch.gaps import Sides, Sums, design_effect, either

ALPHA = 0.05


@dataclass(frozen=True)
class Traffic:
    """`calls` an hour of a flag whose mean swings by `daily`, shared by values as `shares` say,
    in sessions of ten with correlation `icc`; the first value's mean is `gap` more."""

    shares: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)
    calls: int = 200
    mean: float = 0.1
    daily: float = 0.0
    icc: float = 0.0
    gap: float = 0.0


def sums(rng: np.random.Generator, traffic: Traffic, hours: int, first: int) -> Sums:
    """Hours of one metric, of which those before `first` are the window before."""
    day = 2 * math.pi * np.arange(hours) / 24
    mean = np.broadcast_to(traffic.mean + traffic.daily * np.sin(day), (len(traffic.shares), hours))
    mean = mean + traffic.gap * (np.arange(len(mean)) == 0)[:, None]
    expected = np.broadcast_to(np.array(traffic.shares)[:, None] * traffic.calls, mean.shape)
    if not traffic.icc:
        n = rng.poisson(expected)
        total = rng.binomial(n, mean)
    else:  # a session's own mean is beta distributed, which has this correlation
        sessions = rng.poisson(expected / 10)
        owners = np.repeat(np.arange(sessions.size), sessions.ravel())
        size, own = (1 - traffic.icc) / traffic.icc, mean.ravel()[owners]
        ones = rng.binomial(10, rng.beta(own * size, (1 - own) * size))
        n, total = 10 * sessions, np.bincount(owners, ones, sessions.size).reshape(sessions.shape)
    a, b = n[:, None].astype(np.float64), total[:, None].astype(np.float64)
    return Sums(a, b, b, first)


def part(whole: Sums, end: int) -> Sums:
    """The window before, and this window's hours up to `end`."""
    parts = (one[..., : whole.first + end] for one in (whole.n, whole.total, whole.square))
    n, total, square = parts
    return Sums(n, total, square, whole.first)


def evidence(whole: Sums, matters: float, discounted: bool = True) -> Floats:
    """Log-evidence after every hour, [values, hours], with the design effect unless a defect is
    planted."""
    effect = design_effect(whole.part(own=False))
    sides = Sides(whole, effect if discounted else np.full(len(effect), np.nan))
    edge = np.full(len(effect), matters)
    up, down = (
        [sides.mixed(*at) for at in zip(*(np.cumsum(o, 1).T for o in sides.steps(gap, sign)),
                                        strict=True)]
        for gap, sign in ((edge, 1), (-edge, -1))
    )  # fmt: skip
    return np.stack([either(*both) for both in zip(up, down, strict=True)], 1)


def told(levels: Floats, adjusted: bool = True) -> bool:
    """Whether anything is told; without e-BH when a defect is planted."""
    if not adjusted:
        return bool((levels >= math.log(1 / ALPHA)).any())
    return any(discoveries(levels.tolist(), ALPHA))


def ever_told(some: list[Sums], discounted: bool = True, adjusted: bool = True) -> bool:
    """Whether anything of some metrics is told after any hour of a window."""
    levels = np.concatenate([evidence(one, 0.0, discounted) for one in some])
    return any(told(look, adjusted) for look in levels.T if look.max() > math.log(1 / ALPHA))

"""Traffic for the watch: many series of Beta(5, 2) scores by the pane, alike within sessions."""

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from agent.buckets import BINS, Floats, Ints
from watch.baseline import LESSON, Table, hear, learn
from watch.budget import Budget
from watch.detector import Bands, Evidence, Sample, gains_of

# Quantiles of Beta(5, 2) by inverting its distribution function x^5 (6 - 5 x).
_X: Floats = np.linspace(0.0, 1.0, 20_001)
_U: Floats = _X**5 * (6 - 5 * _X)
MEAN = 5 / 7
DAY_S = 86_400


@dataclass(frozen=True)
class Traffic:
    """`calls` a pane and series; sessions of ten with correlation `icc`, one call a pane each or
    `together` in one; the mean swings by `daily`."""

    calls: int = 50
    icc: float = 0.0
    together: bool = True
    daily: float = 0.0
    pane_s: int = 10


def _normal(rng: np.random.Generator, traffic: Traffic, series: int) -> Iterator[Floats]:
    n, share = traffic.calls, math.sqrt(traffic.icc)
    held = rng.standard_normal((series, n))
    step = 0
    while True:
        if traffic.icc and traffic.together:
            held = np.repeat(rng.standard_normal((series, n // 10)), 10, 1)
        elif traffic.icc:  # a tenth of the sessions ends with each pane
            mine = slice(step % 10 * (n // 10), (step % 10 + 1) * (n // 10))
            held[:, mine] = rng.standard_normal((series, n // 10))
        step += 1
        yield share * held + math.sqrt(1 - traffic.icc) * rng.standard_normal((series, n))


def panes(
    rng: np.random.Generator, traffic: Traffic, series: int, every: int = 1, shift: float = 0.0
) -> Iterator[tuple[int, Floats]]:
    """Start and counts [series, bins] of pane after pane, or of one in `every`."""
    for at, z in enumerate(_normal(rng, traffic, series)):
        start = at * every * traffic.pane_s
        swing = traffic.daily * math.sin(2 * math.pi * start / DAY_S)
        yield start, counted(rng, np.interp(_phi(z), _U, _X) + swing + shift)


def _phi(z: Floats) -> Floats:
    """The normal distribution function, to 1e-7 (Abramowitz and Stegun 26.2.17)."""
    t = 1 / (1 + 0.2316419 * np.abs(z))
    tail = np.polyval([1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.319381530, 0.0], t)
    tail = tail * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return np.where(z > 0, 1 - tail, tail)


def counted(rng: np.random.Generator, values: Floats) -> Floats:
    """Dithered counts [series, bins] of values [series, calls]."""
    places = np.clip(values, 0, 1) * BINS
    bins = (places + rng.random(places.shape)).astype(np.int64)  # floor, or one more by chance
    rows = np.arange(len(bins))[:, None] * (BINS + 1) + bins
    flat = np.bincount(rows.ravel(), minlength=len(bins) * (BINS + 1)).astype(np.float64)
    return flat.reshape(len(bins), -1)


def sample(counts: Floats) -> Sample:
    """The same as the watch takes it."""
    series, bins = np.nonzero(counts)
    return Sample(series, bins, counts[series, bins].astype(np.int64))


def baselines(
    rng: np.random.Generator, traffic: Traffic, series: int, calls: int, budget: Budget
) -> Table:
    """What so many calls teach, in a hundred panes at least; over a day where the mean swings."""
    traffic = replace(traffic, calls=min(traffic.calls, calls // 100))
    wanted = calls // traffic.calls
    every = max(1, DAY_S // traffic.pane_s // wanted) if traffic.daily else 1
    lessons = np.zeros(series, LESSON)
    for start, counts in itertools.islice(panes(rng, traffic, series, every), wanted):
        hear(lessons, start, counts)
    return learn(lessons, budget.baseline_alpha)


def bands(known: Table, discounted: bool = True) -> Bands:
    """The bands of baselines; without the design effect when a defect is planted."""
    effects = known["design_effect"] if discounted else np.ones(len(known))
    return Bands(known["lower"], known["upper"], effects)


def alarms(
    rng: np.random.Generator, traffic: Traffic, within: Bands, log_threshold: float, length: int
) -> Ints:
    """How often each series rings in so many panes; it begins anew after each."""
    everyone = np.arange(len(within.lower))
    evidence, found = Evidence.none(len(everyone)), np.zeros(len(everyone), np.int64)
    for start, counts in itertools.islice(panes(rng, traffic, len(everyone)), length):
        evidence.see(start, gains_of(sample(counts), within), everyone)
        rung = np.flatnonzero(evidence.log_statistic(everyone) >= log_threshold)
        found[rung] += 1
        evidence.forget(rung)
    return found


def delays(
    rng: np.random.Generator, traffic: Traffic, within: Bands, log_threshold: float, shift: float
) -> Floats:
    """How many panes it takes until each series rings after its mean moved; inf beyond 20,000."""
    everyone = np.arange(len(within.lower))
    evidence, took = Evidence.none(len(everyone)), np.full(len(everyone), np.inf)
    moved = itertools.islice(panes(rng, traffic, len(everyone), shift=shift), 20_000)
    for at, (_, counts) in enumerate(moved, 1):
        evidence.see(at, gains_of(sample(counts), within), everyone)
        rung = (evidence.log_statistic(everyone) >= log_threshold) & np.isinf(took)
        took[rung] = at
        if np.isfinite(took).all():
            break
    return took


def pane_s(rng: np.random.Generator, rounds: int) -> float:
    """How long the detector takes over a pane of 1,000 series."""
    within = Bands(*(np.full(1000, one) for one in (MEAN - 0.01, MEAN + 0.01, 1.0)))
    everyone, took = np.arange(1000), []
    evidence = Evidence.none(1000)
    for at, (_, counts) in enumerate(itertools.islice(panes(rng, Traffic(), 1000), rounds)):
        some = sample(counts)
        began = time.perf_counter()
        evidence.see(at, gains_of(some, within), everyone)
        evidence.log_statistic(everyone)
        took.append(time.perf_counter() - began)
    return float(np.median(took))

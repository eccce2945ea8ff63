"""The figures of docs/validity.md: 2,000 repetitions of every claim, as a table with -s."""

import math
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import special

from abtest.mixture import log_evidence
from abtest.quantiles import quantile_interval
from abtest.samples import GRID
from abtest.verdict import discoveries
from agent.summaries import LogHistogram
from tests.simulation import (
    ALPHA,
    EACH,
    LOOKS,
    Calls,
    Draw,
    draws,
    evidence,
    latency,
    paired,
    quality,
    rare,
    rate,
    split,
    stops,
)
from tests.test_validity import (
    BREAKS,
    HOLDS,
    PEEKED,
    REPEATED,
    ROADS,
    peeked,
    repeated,
    same_road,
    widths,
)

pytestmark = pytest.mark.prove
REPETITIONS = 2_000
EFFECTS: dict[str, Draw] = {
    **{f"paired, quality +{shift:g}": partial(paired, shape=quality, shift=shift)
       for shift in (0.005, 0.01, 0.02)},
    "50/50, quality +0.02": partial(split, shape=quality, share=0.5, shift=0.02),
    "50/50, quality +0.02, centre known": lambda rng: replace(
        split(rng, quality, 0.5, 0.02), known=5 / 7),
    "canary .05, quality +0.02": partial(split, shape=quality, share=0.05, shift=0.02),
}  # fmt: skip


def write(name: str, *figures: float) -> None:
    """A line of the table."""
    sys.stdout.write(f"\n{name:60}" + "".join(f"{figure:10.4g}" for figure in figures))


@pytest.mark.parametrize("name", HOLDS)
def test_false_positives(name: str) -> None:
    found = rate(HOLDS[name], REPETITIONS, 20)
    write(name, found)
    assert found <= ALPHA


@pytest.mark.parametrize("name", BREAKS)
def test_false_positives_without_the_guard(name: str) -> None:
    found = rate(BREAKS[name], REPETITIONS, 20)
    write(name, found)
    assert found > 0.20


@pytest.mark.parametrize("name", PEEKED)
def test_t_tests_at_the_same_looks(name: str) -> None:
    found = float(np.mean([peeked(trial) for trial in draws(HOLDS[name], REPETITIONS, 20)]))
    write(f"{name}, t-test at every look", found)
    assert found == pytest.approx(PEEKED[name], abs=0.04)


def test_repeated_significance_tests() -> None:
    found = repeated(np.random.default_rng(20), 40_000)
    write("|Z| > 1.96 at 2, 5, 10, 20, 50, 100, 200 looks", *found.values())
    assert found == pytest.approx(REPEATED, abs=0.01)


@pytest.mark.parametrize("n", [1_000, 5_000, 20_000])
def test_widths(n: int) -> None:
    found = [float(widths(shape, n, 100, 20).mean()) for shape in (quality, latency, rare)]
    write(f"width / fixed-n CLT at {n} pairs: quality, latency, rare", *found)
    assert found[0] <= 1.70


@pytest.mark.parametrize("name", EFFECTS)
def test_stops(name: str) -> None:
    found = EACH * stops(EFFECTS[name], REPETITIONS, 20)
    write(f"{name}: found, median stop", float((found < math.inf).mean()), float(np.median(found)))
    if name == "paired, quality +0.01":
        assert np.median(found) <= 2_100


@pytest.mark.parametrize("name", ROADS)
def test_the_road_over_stored_panes(name: str) -> None:
    gap = max(same_road(trial) for trial in draws(ROADS[name], 10, 20))
    write(f"{name}: evidence of the fast path and of stored panes differ by", gap)
    assert gap < 1e-9


def test_two_periods_side_by_side() -> None:
    """An observational difference excludes 0 only if an arm's own interval at alpha / 2 fails."""
    wrong = 0
    for seed in range(REPETITIONS):
        arms = np.random.default_rng((21, seed)).multinomial(EACH // 2, _chances(), (2, LOOKS))
        level = log_evidence(GRID, arms.cumsum(1), np.full((2, LOOKS), _chances() @ GRID))
        wrong += bool(level.max() >= math.log(2 / ALPHA))
    write("observational, 2 x 10,000 calls", wrong / REPETITIONS)
    assert wrong / REPETITIONS <= ALPHA


def _chances() -> np.ndarray:
    # Beta(5, 2) on the support, as dithering leaves it but for a hair.
    edges = special.betainc(5, 2, np.clip((np.arange(258) - 0.5) / 256, 0, 1))
    chances: np.ndarray = np.diff(edges)
    return chances


@pytest.mark.parametrize("p", [0.5, 0.95])
def test_quantiles(p: float) -> None:
    truth, missed = math.exp(float(special.ndtri(p))), 0
    for seed in range(500):
        rng, held, inside = np.random.default_rng((22, seed)), LogHistogram(), True
        for _ in range(20):
            held.update(np.exp(rng.standard_normal(500)))
            low, high = quantile_interval(held, p)
            inside &= low <= truth <= high
        missed += not inside
    write(f"quantile {p} missed at one of 20 looks (500 repetitions)", missed / 500)
    assert missed / 500 <= ALPHA


def test_many_metrics() -> None:
    """Of 20 metrics that e-BH looks at 15 are alike; 200 readouts at 4,000 calls."""
    wrong = []
    for seed in range(200):
        rng = np.random.default_rng((23, seed))
        level = [float(evidence(_metric(rng, 0.05 * (at < 5)))[-1]) for at in range(20)]
        believed = discoveries(level, ALPHA)
        wrong.append(sum(believed[5:]) / max(1, sum(believed)))
    write("e-BH of 20 metrics, 15 alike: wrong among those believed", float(np.mean(wrong)))
    assert np.mean(wrong) <= ALPHA


def _metric(rng: np.random.Generator, shift: float) -> Calls:
    whole = split(rng, quality, 0.5, shift)
    first = slice(0, 4_000)
    return Calls(whole.events[first], whole.values[first], whole.mine[first], whole.looks[first],
                 whole.shares)  # fmt: skip

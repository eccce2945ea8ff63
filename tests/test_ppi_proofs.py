"""Intervals from cheap scores hold as often as they say, by simulation."""

import math
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from abtest import ppi
from tests.judged import WORLDS, world

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1800)]

TRIALS = 1500
# Three standard errors of a coverage of .95 in so many trials.
ERROR = 3 * math.sqrt(0.95 * 0.05 / TRIALS)


def tries(make: Callable[[np.random.Generator], ppi.Estimate], truth: float) -> tuple[float, float]:
    """How often the interval holds the truth, and its mean width."""
    rng = np.random.default_rng(20261126)
    found = [make(rng) for _ in range(TRIALS)]
    held = sum(one.lower <= truth <= one.upper for one in found)
    return held / TRIALS, float(np.mean([one.width for one in found]))


def estimate(kind: str, n: int, share: float) -> Callable[[np.random.Generator], ppi.Estimate]:
    def make(rng: np.random.Generator) -> ppi.Estimate:
        y, f = world(kind, n + 3000, share, rng)
        return ppi.mean(y[:n], f[:n], ppi.of_scores(f[n:]))

    return make


@cache
def alone(n: int, share: float) -> float:
    """The mean width from the judged calls without any cheap score."""

    def make(rng: np.random.Generator) -> ppi.Estimate:
        y = (rng.random(n) < share).astype(np.float64)
        return ppi.mean(y, np.zeros(n), ppi.Cheap(3000, 0.0, 0.0))

    return tries(make, share)[1]


@pytest.mark.parametrize("share", [0.02, 0.3])
@pytest.mark.parametrize("n", [50, 200, 1000])
@pytest.mark.parametrize("kind", WORLDS)
def test_the_interval_holds_and_a_bad_score_costs_little(kind: str, n: int, share: float) -> None:
    covered, width = tries(estimate(kind, n, share), share)
    labels_only = alone(n, share)
    told = f"{kind} n={n} share={share}: {covered:.4f}, width {width:.4f} of {labels_only:.4f}"
    sys.stdout.write(f"{told}\n")
    # The published interval (no imagined calls) covers .27 to .95 in these worlds.
    assert covered >= 0.95 - ERROR
    assert width <= 1.15 * labels_only
    if kind in ("good", "flag") and share == 0.3 and n >= 200:
        assert width <= 0.6 * labels_only


@pytest.mark.parametrize(("n", "share"), [(200, 0.02), (200, 0.3), (2000, 0.1)])
@pytest.mark.parametrize(("true", "false"), [(0.9, 0.8), (0.7, 0.95), (0.99, 0.6)])
def test_a_share_corrected_for_the_judge_s_errors_holds(
    n: int, share: float, true: float, false: float
) -> None:
    def make(rng: np.random.Generator) -> ppi.Estimate:
        flagged = rng.binomial(n, share * true + (1 - share) * (1 - false))
        hits, clear = rng.binomial(100, true), rng.binomial(150, false)
        return ppi.rogan_gladen(int(flagged), n, int(hits), 100, int(clear), 150)

    covered, _ = tries(make, share)
    sys.stdout.write(f"n={n} share={share} {true}/{false}: {covered:.4f}\n")
    assert covered >= 0.95 - ERROR


def test_the_anytime_interval_holds_at_every_look() -> None:
    """Judged calls come one in ten; one looks 10 times, and once wrong is wrong."""
    rng, wrong, trials = np.random.default_rng(7), 0, 200
    for _ in range(trials):
        y, f = world("biased", 4000, 0.2, rng)
        looks = (ppi.anytime(y[:i:10], f[:i:10], f[:i], 0.5) for i in range(400, 4001, 400))
        wrong += any(not one.lower <= 0.2 <= one.upper for one in looks)
    assert wrong / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)

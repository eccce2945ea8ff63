"""The sample-ratio test against published p-values, and as a fair game at every look."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abtest.ratio import THRESHOLD, log_imbalance, p_value

HALVES = [0.5, 0.5]


@pytest.mark.parametrize(
    ("counts", "p"),
    [
        ([156, 212], 0.0748645),
        ([5000, 5200], 1.0),
        ([821_588, 815_482], 0.00145556),
        ([100, 101], 1.0),
    ],
)
def test_the_p_values_of_two_implementations(counts: list[int], p: float) -> None:
    """Statistics.md 5.8: both published implementations agree on these."""
    assert p_value(float(log_imbalance(counts, HALVES))) == pytest.approx(p, abs=1e-7)


def test_twice_as_many_calls_are_no_chance() -> None:
    assert p_value(float(log_imbalance([100, 201], HALVES))) < 1e-5


@given(st.lists(st.integers(0, 10_000), min_size=3, max_size=3))
def test_the_next_call_is_a_fair_game(counts: list[int]) -> None:
    """E exp(log-evidence) after one more call, drawn in the shares, is what it was before."""
    shares = [0.9, 0.07, 0.03]
    after = log_imbalance(np.array(counts) + np.eye(3), shares)
    change = np.exp(after - log_imbalance(counts, shares))
    assert shares @ change == pytest.approx(1.0, abs=1e-6)


def test_nothing_is_known_without_calls() -> None:
    assert log_imbalance([0, 0], HALVES) == 0.0
    assert p_value(0.0) == p_value(-3.0) == 1.0


@pytest.mark.parametrize("share", [0.5, 0.05, 0.01])
def test_false_alarms_of_200_looks_stay_below_the_level(
    rng: np.random.Generator, share: float
) -> None:
    """At .05, where 1,000 repetitions can tell; the product asks for .001."""
    mine = rng.binomial(100, share, (1_000, 200)).cumsum(1)
    calls = 100 * np.arange(1, 201)
    level = log_imbalance(np.stack([calls - mine, mine], -1), [1 - share, share])
    assert (level.max(1) >= math.log(20)).mean() <= 0.05
    assert (level.max(1) >= -math.log(THRESHOLD)).mean() <= 3 * THRESHOLD


def test_a_share_that_is_off_by_a_tenth_is_found(rng: np.random.Generator) -> None:
    mine = rng.binomial(100, 0.45, (100, 200)).cumsum(1)
    calls = 100 * np.arange(1, 201)
    level = log_imbalance(np.stack([calls - mine, mine], -1), HALVES)
    found = (level >= -math.log(THRESHOLD)).argmax(1)
    assert (level.max(1) >= -math.log(THRESHOLD)).all()
    assert np.median(found) < 50

"""Counts moved to another mean, as a plan supposes them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abtest.plan import tilted

SUPPORT = np.linspace(-1.0, 1.0, 257)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 200), st.integers(2, 56), st.floats(0.05, 0.95))
def test_counts_of_any_part_of_the_support_are_moved(first: int, bins: int, at: float) -> None:
    counts = np.zeros(257)
    counts[first : first + bins] = np.arange(1, bins + 1)
    low, high = SUPPORT[first], SUPPORT[first + bins - 1]
    mean = low + at * (high - low)
    moved = tilted(SUPPORT, counts, mean)
    assert moved.sum() == pytest.approx(counts.sum())
    assert moved @ SUPPORT / moved.sum() == pytest.approx(mean, abs=1e-9)
    assert (moved[counts == 0] == 0).all()


def test_a_mean_that_no_counts_on_the_support_have_gives_none() -> None:
    counts = np.zeros(257)
    counts[100:160] = 1.0
    assert not tilted(SUPPORT, counts, 0.9).any()


def test_the_least_is_changed() -> None:
    """Exponential tilting: the log-ratio of new and old counts is a line in the value."""
    counts = np.ones(257)
    ratio = np.log(tilted(SUPPORT, counts, 0.2))
    assert np.diff(ratio, 2) == pytest.approx(np.zeros(255), abs=1e-9)
    assert ratio[-1] > ratio[0]

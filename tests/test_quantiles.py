"""Intervals of quantiles against the truth, a slow search over edges, and their own edges."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from abtest.mixture import log_evidence
from abtest.quantiles import quantile_difference, quantile_interval
from agent.buckets import ACCURACY, LOG_GAMMA, Floats, log_buckets
from agent.summaries import LogHistogram


def amounts(values: Floats | list[float]) -> LogHistogram:
    histogram = LogHistogram()
    histogram.update(values)
    return histogram


def slow(values: Floats, p: float, alpha: float) -> tuple[float, float]:
    """Every edge of a bucket asked on its own whether the quantile lies on its other side."""
    low, high = 0.0, math.inf
    for bucket in sorted(set(log_buckets(values).tolist())):
        edge = math.exp(bucket * LOG_GAMMA)
        below = float((log_buckets(values) <= bucket).sum())
        counts, level = [len(values) - below, below], math.log(2 / alpha)
        if log_evidence([0.0, 1.0], counts, p, side="down") >= level:
            low = edge
        if log_evidence([0.0, 1.0], counts, p, side="up") >= level:
            high = min(high, edge)
    return low, high


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=80),
    st.sampled_from([0.1, 0.5, 0.95]),
    st.sampled_from([0.5, 0.05]),
)
def test_it_is_the_search_over_every_edge(values: list[float], p: float, alpha: float) -> None:
    wanted = slow(np.array(values), p, alpha)
    assert quantile_interval(amounts(values), p, alpha) == pytest.approx(wanted)


@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
def test_the_true_quantile_stays_inside_at_every_look(rng: np.random.Generator, p: float) -> None:
    """Lognormal latencies, 20 looks at 500 calls each, 80 repetitions; an edge is 1 % off."""
    truth, missed = math.exp(float(special.ndtri(p))), 0
    for _ in range(80):
        held, inside = LogHistogram(), True
        for _ in range(20):
            held.update(np.exp(rng.standard_normal(500)))
            low, high = quantile_interval(held, p)
            inside &= low <= truth <= high
        missed += not inside
    assert missed / 80 <= 0.05
    assert 0.6 < low / truth < 1 < high / truth < 1.6


def test_more_calls_and_less_certainty_draw_it_in(rng: np.random.Generator) -> None:
    values = np.exp(rng.standard_normal(20_000))
    few, many = (quantile_interval(amounts(values[:n]), 0.5) for n in (1_000, 20_000))
    assert few[0] < many[0] < 1 < many[1] < few[1]
    sure = quantile_interval(amounts(values), 0.5, 1e-6)
    assert sure[0] < many[0] < many[1] < sure[1]


def test_merged_parts_give_the_interval_of_the_whole(rng: np.random.Generator) -> None:
    values = np.exp(rng.standard_normal(3_000))
    merged = amounts(values[:1_000]).merge(amounts(values[1_000:]))
    assert quantile_interval(merged, 0.9) == quantile_interval(amounts(values), 0.9)


def test_nothing_and_little_say_nothing() -> None:
    assert quantile_interval(LogHistogram(), 0.5) == (0.0, math.inf)
    assert quantile_interval(amounts([1.0, 2.0]), 0.5) == (0.0, math.inf)
    assert math.isnan(quantile_difference(LogHistogram(), amounts([1.0]), 0.5)[0])


def test_a_quantile_among_zeros_is_zero() -> None:
    low, high = quantile_interval(amounts([0.0] * 900 + [5.0] * 100), 0.5)
    assert (low, high) == (0.0, 0.0)
    low, high = quantile_interval(amounts([0.0] * 900 + [5.0] * 100), 0.99)
    assert low == 0.0
    assert high >= 5.0


def test_equal_values_are_bracketed_by_their_bucket() -> None:
    low, high = quantile_interval(amounts([3.0] * 1_000), 0.5)
    assert low <= 3.0 <= high <= 3.0 * (1 + 3 * ACCURACY)


def test_the_difference_holds_the_difference(rng: np.random.Generator) -> None:
    slow_arm, fast = (amounts(m * np.exp(0.3 * rng.standard_normal(5_000))) for m in (3.0, 1.0))
    estimate, low, high = quantile_difference(fast, slow_arm, 0.5)
    assert estimate == pytest.approx(2.0, abs=0.1)
    assert 1.5 < low < 2.0 < high < 2.5
    mirrored = quantile_difference(slow_arm, fast, 0.5)
    assert mirrored == pytest.approx((-estimate, -high, -low))

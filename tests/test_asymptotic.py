"""The asymptotic interval against published margins, and where it is silent."""

import math

import numpy as np
import pytest

from abtest.asymptotic import (
    FEWEST_EVENTS,
    Moments,
    log_moments,
    log_ratio,
    margin,
    mixing_scale,
    paired_log_ratio,
)
from agent.summaries import LogHistogram


@pytest.mark.parametrize(
    ("rho", "n", "half"),
    [
        (0.03984007, 1_000, 0.10637547),
        (0.03984007, 5_000, 0.04292434),
        (0.03984007, 20_000, 0.02211204),
        (0.04052646, 1_000, 0.10584321),
        (0.04052646, 5_000, 0.04292311),
        (0.04052646, 20_000, 0.02213929),
        (0.02817118, 10_000, 0.03035209),
        (0.02865653, 10_000, 0.03035122),
    ],
)
def test_the_margins_of_statistics_5_3(rho: float, n: int, half: float) -> None:
    assert margin(n, 1.0, 0.05, rho) == pytest.approx(half, abs=1e-7)
    assert margin(n, 3.0, 0.05, rho) == pytest.approx(3 * half, abs=1e-6)


def test_the_scale_is_tightest_where_it_says() -> None:
    assert mixing_scale(0.05, 5_000) == pytest.approx(0.03984007, abs=1e-8)
    assert mixing_scale(0.05, 10_000) == pytest.approx(0.02817118, abs=1e-8)
    assert margin(10_000, 1.0) == pytest.approx(0.03035209, abs=1e-8)


def test_the_normal_mixture_of_statistics_5_1() -> None:
    """The same boundary by its other name: rho there is 1 / rho^2 here."""
    scale = mixing_scale(0.05, 100)
    assert scale**-2 == pytest.approx(12.60056, abs=1e-5)
    assert 100 * margin(100, 1.0, 0.05, scale) == pytest.approx(30.35209, abs=1e-5)


@pytest.mark.parametrize(
    ("sums", "tightest", "ends"),
    [
        ((1396.87, 52377.9767, 3000, 2422.7, 134698.29, 3461), 1_000, (-0.1790892, 0.6478425)),
        ((1396, 1396, 3000, 2422, 2422, 3461), 5_000, (0.1980488, 0.2708800)),
    ],
)
def test_the_two_samples_of_statistics_5_4(
    sums: tuple[float, ...], tightest: int, ends: tuple[float, float]
) -> None:
    a, a_sq, n, b, b_sq, m = sums
    proportions = a == a_sq
    error = sum(
        (sq / k - (s / k) ** 2) / k * (1 if proportions else k / (k - 1))
        for s, sq, k in ((a, a_sq, n), (b, b_sq, m))
    )
    half = margin(n + m, math.sqrt(error * (n + m)), 0.05, mixing_scale(0.05, tightest))
    assert (b / m - a / n - half, b / m - a / n + half) == pytest.approx(ends, abs=1e-6)


def test_moments_of_logarithms_are_those_of_the_values(rng: np.random.Generator) -> None:
    values = 1.2 * np.exp(rng.standard_normal(5_000))
    amounts = LogHistogram()
    amounts.update([*values, 0.0, 0.0])
    found = log_moments(amounts)
    assert found.n == 5_000  # zero has no logarithm
    # Each is .01 off at most, to either side: at the upper edges the mean would be .01 too high.
    assert found.mean == pytest.approx(np.log(values).mean(), abs=0.001)
    assert found.variance == pytest.approx(np.log(values).var(), rel=0.01)
    assert math.isnan(log_moments(LogHistogram()).mean)


def test_too_few_events_have_no_interval() -> None:
    many, few = Moments(10_000, 0.1, 1.0), Moments(FEWEST_EVENTS - 1, 0.3, 1.0)
    for pair in ((many, few), (few, many)):
        estimate, *ends = log_ratio(*pair)
        assert abs(estimate) == pytest.approx(0.2)
        assert np.isnan(ends).all()
    assert np.isnan(paired_log_ratio(few)[1:]).all()
    enough = Moments(FEWEST_EVENTS, 0.3, 1.0)
    assert np.isfinite(log_ratio(many, enough)).all()
    assert np.isfinite(paired_log_ratio(enough)).all()


def test_equal_arms_of_one_size_are_a_sample_of_both() -> None:
    arm = Moments(500, 0.0, 1.0)
    estimate, low, high = log_ratio(arm, Moments(500, 0.2, 1.0))
    half = margin(1_000, 2.0)  # n error = n (1 / (n/2) + 1 / (n/2)) = 4
    assert (estimate, low, high) == pytest.approx((0.2, 0.2 - half, 0.2 + half))


def test_under_looks_from_the_fewest_events_on_it_holds(rng: np.random.Generator) -> None:
    """Log-latency of two equal arms, a look every 100 calls (statistics.md 3.1: .018 to .023)."""
    found = 0
    for _ in range(200):
        z = rng.standard_normal((2, 10_000))
        n = np.arange(1, 10_001)
        means, squares = z.cumsum(1) / n, (z * z).cumsum(1) / n
        out = False
        for at in range(99, 10_000, 100):
            a, b = (
                Moments(at + 1, float(mean[at]), float(sq[at] - mean[at] ** 2))
                for mean, sq in zip(means, squares, strict=True)
            )
            _, low, high = log_ratio(a, b)
            out |= not low <= 0 <= high
        found += out
    assert found / 200 <= 0.05

"""The fixed-bet mixture against published numbers, a slow direct product and a grid of means."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abtest.mixture import BETS, Side, interval, log_capital, log_evidence
from agent.buckets import Floats

# The deterministic stream of statistics.md 5.5.
STREAM = [0.2, 0.5, 0.7, 0.9]
ALPHA = 0.05
every = settings(deadline=None, max_examples=40)  # a search takes milliseconds

# Support points on a grid and how often each was seen, at least once altogether.
counted = (
    st.dictionaries(st.integers(0, 256), st.integers(0, 40), min_size=2, max_size=6)
    .filter(lambda held: any(held.values()))
    .map(lambda held: (np.array(list(held)) / 256, np.array(list(held.values()), float)))
)
Counted = tuple[Floats, Floats]


def slow(
    values: Floats, m: float, side: Side = "both", low: float = 0.0, high: float = 1.0
) -> float:
    """The mixture as it is defined: a product over observations, one by one."""
    capitals = []
    for bet in BETS:
        above = below = 1.0
        for x in values:
            above *= 1 + bet * (x - m) / m
            below *= 1 - bet * (x - m) / (1 - m)
        capitals.append({"up": [above], "down": [below], "both": [above, below]}[side])
    return math.log(float(np.mean(capitals)))


def test_the_stream_of_statistics_5_5() -> None:
    """Golden values to all digits that are printed there."""
    for n, low, high, log in (
        (100, 0.4888450, 0.6559387, 1.9424641),
        (1000, 0.5481146, 0.6012936, 37.9506247),
    ):
        assert interval(STREAM, [n / 4] * 4) == pytest.approx((low, high), abs=1e-7)
        assert log_evidence(STREAM, [n / 4] * 4, 0.5) == pytest.approx(log, abs=1e-6)


def test_the_bets_are_those_that_were_simulated() -> None:
    assert BETS[[0, -1]] == pytest.approx([0.02, 0.9])
    assert len(BETS) == 8
    assert np.ptp(np.diff(np.log(BETS))) < 1e-12


@every
@given(counted, st.floats(0.01, 0.99), st.sampled_from(["both", "up", "down"]))
def test_evidence_is_the_product_over_observations(held: Counted, m: float, side: Side) -> None:
    x, counts = held
    values = np.repeat(x, counts.astype(int))
    assert log_evidence(x, counts, m, side=side) == pytest.approx(slow(values, m, side), abs=1e-7)


@every
@given(counted, st.sampled_from([0.3, 0.05, 0.001]))
def test_the_interval_holds_the_means_of_a_grid_that_are_not_refuted(
    held: Counted, alpha: float
) -> None:
    x, counts = held
    grid = np.linspace(0.0005, 0.9995, 1_999)
    level = log_evidence(x, np.broadcast_to(counts, (len(grid), len(x))), grid)
    kept = grid[level < math.log(1 / alpha)]
    low, high = interval(x, counts, alpha)
    assert low - 0.0005 <= kept.min() <= low + 0.001
    assert high - 0.001 <= kept.max() <= high + 0.0005


@every
@given(counted, st.permutations(range(6)))
def test_order_does_not_matter(held: Counted, places: list[int]) -> None:
    x, counts = held
    order = np.array([place for place in places if place < len(x)])
    assert interval(x[order], counts[order]) == pytest.approx(interval(x, counts), abs=1e-8)
    mixed = log_evidence(x[order], counts[order], 0.4)
    assert mixed == pytest.approx(log_evidence(x, counts, 0.4), abs=1e-9)


@every
@given(counted, st.lists(st.integers(0, 40), min_size=6, max_size=6))
def test_merged_counts_are_the_concatenated_sample(held: Counted, more: list[int]) -> None:
    x, counts = held
    added = np.array(more[: len(x)], float)
    both = np.concatenate([x, x]), np.concatenate([counts, added])
    assert interval(*both) == pytest.approx(interval(x, counts + added), abs=1e-8)
    merged = log_evidence(x, counts + added, 0.6)
    assert merged == pytest.approx(log_evidence(*both, 0.6), abs=1e-9)


@every
@given(counted, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_log_evidence_is_convex_in_the_mean(held: Counted, one: float, other: float) -> None:
    a, middle, b = (log_evidence(*held, m) for m in (one, (one + other) / 2, other))
    assert middle <= (a + b) / 2 + 1e-9


@every
@given(counted, st.sampled_from([0.5, 0.05, 1e-6]))
def test_the_interval_contains_the_sample_mean_and_shrinks_with_alpha(
    held: Counted, alpha: float
) -> None:
    x, counts = held
    mean = (x * counts).sum() / counts.sum()
    low, high = interval(x, counts, alpha)
    assert low - 1e-9 <= mean <= high + 1e-9
    wide_low, wide_high = interval(x, counts, alpha / 2)
    assert wide_low <= low + 1e-9
    assert high - 1e-9 <= wide_high


@every
@given(counted, st.floats(-50, 50), st.floats(0.1, 100))
def test_a_scaled_range_scales_the_interval(held: Counted, lower: float, span: float) -> None:
    x, counts = held
    ends = interval(np.minimum(lower + span * x, lower + span), counts,
                    lower=lower, upper=lower + span)  # fmt: skip
    assert (np.array(ends) - lower) / span == pytest.approx(interval(x, counts), abs=1e-7)
    mirrored = interval(1 - x, counts)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx(interval(x, counts), abs=1e-8)


@every
@given(st.lists(st.lists(st.integers(0, 1000), min_size=3, max_size=3), min_size=1, max_size=5))
def test_many_rows_at_once_are_the_rows_alone(rows: list[list[int]]) -> None:
    x = [0.0, 0.3, 1.0]
    low, high = interval(x, rows)
    alone = np.array([interval(x, row) for row in rows])
    assert np.stack([low, high], -1) == pytest.approx(alone, abs=1e-8)


@every
@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.floats(-3, -1.1), st.floats(1.1, 3))
def test_capital_is_a_fair_game_under_the_mean(
    weights: list[float], lower: float, upper: float
) -> None:
    """E exp(step) = 1 for every bet: with Ville's inequality that is the whole guarantee."""
    chances, x = np.array(weights) / sum(weights), np.array([-1.0, 0.25, 1.0])
    steps = log_capital(x, chances @ x, lower, upper)
    assert chances @ np.exp(steps) == pytest.approx(np.ones(2 * len(BETS)), abs=1e-9)
    off = chances @ np.exp(log_capital(x, chances @ x - 0.05, lower, upper))
    assert (off[: len(BETS)] > 1).all()
    assert (off[len(BETS) :] < 1).all()


@pytest.mark.parametrize("n", [1, 10, 1e6, 1e12])
def test_counts_up_to_a_million_million_are_safe(n: float) -> None:
    for counts in ([n, 0.0, 0.0], [0.0, n, 0.0], [0.0, 0.0, n], [n, 1.0, n], [1.0, n, 0.0]):
        x = np.array([0.0, 0.5, 1.0])
        low, high = interval(x, counts)
        assert 0 <= low <= (x @ counts) / sum(counts) + 1e-9 <= high + 2e-9 <= 1 + 2e-9
        best = float((np.array(counts) @ log_capital(x, 0.3)).max())
        found = float(log_evidence(x, counts, 0.3))  # a mean of 16 is the largest, less ln 16
        assert best - math.log(16) - 1e-9 * abs(best) <= found <= best + 1e-9 * abs(best)


def test_without_events_nothing_is_known() -> None:
    low, high = interval(STREAM, [0] * 4)
    assert (float(low), float(high)) == (0.0, 1.0)
    assert log_evidence(STREAM, [0] * 4, 0.5) == 0.0
    low, high = interval(STREAM, np.zeros((0, 4)))
    assert low.shape == high.shape == (0,)


def test_the_width_stops_where_the_smallest_bet_stops() -> None:
    """Half-width -> C variance / 2 / distance to the end of the range, with C = .02."""
    low, high = interval([0.0, 1.0], [5e11, 5e11])
    assert (high - low) / 2 == pytest.approx(0.02 * 0.25 / 2 / 0.5, rel=0.03)


def test_zeros_alone_bound_the_mean_from_above() -> None:
    low, high = interval([0.0, 1.0], [1000, 0])
    assert low == 0.0
    assert 3 / 1000 < high < 8 / 1000  # the rule of three allows one look, .0037 the best bet


def test_means_that_are_refuted_everywhere_leave_nothing() -> None:
    """Events of one range are always at its upper end, those of another at their lower one."""
    for lower, upper in (([0.0, -1.0], [1.0, 1.0]), ([0.0, -1.0], [1.0, 1.5])):
        assert np.isnan(interval([1.0, -1.0], [1e4, 1e4], lower=lower, upper=upper)).all()
    assert np.isnan(interval([0.9, 0.1], [1e4, 1e4], lower=[0.0, 0.0], upper=[1.0, 0.95])).all()


def test_a_pooled_mean_outside_of_the_narrowest_range_is_no_mean() -> None:
    """As after the first call of a canary, whose weight is 1 / .01, among those of a share .20."""
    ends = np.array([-70.0, -3.0, -3.0]), np.array([70.0, 3.0, 3.0])
    x = np.array([50.0, 1.0, -1.0])
    grid = np.linspace(-2.999, 2.999, 4_001)
    for counts in ([1, 2, 1], [3, 40, 50], [10, 10, 10]):
        level = log_evidence(x, np.broadcast_to(counts, (len(grid), 3)), grid, *ends)
        kept = grid[level < math.log(1 / ALPHA)]
        low, high = interval(x, counts, ALPHA, *ends)
        assert kept.min() == pytest.approx(low, abs=0.002)
        assert kept.max() == pytest.approx(high, abs=0.002)


@pytest.mark.parametrize(
    ("counts", "alpha", "words"),
    [
        ([1, -1], ALPHA, "a count is negative or not finite"),
        ([1, math.nan], ALPHA, "a count is negative or not finite"),
        ([1, math.inf], ALPHA, "a count is negative or not finite"),
        ([1, 1, 1], ALPHA, r"counts of shape \(3,\) do not fit a support of shape \(2,\)"),
        (3, ALPHA, r"counts of shape \(\) do not fit a support of shape \(2,\)"),
        ([1, 1], 0.0, "alpha 0.0 does not lie between 0 and 1"),
        ([1, 1], 1.0, "alpha 1.0 does not lie between 0 and 1"),
        ([1, 1], math.nan, "alpha nan does not lie between 0 and 1"),
    ],
)
def test_what_is_no_count_is_refused(counts: object, alpha: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        interval([0.0, 1.0], counts, alpha)  # type: ignore[arg-type]  # some are no arrays
    if "alpha" not in words:
        with pytest.raises(ValueError, match=words):
            log_evidence([0.0, 1.0], counts, 0.5)  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize("x", [[0.0, 1.5], [-0.1, 1.0], [0.0, math.nan]])
def test_a_support_outside_of_its_range_is_refused(x: list[float]) -> None:
    with pytest.raises(ValueError, match="a support point lies outside the range"):
        interval(x, [1, 1])


@pytest.mark.parametrize("null", [0.0, 1.0, -0.2, 1.5])
def test_a_null_outside_the_range_is_refused(null: float) -> None:
    with pytest.raises(ValueError, match="the null does not lie between"):
        log_evidence([0.0, 0.5, 1.0], [3, 4, 5], null)

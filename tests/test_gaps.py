"""Gaps between values of a segment: what is exact, what holds over many looks, what is found."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from agent.buckets import Floats
from tests.segments import ALPHA, Traffic, ever_told, evidence, part, sums
from watch.gaps import FEWEST_HOURS, Sides, Sums, design_effect, gaps_of

HOURS = 168
TWENTY = (0.05,) * 20


def flags(n: Sequence[int], ones: Sequence[int], first: int = 0) -> Sums:
    """One hour of a flag, by value."""
    a, b = (np.array(one, np.float64)[:, None, None] for one in (n, ones))
    return Sums(a, b, b, first)


def expected(p: Floats, others: Floats, gap: float, sign: int) -> float:
    """The mean evidence over all outcomes of one hour with these chances of each call."""
    total = 0.0
    for outcome in itertools.product((0, 1), repeat=len(p) + len(others)):
        chances = np.concatenate([p, others])
        chance = np.prod(np.where(np.array(outcome) == 1, chances, 1 - chances))
        hour = flags([len(p), len(others)], [sum(outcome[: len(p)]), sum(outcome[len(p) :])])
        level = Sides(hour, np.ones(2)).evidence(np.array([gap, 0.0]), sign)[0]
        total += chance * math.exp(level)
    return float(total)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("gap", [0.0, 0.1, -0.2])
def test_evidence_is_one_at_most_in_the_mean_of_all_outcomes(gap: float, sign: int) -> None:
    for mean in (0.25, 0.5, 0.75):
        # Calls of one hour differ among themselves; what is equal but for the gap are their means.
        own = np.array([mean - 0.04, mean + 0.04]) + gap
        others = mean + np.array([0.2, -0.2, 0.1, -0.1, 0.0])
        assert expected(own, others, gap, sign) <= 1
        # A gap on the other side of what is asked is no evidence; one on this side is.
        assert expected(own - 0.1 * sign, others, gap, sign) < 1
    assert expected(np.full(5, 0.9), np.full(5, 0.1), 0.0, 1) > 1


@pytest.mark.parametrize("ones", [0.01, 0.1, 0.9])
def test_equal_shares_are_no_evidence_however_far_from_the_centre(ones: float) -> None:
    hour = flags([1000, 9000], [round(1000 * ones), round(9000 * ones)])
    assert (Sides(hour, np.ones(2)).apart(0.0) < 0).all()


def test_means_weigh_hours_alike_and_the_interval_holds_their_difference() -> None:
    n = np.array([[[10.0, 1000.0]], [[1000.0, 10.0]]])
    mean = np.array([[[0.8, 0.2]], [[0.8, 0.2]]])
    gaps = gaps_of(Sums(n, n * mean, n * mean, 0), 0.0, ALPHA)
    # Pooled they would be .206 and .794: the hours differ, and no gap is in either.
    assert gaps.mean == pytest.approx([0.5, 0.5]) and gaps.gap == pytest.approx([0, 0])
    assert (gaps.lower < 0).all() and (gaps.upper > 0).all() and (gaps.log_evidence < 1).all()
    assert gaps.n.tolist() == [1010, 1010] and np.isnan(gaps.design_effect).all()


def test_an_interval_excludes_nothing_where_nothing_is_known() -> None:
    gaps = gaps_of(flags([5, 0], [1, 0]), 0.0, ALPHA)
    assert gaps.lower.tolist() == [-1, -1] and gaps.upper.tolist() == [1, 1]
    assert gaps.log_evidence.tolist() == [0, 0] and np.isnan(gaps.gap).all()


@pytest.mark.parametrize("n", [[400, 2000], [300, 100_000], [100_000, 300]])
def test_the_interval_of_a_rare_flag_has_two_ends(n: list[int]) -> None:
    gaps = gaps_of(flags(n, [one // 100 for one in n]), 0.0, ALPHA)
    assert (gaps.lower > -0.3).all() and (gaps.upper < 0.3).all()


def test_intervals_cover_a_gap_at_all_looks(rng: np.random.Generator) -> None:
    missed, traffic = 0, Traffic(gap=0.05, daily=0.05)
    for _ in range(40):
        whole = sums(rng, traffic, 2 * 48, 48)
        looks = (gaps_of(part(whole, end), 0.0, ALPHA) for end in range(6, 49, 6))
        missed += any(not one.lower[0] <= traffic.gap <= one.upper[0] for one in looks)
    assert missed <= 40 * ALPHA
    last = gaps_of(whole, 0.0, ALPHA)
    assert last.lower[0] > 0 and last.upper[0] < 0.12
    # What matters is refuted where the interval does not reach it.
    assert gaps_of(whole, 0.06, ALPHA).log_evidence[0] < 0 < last.log_evidence[0]


def false_windows(
    rng: np.random.Generator, traffic: Traffic, windows: int, **defects: bool
) -> int:  # fmt: skip
    """Windows of a week in which any of five metrics of any value is told, looked at every hour."""
    return sum(
        ever_told([sums(rng, traffic, 2 * HOURS, HOURS) for _ in range(5)], **defects)
        for _ in range(windows)
    )


def test_evidence_grows_by_the_hour_as_a_look_finds_it(rng: np.random.Generator) -> None:
    whole = sums(rng, Traffic(gap=0.1), 60, 30)
    course = evidence(whole, 0.02)
    for end in (1, 7, 30):
        assert gaps_of(part(whole, end), 0.02, ALPHA).log_evidence == pytest.approx(
            course[:, end - 1]
        )
    assert course[0, -1] > math.log(20)


def test_no_gap_is_told_where_there_is_none(rng: np.random.Generator) -> None:
    assert false_windows(rng, Traffic(TWENTY, 1000), 10) == 0
    assert false_windows(rng, Traffic(TWENTY, 1000, daily=0.08), 10) == 0


def test_a_planted_lack_of_ebh_or_of_the_design_effect_tells_gaps(rng: np.random.Generator) -> None:
    assert false_windows(rng, Traffic(TWENTY, 1000), 10, adjusted=False) > 0
    alike = Traffic(TWENTY, 2000, icc=0.3)
    assert false_windows(rng, alike, 2) == 0
    assert false_windows(rng, alike, 2, discounted=False) > 0


def test_values_that_come_at_other_hours_have_no_gap_for_that(rng: np.random.Generator) -> None:
    hours = np.arange(48)
    night = np.where(hours % 24 < 12, 200, 20)
    n = np.stack([night, 220 - night])
    ones = rng.binomial(n, np.where(hours % 24 < 12, 0.3, 0.1))
    a, b = (one[:, None].astype(np.float64) for one in (n, ones))
    whole = Sums(a, b, b, 24)
    assert abs(gaps_of(whole, 0.0, ALPHA).gap[0]) < 0.05
    assert Sides(whole, np.ones(2)).apart(0.0)[0] < 1
    # One block of all hours, planted, calls it a gap.
    pooled = flags(n.sum(1).tolist(), ones.sum(1).tolist())
    assert Sides(pooled, np.ones(2)).apart(0.0)[0] > 20


def test_the_design_effect_is_that_of_sessions_and_unknown_in_few_hours(
    rng: np.random.Generator,
) -> None:
    whole = sums(rng, Traffic(TWENTY, 2000, icc=0.3), HOURS, HOURS)
    found = design_effect(whole)
    # Ten calls of correlation .3 say as much as 10 / 3.7 independent ones.
    assert 3.2 < np.median(found) < 5
    plain = design_effect(sums(rng, Traffic(TWENTY, 2000), HOURS, HOURS))
    assert (plain >= 1).all() and np.median(plain) < 1.3
    few = design_effect(sums(rng, Traffic(), FEWEST_HOURS - 1, FEWEST_HOURS - 1))
    assert np.isnan(few).all()

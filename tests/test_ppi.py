"""Prediction-powered means against their formulas, their ends and what must not be believed."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import beta

from abtest import ppi
from abtest.exact import clopper_pearson
from tests.judged import world

Z = NormalDist().inv_cdf(0.975)
# Weight, estimate and both ends, computed apart from this code with four imagined calls.
GOLDEN = (0.9823524326, 0.3352647135, 0.2663123746, 0.4108437518)


@pytest.mark.parametrize(
    ("hits", "n"), [(0, 1), (0, 50), (1, 1), (3, 40), (39, 40), (500, 1000), (12, 20_000)]
)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_exact_interval_is_that_of_the_beta_quantiles(hits: int, n: int, alpha: float) -> None:
    lower, upper = clopper_pearson(hits, n, alpha)
    wanted_lower = beta.ppf(alpha / 2, hits, n - hits + 1) if hits else 0.0
    wanted_upper = beta.ppf(1 - alpha / 2, hits + 1, n - hits) if hits < n else 1.0
    assert lower == pytest.approx(wanted_lower, abs=1e-9)
    assert upper == pytest.approx(wanted_upper, abs=1e-9)


def test_the_exact_interval_of_nothing_says_nothing() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 of 2"):
        clopper_pearson(3, 2)


def test_without_imagined_calls_it_is_the_formula_of_the_paper(rng: np.random.Generator) -> None:
    labels, cheap = world("blind", 2400, 0.3, rng)
    y, f, g = labels[:400], cheap[:400], cheap[400:]
    n, others = len(y), len(g)
    # PPI++ sec. 6 and theorem 1, with numpy alone.
    weight = np.cov(y, f)[0, 1] / ((1 + n / others) * np.var(cheap))
    value = weight * g.mean() + (y - weight * f).mean()
    error = math.sqrt(weight**2 * np.var(g) / others + np.var(y - weight * f) / n)
    found = ppi.mean(y, f, ppi.of_scores(g), imagined=0.0)
    assert found.weight == pytest.approx(weight, abs=1e-12)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert (found.lower, found.upper) == pytest.approx((value - Z * error, value + Z * error))
    assert (found.judged, found.others, found.method) == (400, 2000, "ppi++")


def test_golden_values() -> None:
    labels = np.repeat([1.0, 0.0, 1.0, 0.0], [30, 50, 5, 15])
    cheap = np.repeat([0.9, 0.1, 0.2, 0.7], [30, 50, 5, 15])
    found = ppi.mean(labels, cheap, ppi.Cheap(9900, 0.42, 0.13))
    told = (found.weight, found.value, found.lower, found.upper)
    assert told == pytest.approx(GOLDEN, abs=1e-9)


def test_imagined_calls_keep_a_perfect_sample_from_being_a_point() -> None:
    """A cheap score that happens to agree 100 times may still be wrong of one call in 50."""
    y = np.repeat([0.0, 1.0], [70, 30])
    found = ppi.mean(y, y, ppi.Cheap(10**9, 0.3, 0.21))
    assert found.lower < 0.28 < 0.32 < found.upper
    plain = ppi.mean(y, y, ppi.Cheap(10**9, 0.3, 0.21), imagined=0.0)
    assert plain.width < 0.001


def test_a_cheap_score_that_says_nothing_has_no_weight(rng: np.random.Generator) -> None:
    y, _ = world("noise", 500, 0.3, rng)
    for cheap in (np.zeros(500), np.full(500, 0.7), 1 - y):
        found = ppi.mean(y, cheap, ppi.of_scores(np.zeros(5000)))
        assert found.weight == 0.0
        assert found.value == pytest.approx(y.mean())


def test_few_judged_calls_get_their_exact_interval(rng: np.random.Generator) -> None:
    y, f = world("good", 49, 0.3, rng)
    found = ppi.mean(y, f, ppi.of_scores(f))
    assert found.method == "exact"
    assert (found.lower, found.upper) == clopper_pearson(int(y.sum()), 49)
    scores = ppi.mean(y * 0.5 + 0.25, f, ppi.of_scores(f))
    assert (scores.method, scores.lower < y.mean() * 0.5 + 0.25 < scores.upper) == ("betting", True)
    assert ppi.mean([], [], ppi.of_scores([])).method == "could not tell"


def test_no_other_calls_is_the_judged_sample_alone(rng: np.random.Generator) -> None:
    y, f = world("good", 300, 0.3, rng)
    found = ppi.mean(y, f, ppi.of_scores([]))
    assert found.weight == 0.0
    assert found.value == pytest.approx(y.mean())
    assert 0 < found.lower < found.upper < 1


def test_labels_and_scores_out_of_range_are_refused() -> None:
    for y, f in (([2.0], [0.5]), ([0.5], [-0.1]), ([math.nan], [0.1]), ([0.1, 0.2], [0.1])):
        with pytest.raises(ValueError, match=r"outside|do not fit"):
            ppi.mean(y, f, ppi.Cheap(10, 0.5, 0.1))


def test_the_anytime_interval_is_wider_and_holds_its_value(rng: np.random.Generator) -> None:
    y, f = world("good", 20_000, 0.3, rng)
    fixed = ppi.mean(y[:1000], f[:1000], ppi.of_scores(f[1000:]))
    found = ppi.anytime(y[:1000], f[:1000], f, 0.8)
    assert found.lower < fixed.lower < 0.3 < fixed.upper < found.upper
    assert found.method == "betting"
    alone = ppi.anytime(y[:1000], f[:1000], f, 0.0)
    assert found.width < alone.width
    with pytest.raises(ValueError, match="weight 2"):
        ppi.anytime(y, f, f, 2.0)
    empty = ppi.anytime([], [], [], 1.0)
    assert (empty.lower, empty.upper) == (0.0, 1.0)


def test_rogan_and_gladen_are_their_formula() -> None:
    found = ppi.rogan_gladen(flagged=300, n=1000, hits=90, ill=100, clear=160, well=200)
    assert found.value == pytest.approx((0.3 + 0.8 - 1) / (0.9 + 0.8 - 1))
    assert found.lower < found.value < found.upper
    # Lang and Reiczigel 2014: 2 imagined labelled items of each kind, z^2 imagined calls.
    share, true, false = (300 + Z**2 / 2) / (1000 + Z**2), 91 / 102, 161 / 202
    centre = (share + false - 1) / (true + false - 1)
    of_true, of_false = true * (1 - true) / 102, false * (1 - false) / 202
    shift = 2 * Z**2 * (centre * of_true - (1 - centre) * of_false)
    inside = share * (1 - share) / (1000 + Z**2)
    inside += centre**2 * of_true + (1 - centre) ** 2 * of_false
    half = Z * math.sqrt(inside) / (true + false - 1)
    ends = (centre + shift - half, centre + shift + half)
    assert (found.lower, found.upper) == pytest.approx(ends, abs=1e-12)


def test_a_test_that_may_be_a_coin_tells_nothing() -> None:
    for hits, clear in ((50, 50), (52, 50), (20, 30)):
        found = ppi.rogan_gladen(300, 1000, hits, 100, clear, 100)
        assert (found.method, found.lower, found.upper) == ("could not tell", 0.0, 1.0)
    assert ppi.rogan_gladen(0, 0, 9, 10, 9, 10).method == "could not tell"

"""A judge against people: agreement, kappa, its errors and its liking for long answers."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from suites.judge.calibration import Calibration, calibrate, kappa, ranks


def sample(rng: np.random.Generator, n: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    right = rng.integers(0, levels, n)
    given = np.where(rng.random(n) < 0.6, right, rng.integers(0, levels, n))
    return given / (levels - 1), right / (levels - 1)


@pytest.mark.parametrize("levels", [2, 5])
def test_kappa_is_that_of_scikit_learn(rng: np.random.Generator, levels: int) -> None:
    given, right = sample(rng, 300, levels)
    names = [np.rint(one * (levels - 1)).astype(int) for one in (given, right)]
    assert kappa(given, right).value == pytest.approx(
        cohen_kappa_score(*names, weights="quadratic"), abs=1e-12
    )


def test_the_variance_of_kappa_is_that_of_the_published_example() -> None:
    """2 x 2 by the delta method done another way: the derivatives taken by differences."""
    cells = np.array([[0.4, 0.1], [0.15, 0.35]])

    def plain(p: np.ndarray) -> float:
        seen, chance = p.trace(), float(p.sum(1) @ p.sum(0))
        return float((seen - chance) / (1 - chance))

    step, slopes = 1e-6, np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            up, down = cells.copy(), cells.copy()
            up[i, j] += step
            down[i, j] -= step
            slopes[i, j] = (plain(up) - plain(down)) / (2 * step)
    n = 200
    variance = ((cells * slopes**2).sum() - (cells * slopes).sum() ** 2) / n
    given = np.repeat([0.0, 0.0, 1.0, 1.0], [80, 20, 30, 70])
    right = np.repeat([0.0, 1.0, 0.0, 1.0], [80, 20, 30, 70])
    found = kappa(given, right)
    half = stats.norm.ppf(0.975) * math.sqrt(variance)
    assert (found.lower, found.upper) == pytest.approx(
        (found.value - half, found.value + half), abs=1e-6
    )


@pytest.mark.parametrize("levels", [2, 4])
def test_the_interval_of_kappa_holds(levels: int) -> None:
    rng = np.random.default_rng(5)
    truth = kappa(*sample(rng, 1_000_000, levels)).value
    held = 0
    for _ in range(400):
        one = kappa(*sample(rng, 150, levels))
        held += one.lower <= truth <= one.upper
    assert held / 400 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)


def test_a_side_that_says_one_thing_has_no_kappa() -> None:
    found = kappa(np.ones(20), np.repeat([0.0, 1.0], 10))
    assert math.isnan(found.value)
    assert (found.lower, found.upper) == (-1.0, 1.0)


def judged(verdicts: list[float | None], labels: list[float]) -> Calibration:
    return calibrate(verdicts, labels, [10] * len(labels))


def test_errors_are_counted_by_their_kind() -> None:
    # 3 bad items of which 2 are called bad; 4 good ones of which 3 are; one has no verdict.
    labels = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    verdicts = [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, None]
    found = judged(verdicts, labels)
    assert (found.n, found.unjudged) == (7, 1)
    assert found.sensitivity.value == pytest.approx(2 / 3)
    assert found.specificity.value == pytest.approx(3 / 4)
    assert (found.sensitivity.n, found.specificity.n) == (3, 4)
    assert found.agreement.value == pytest.approx(5 / 7)
    wanted = stats.binomtest(2, 3).proportion_ci(method="exact")
    assert (found.sensitivity.lower, found.sensitivity.upper) == pytest.approx(
        (wanted.low, wanted.high)
    )


def test_no_labels_tell_nothing() -> None:
    found = judged([], [])
    assert math.isnan(found.agreement.value)
    assert (found.agreement.lower, found.agreement.upper) == (0.0, 1.0)


def test_a_liking_for_long_answers_is_seen(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 400).astype(float)
    chars = rng.integers(10, 2000, 400)
    fair = np.where(rng.random(400) < 0.9, labels, 1 - labels)
    fond = np.where(chars > 1500, 1.0, fair)
    plain = calibrate(fair.tolist(), labels.tolist(), chars.tolist()).length_bias
    biased = calibrate(fond.tolist(), labels.tolist(), chars.tolist()).length_bias
    assert abs(plain.value) < 0.15
    assert biased.lower > 0.05


def test_ranks_are_those_of_scipy(rng: np.random.Generator) -> None:
    values = rng.integers(0, 20, 100).astype(float)
    assert ranks(values).tolist() == stats.rankdata(values).tolist()


def test_agreement_in_few_items_is_not_certain() -> None:
    few, many = (kappa(np.array([1.0, 0.0] * n), np.array([1.0, 0.0] * n)) for n in (2, 200))
    assert [few.value, many.value, few.upper] == pytest.approx([1.0] * 3)
    assert few.lower < 0.0 and 0.9 < many.lower < 1.0

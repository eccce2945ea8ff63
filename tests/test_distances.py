"""Distances against scipy's, and the chance that is shown beside them."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from abtest.samples import GRID
from agent.buckets import BINS, Floats
from agent.catalog import AXES
from watch.baseline import Baseline
from watch.distances import distances, mean_distance


def counted(values: Floats) -> Floats:
    bins = np.rint(np.clip(values, 0, 1) * BINS).astype(np.int64)
    return np.bincount(bins, minlength=BINS + 1).astype(np.float64)


def test_they_equal_scipys(rng: np.random.Generator) -> None:
    before, after = counted(rng.beta(5, 2, 5000)), counted(rng.beta(4, 2, 800))
    found = distances(before, after, rng)
    wanted = wasserstein_distance(GRID, GRID, before, after)
    assert found["wasserstein"].value == pytest.approx(wanted)
    gap = np.abs(before.cumsum() / 5000 - after.cumsum() / 800).max()
    assert found["ks"].value == pytest.approx(gap)
    groups = np.minimum(10 * (before.cumsum() - before / 2) / 5000, 9).astype(int)
    p, q = (np.bincount(groups, one, 10) + 0.5 for one in (before, after))
    assert found["js"].value == pytest.approx(jensenshannon(p, q, base=2))
    p, q = p / p.sum(), q / q.sum()
    assert found["psi"].value == pytest.approx(((q - p) * np.log(q / p)).sum())


@pytest.mark.parametrize("n", [100, 500, 5000])
def test_unchanged_samples_of_any_size_stay_below_what_chance_gives(
    rng: np.random.Generator, n: int
) -> None:
    before, above = counted(rng.beta(5, 2, 200_000)), dict.fromkeys(("js", "psi", "ks"), 0)
    for _ in range(100):
        found = distances(before, counted(rng.beta(5, 2, n)), rng)
        for name in above:
            above[name] += found[name].value > found[name].by_chance
    # A fixed cut of .1 flags 31 to 88 of 100 such windows of 100 calls (statistics.md 6.2).
    assert all(times <= 14 for times in above.values()), above


def test_a_change_of_shape_is_far_beyond_chance(rng: np.random.Generator) -> None:
    before = counted(rng.normal(0.5, 0.1, 5000))
    found = distances(before, counted(rng.normal(0.5, 0.15, 1000)), rng)
    assert all(one.value > 2 * one.by_chance for one in found.values()), found


def test_a_constant_baseline_is_no_trouble(rng: np.random.Generator) -> None:
    before, after = counted(np.ones(500)), counted(np.zeros(50))
    found = distances(before, after, rng)
    assert found["ks"].value == 1.0 and found["ks"].by_chance == 0.0
    assert all(np.isfinite([one.value, one.by_chance]).all() for one in found.values())


def test_unchanged_means_stay_below_what_chance_gives_on_every_axis(
    rng: np.random.Generator,
) -> None:
    base, n, above = Baseline(2000, 0.5, 0.04, 0.4, 0.6, 1.0), 300, 0
    for _ in range(400):
        moved = rng.normal(0, 0.2 / np.sqrt(n), AXES) - rng.normal(0, 0.2 / np.sqrt(2000), AXES)
        far = [mean_distance(one, n, base) for one in moved.tolist()]
        above += max(one.value for one in far) > far[0].by_chance
    assert 5 <= above <= 38  # 20 are expected, 4.4 is the standard deviation
    alike = mean_distance(0.1, n, base._replace(design_effect=4.0))
    assert (alike.value, alike.by_chance) == pytest.approx((0.5, 2 * far[0].by_chance))

"""The detector and its baseline: what they promise, on few repetitions; the rest is in proofs."""

import math
import time

import numpy as np
import pytest

from agent.summaries import BoundedHistogram
from tests.drifting import MEAN, Traffic, alarms, bands, baselines, delays, panes, sample
from watch.baseline import Blocks, design_effect, hour_spread
from watch.budget import YEAR_S, Budget
from watch.detector import Bands, Evidence, Sample, gains_of

KNOWN = Bands(*(np.full(300, one) for one in (MEAN, MEAN, 1.0)))


def test_the_threshold_is_the_panes_of_a_year_over_the_share_of_a_slot() -> None:
    budget = Budget(2.0, 500, 10)
    assert math.exp(budget.log_threshold) == pytest.approx(YEAR_S / 10 / (0.9 * 2 / 500))
    assert budget.baseline_alpha == pytest.approx(0.1 * 2 / 500)
    assert Budget(4.0, 1000, 10).log_threshold == pytest.approx(budget.log_threshold)


def test_with_the_mean_known_alarms_are_as_rare_as_promised(rng: np.random.Generator) -> None:
    rung = int(alarms(rng, Traffic(), KNOWN, math.log(400), 200).sum())
    assert rung <= 300 * 200 / 400
    # Planted: a threshold a tenth as high.
    assert int(alarms(rng, Traffic(), KNOWN, math.log(40), 200).sum()) > 300 * 200 / 400


@pytest.mark.parametrize(("shift", "side"), [(0.1, "above"), (-0.1, "below")])
def test_a_shift_rings_on_its_side_and_says_when_it_began(
    rng: np.random.Generator, shift: float, side: str
) -> None:
    evidence, everyone = Evidence.none(40), np.arange(40)
    within = KNOWN.of(everyone)
    for at, (_, counts) in zip(range(30), panes(rng, Traffic(), 40), strict=False):
        evidence.see(at, gains_of(sample(counts), within), everyone)
    moved = panes(rng, Traffic(), 40, shift=shift)
    for at, (_, counts) in zip(range(30, 50), moved, strict=False):
        evidence.see(at, gains_of(sample(counts), within), everyone)
    told = [evidence.change(one) for one in range(40)]
    assert {one for one, _ in told} == {side}
    assert np.median([abs(onset - 30) for _, onset in told]) <= 1
    assert (evidence.log_statistic() > 22).all()


def test_partitions_merge_to_the_same_bits(rng: np.random.Generator) -> None:
    scores, keys = rng.beta(5, 2, 3000), rng.integers(0, 2**63, 3000).astype(np.uint64)

    def counted(parts: int) -> np.ndarray:
        total = BoundedHistogram(0, 1)
        order = rng.permutation(3000)
        for mine in np.array_split(order, parts):
            part = BoundedHistogram(0, 1)
            part.update(scores[mine], keys[mine])
            total.merge(part)
        return gains_of(sample(total.counts[None, :].astype(np.float64)), KNOWN.of(np.arange(1)))

    assert counted(1).tobytes() == counted(32).tobytes()


def test_a_thousand_series_take_a_pane_in_time(rng: np.random.Generator) -> None:
    within = Bands(*(np.full(1000, one) for one in (MEAN - 0.01, MEAN + 0.01, 1.0)))
    evidence, everyone, took = Evidence.none(1000), np.arange(1000), []
    for at, (_, counts) in zip(range(7), panes(rng, Traffic(), 1000), strict=False):
        some = sample(counts)
        began = time.perf_counter()
        evidence.see(at, gains_of(some, within), everyone)
        evidence.log_statistic()
        took.append(time.perf_counter() - began)
    assert np.median(took) < 0.1  # the bar is 0.05 on a quiet machine, see the proofs


# Ten calls of one session as one of them count 1 + 9 ICC; over ten panes a minute sees a part.
@pytest.mark.parametrize(("together", "least"), [(True, 3.2), (False, 2.0)])
def test_calls_that_are_alike_are_discounted(
    rng: np.random.Generator, together: bool, least: float
) -> None:
    def effect(icc: float) -> float:
        traffic = Traffic(icc=icc, together=together)
        known = baselines(rng, traffic, 30, 20_000, Budget(1, 1000, 10))
        return float(np.median([one.design_effect for one in known]))

    assert effect(0.0) < 1.5
    assert least < effect(0.3) < 8


def test_hours_that_differ_widen_the_band_and_not_the_discount(rng: np.random.Generator) -> None:
    traffic = Traffic(daily=0.03)
    known = baselines(rng, traffic, 20, 20_000, Budget(1, 1000, 10))
    assert np.median([one.design_effect for one in known]) < 1.5
    assert all(one.lower < MEAN - 0.03 and one.upper > MEAN + 0.03 for one in known)
    flat = baselines(rng, Traffic(), 20, 20_000, Budget(1, 1000, 10))
    assert all(one.upper - one.lower < 0.025 for one in flat)


def test_blocks_of_equal_calls_have_no_effect_and_no_spread() -> None:
    blocks = Blocks(np.arange(720) * 10, np.full(720, 8.0), np.full(720, 4.0))
    assert design_effect(blocks, 0.25) == 1.0
    assert hour_spread(blocks, 0.25) == 0.0
    assert design_effect(blocks, 0.0) == 1.0


def test_a_large_drop_is_found_in_few_calls(rng: np.random.Generator) -> None:
    budget = Budget(1.0, 1000, 10)
    known = baselines(rng, Traffic(), 60, 5000, budget)
    took = delays(rng, Traffic(), bands(known), budget.log_threshold, -0.1)
    assert np.median(took) * 50 <= 300


def test_an_empty_pane_and_the_ends_of_the_range_are_no_trouble() -> None:
    none = np.zeros(0, np.int64)
    within = Bands(np.array([0.0, 0.5]), np.array([1e-6, 1.0]), np.ones(2))
    assert (gains_of(Sample(none, none, none), within) == 0).all()
    ends = Sample(np.array([0, 0, 1, 1]), np.array([0, 256, 0, 256]), np.array([5, 1, 2, 3]))
    assert np.isfinite(gains_of(ends, within)).all()

"""The detector and its baseline: what they promise, on few repetitions; the rest is in proofs."""

import itertools
import math

import numpy as np
import pytest

from abtest.mixture import interval
from abtest.samples import GRID
from agent.buckets import BINS
from agent.summaries import BoundedHistogram
from tests.drifting import MEAN, Traffic, alarms, bands, baselines, delays, pane_s, panes, sample
from watch.baseline import LESSON, hear, learn
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
    above, onsets = evidence.change(everyone)
    assert (above == (side == "above")).all()
    assert np.median(np.abs(onsets - 30)) <= 1
    assert (evidence.log_statistic(everyone) > 22).all()


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
    assert pane_s(rng, 7) < 0.1  # tests run beside others: the bar of .05 is in the proofs


# Ten calls of one session as one of them count 1 + 9 ICC; over ten panes a minute sees a part.
@pytest.mark.parametrize(("together", "least"), [(True, 3.2), (False, 2.0)])
def test_calls_that_are_alike_are_discounted(
    rng: np.random.Generator, together: bool, least: float
) -> None:
    def effect(icc: float) -> float:
        traffic = Traffic(icc=icc, together=together)
        known = baselines(rng, traffic, 30, 20_000, Budget(1, 1000, 10))
        return float(np.median(known["design_effect"]))

    assert effect(0.0) < 1.5
    assert least < effect(0.3) < 8


def test_hours_that_differ_widen_the_band_and_not_the_discount(rng: np.random.Generator) -> None:
    traffic = Traffic(daily=0.03)
    known = baselines(rng, traffic, 20, 20_000, Budget(1, 1000, 10))
    assert np.median(known["design_effect"]) < 1.5
    assert (known["lower"] < MEAN - 0.03).all() and (known["upper"] > MEAN + 0.03).all()
    flat = baselines(rng, Traffic(), 20, 20_000, Budget(1, 1000, 10))
    assert (flat["upper"] - flat["lower"] < 0.025).all()


@pytest.mark.parametrize("alike", ["each half", "all one half"])
def test_blocks_of_equal_calls_have_no_effect_and_no_spread(alike: str) -> None:
    lessons, counts = np.zeros(1, LESSON), np.zeros((1, BINS + 1))
    counts[0, [0, BINS] if alike == "each half" else [BINS // 2]] = 4.0
    for pane in range(0, 7200, 10):
        hear(lessons, pane, counts)
    (known,) = learn(lessons, 1e-4)
    assert known["design_effect"] == 1.0
    n = counts.sum() * 720
    lower, upper = interval(GRID, counts[0] * 720, 1e-4)
    assert (known["calls"], known["lower"], known["upper"]) == (n, lower, upper)


def test_lessons_heard_one_by_one_or_together_are_the_same(rng: np.random.Generator) -> None:
    some = [(start + 3400, counts) for start, counts in
            itertools.islice(panes(rng, Traffic(icc=0.2), 3), 60)]  # fmt: skip
    together, alone = np.zeros(3, LESSON), [np.zeros(1, LESSON) for _ in range(3)]
    for start, counts in some:
        hear(together, start, counts)
        for at, one in enumerate(alone):
            hear(one, start, counts[at : at + 1])
    assert together.tobytes() == np.concatenate(alone).tobytes()
    # By hand: of minutes within their hours, sum of total^2 / n less that of the hour.
    (known,), within, freedom = learn(alone[0], 0.01), 0.0, 0
    minutes: dict[int, list[float]] = {}
    for start, counts in some:
        n, total = minutes.setdefault(start // 60, [0.0, 0.0])
        minutes[start // 60] = [n + counts[0].sum(), total + counts[0] @ GRID]
    for hour in (0, 1):
        mine = [one for minute, one in minutes.items() if minute // 60 == hour]
        n, total = np.sum(mine, 0)
        within += sum(t * t / k for k, t in mine) - total * total / n
        freedom += len(mine) - 1
    closed = together.copy()
    hear(closed, 10_800, np.zeros((3, BINS + 1)))
    assert closed["within"][0, 1] == pytest.approx(within)
    assert closed["freedom"][0, 1] == freedom and known["design_effect"] >= 1


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


def nightly(days: int, shift: float) -> np.void:
    """The band of a flag of .10 that is higher or lower from 03:00 to 04:00, 50 calls a minute."""
    rng, lessons = np.random.default_rng(1), np.zeros(1, LESSON)
    for pane in range(0, days * 86_400, 60):
        n = rng.binomial(50, 0.1 + shift * (pane // 3600 % 24 == 3))
        counts = np.zeros((1, BINS + 1))
        counts[0, [0, BINS]] = 50 - n, n
        hear(lessons, pane, counts)
    (known,) = learn(lessons, 1e-4)
    made: np.void = known
    return made


@pytest.mark.parametrize("shift", [0.1, -0.08])
def test_the_band_reaches_to_an_hour_of_the_day_that_is_unlike_the_others(shift: float) -> None:
    """Two spreads of its 24 hours are .04; the hour is .096 away, on one side alone."""
    known = nightly(3, shift)
    far, near = ("upper", "lower") if shift > 0 else ("lower", "upper")
    assert abs(known[far] - (0.1 + shift)) < 0.01
    assert 0.01 < abs(known[near] - known["mean"]) < 0.06
    once = nightly(1, shift)
    assert abs(once[far] - once["mean"]) < 0.06, "one night may be chance"


def test_like_hours_widen_no_band(rng: np.random.Generator) -> None:
    """Of noise alone no hour of the day is unlike the others."""
    lessons = np.zeros(200, LESSON)
    for pane in range(0, 3 * 86_400, 1200):
        n = rng.binomial(50, 0.1, 200)
        counts = np.zeros((200, BINS + 1))
        counts[:, 0], counts[:, BINS] = 50 - n, n
        hear(lessons, pane, counts)
    told = learn(lessons, 1e-4)
    lessons["first"] = lessons["pane"]  # then it is no two days
    assert (told != learn(lessons, 1e-4)).sum() <= 2

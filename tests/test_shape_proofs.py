"""Whether shapes keep the budget too: ranks, spreads and tails of series that do not change."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agent.buckets import BINS, Floats
from tests.drifting import DAY_S, Traffic, bands, counted, panes, sample
from tests.test_drift_proofs import PANES, TRAFFIC, tell, within_a_year
from tests.test_shape import CALLS, learned, scores, seconds, walk, wider, with_a_tail
from watch.baseline import LESSON, Table, hear, learn
from watch.budget import Budget
from watch.detector import Bands, Evidence, gains_of
from watch.shape import RARE, ranks, tails

pytestmark = pytest.mark.prove
SERIES = 100
Draw = Callable[[np.random.Generator], np.ndarray]


def shaped(counts: Floats, held: Floats) -> Floats:
    """Ranks, spreads and tails of series among what was held of them, [3 x series, bins]."""
    series, bins = np.nonzero(counts)
    rank = ranks(held, series, bins)
    tail = tails(held, np.zeros(len(held), bool), series, bins)
    views = (rank, np.abs(2 * rank - BINS), BINS * tail)
    flat = [(at * len(held) + series) * (BINS + 1) + view for at, view in enumerate(views)]
    weights = np.tile(counts[series, bins], 3)
    made = np.bincount(np.concatenate(flat), weights, 3 * len(held) * (BINS + 1))
    return made.astype(np.float64).reshape(-1, BINS + 1)


def taught(
    rng: np.random.Generator, traffic: Traffic, calls: int, budget: Budget
) -> tuple[Floats, Table]:
    """What ranks are taken among, and the bands of ranks, spreads and tails."""
    traffic = replace(traffic, calls=min(traffic.calls, calls // 100))
    each = calls // traffic.calls
    every = max(1, DAY_S // traffic.pane_s // each) if traffic.daily else 1
    road = panes(rng, traffic, SERIES, every)
    held = sum((counts for _, counts in itertools.islice(road, each)), np.zeros(1))
    lessons = np.zeros(3 * SERIES, LESSON)
    for at, (start, counts) in enumerate(itertools.islice(road, RARE * each)):
        views = shaped(counts, held)
        some = slice(None) if at < each else slice(2 * SERIES, None)
        mine = lessons[some]
        hear(mine, start, views[some])
        lessons[some] = mine
    return held, learn(lessons, budget.baseline_alpha)


def rung_in(
    rng: np.random.Generator, traffic: Traffic, held: Floats, within: Bands, budget: Budget
) -> int:
    everyone, found = np.arange(3 * SERIES), 0
    evidence = Evidence.none(len(everyone))
    for start, counts in itertools.islice(panes(rng, traffic, SERIES), PANES):
        evidence.see(start, gains_of(sample(shaped(counts, held)), within), everyone)
        rung = np.flatnonzero(evidence.log_statistic(everyone) >= budget.log_threshold)
        found += len(rung)
        evidence.forget(rung)
    return found


@pytest.mark.parametrize("calls", [1000, 5000])
@pytest.mark.parametrize("name", TRAFFIC)
def test_shapes_stay_within_the_budget(rng: np.random.Generator, name: str, calls: int) -> None:
    budget = within_a_year(15.0, 3 * SERIES)
    held, known = taught(rng, TRAFFIC[name], calls, budget)
    rung = rung_in(rng, TRAFFIC[name], held, bands(known), budget)
    tell(f"shapes, {name}, baseline of {calls}: {rung} of 15 allowed")
    assert rung <= 15


def test_ranks_that_learn_their_band_from_the_calls_that_gave_them_would_break_it(
    rng: np.random.Generator,
) -> None:
    """Planted: the band of a known mean, .5, as if the baseline had no error."""
    budget = within_a_year(15.0, 3 * SERIES)
    held = sum((c for _, c in itertools.islice(panes(rng, Traffic(), SERIES), 20)), np.zeros(1))
    sure = np.full(3 * SERIES, 0.5)
    sure[2 * SERIES :] = 0.004
    within = Bands(sure, sure, np.ones(3 * SERIES))
    assert rung_in(rng, Traffic(), held, within, budget) > 15


@pytest.mark.parametrize(
    ("what", "metric", "before", "after"),
    [
        ("variance doubled", "response_relevance", scores, wider),
        ("one in a hundred far out", "response_relevance", scores, with_a_tail),
        ("a fifth slower", "latency", seconds, lambda rng: 1.2 * seconds(rng)),
    ],
)
def test_how_long_shapes_take(what: str, metric: str, before: Draw, after: Draw) -> None:
    took = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        watched = learned(metric, before, rng)
        for one in walk(after, metric, rng, 30_000 // CALLS):
            watched.see(one)
            if watched.rang:
                break
        took.append(watched.calls)
    tell(f"{what}: {np.median(took):.0f} calls, baseline of 5000")
    assert np.median(took) <= 20_000


def test_counts_are_shaped_by_hand(rng: np.random.Generator) -> None:
    held = counted(rng, rng.random((2, 4000)))
    views = shaped(held, held)
    assert views.sum() == 3 * held.sum()
    grid = np.linspace(0, 1, BINS + 1)
    means = (views @ grid) / 4000
    assert means[:4] == pytest.approx(0.5, abs=0.01) and (means[4:] <= 0.002).all()

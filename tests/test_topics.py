"""Whether a new topic is found, how soon, and that nothing rings without one."""

import numpy as np
import pytest

from agent.catalog import AXES
from agent.scoring.topics import Topics
from tests.test_drift_proofs import PANES, tell, within_a_year
from tests.topics import Embedded, Pools, alarms, embedded, known, learned, pools
from watch.budget import Budget

SHARES = (0.05, 0.1, 0.2)
GROWS = (0.25, 0.35, 0.45)
BASIS, SERIES, SEEDS = 3000, 10, 4
BUDGET = Budget(1.0, 1000, 10)


@pytest.fixture(scope="module")
def data() -> Embedded:
    """All of CLINC150."""
    return embedded()


Drawn = list[tuple[Pools, np.random.Generator]]


def drawn(data: Embedded, domain: str, basis: int = BASIS) -> Drawn:
    """One basis a seed, of other texts each."""
    made = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        made.append((pools(data, domain, basis, rng), rng))
    return made


def delay(some: Drawn, share: float, calls: int) -> float:
    """Calls in the median until the watch rings, after a baseline of so many; inf beyond 20,000."""
    took = []
    for pool, rng in some:
        within = learned(rng, pool, SERIES, calls, BUDGET)
        took.append(alarms(rng, pool, within, BUDGET, share, 400)[1])
    return float(np.median(np.concatenate(took)))


def test_scores_of_a_baseline_are_spread_as_promised_and_a_new_topic_stands_out() -> None:
    data, rng = embedded(every=24), np.random.default_rng(0)
    pool = pools(data, "kitchen_and_dining", 250, rng)
    assert pool.old.mean() == pytest.approx(1 / 13, abs=0.05)
    assert pool.new.mean() > 0.6
    within = learned(rng, pool, 5, 5000, BUDGET)
    assert np.median(alarms(rng, pool, within, BUDGET, 0.2, 40)[1]) <= 500
    assert not alarms(rng, pool, within, BUDGET, 0.0, 40)[0].any()


def test_one_text_over_and_over_is_not_new() -> None:
    one = np.random.default_rng(0).normal(size=(1, 384)).astype(np.float32)
    one /= np.linalg.norm(one)
    topics = Topics.fit(np.repeat(one, 200, 0))
    assert topics.novelty(one + np.float32(1e-6)).max() == 0.0
    assert topics.novelty(-one).min() > 0.98


def test_a_known_topic_that_grows_moves_the_mean_and_not_novelty() -> None:
    data, rng = embedded(every=12), np.random.default_rng(0)
    novelty, mean = known(data, "credit_cards", 600, rng)
    for pool, found in ((novelty, False), (mean, True)):
        within = learned(rng, pool, 3, 10_000, BUDGET, GROWS[0])
        took = alarms(rng, pool, within, BUDGET, GROWS[2], 60)[1]
        assert np.isfinite(took).any() == np.isfinite(took).all() == found
        assert not alarms(rng, pool, within, BUDGET, GROWS[0], 40)[0].any()


def test_axes_are_in_standard_deviations_from_the_baseline_s_mean() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 40)).astype(np.float32) + np.repeat(3 * np.eye(5, 40), 100, 0)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    places = Topics.fit(rows).places(rows) / 256
    assert places.mean(0) == pytest.approx(np.full(8, 0.5), abs=0.01)
    assert places.std(0) == pytest.approx(np.full(8, 0.2), abs=0.02)
    assert set(np.unique(places * 16) % 1) == {0.0}  # whole steps: nothing is rounded by chance
    one = np.repeat(rows[:1], 200, 0)
    assert np.all(Topics.fit(one).places(one) == 128)


def grown(data: Embedded, domain: str, calls: int) -> list[float]:
    """Calls in the median until the mean rings at 35 and at 45 %, and until novelty does at 45."""
    took: dict[tuple[str, float], list[float]] = {}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        for view, pool in zip(("novelty", "mean"), known(data, domain, BASIS, rng), strict=True):
            within = learned(rng, pool, SERIES, calls, BUDGET, GROWS[0])
            for share in GROWS[1:]:
                some = alarms(rng, pool, within, BUDGET, share, 400)[1]
                took.setdefault((view, share), []).extend(some.tolist())
    wanted = (("mean", GROWS[1]), ("mean", GROWS[2]), ("novelty", GROWS[2]))
    return [float(np.median(took[one])) for one in wanted]


@pytest.mark.prove
def test_delays_of_a_known_topic_that_grows(data: Embedded) -> None:
    tell(f"{'grows from 25 %':20} {'baseline':>9} {'35 %':>8} {'45 %':>8} {'novelty':>8}  calls")
    for calls, most in ((5000, 2000), (20_000, 1000)):
        rows = {domain: grown(data, domain, calls) for domain in sorted(set(data.domains))}
        for domain, row in rows.items():
            tell(f"{domain:20} {calls:9} {row[0]:8.0f} {row[1]:8.0f} {row[2]:8.0f}")
        assert np.median([row[1] for row in rows.values()]) <= most
        assert min(row[2] for row in rows.values()) >= 10_000


@pytest.mark.prove
def test_without_growth_the_budget_holds(data: Embedded) -> None:
    for calls in (1000, 5000):
        rung, whole = 0, within_a_year(20.0, 5 * 10 * AXES)
        for seed, domain in enumerate(sorted(set(data.domains))):
            rng = np.random.default_rng(seed)
            _, mean = known(data, domain, BASIS, rng)
            within = learned(rng, mean, 10, calls, whole, GROWS[0])
            rung += int(alarms(rng, mean, within, whole, GROWS[0], PANES)[0].sum())
        tell(f"no growth, baseline of {calls}: {rung} false alarms of 20 allowed")
        assert rung <= 20


@pytest.mark.prove
def test_delays(data: Embedded) -> None:
    tell(f"{'new domain':20} {'baseline':>9} {'5 %':>8} {'10 %':>8} {'20 %':>8}  median calls")
    found = {}
    for domain in sorted(set(data.domains)):
        some = drawn(data, domain)
        for calls in (5000, 20_000):
            took = [delay(some, share, calls) for share in SHARES]
            found[domain, calls] = took
            tell(f"{domain:20} {calls:9} {took[0]:8.0f} {took[1]:8.0f} {took[2]:8.0f}")
    for calls, most in ((5000, 2000), (20_000, 1500)):
        tenth = [took[1] for (_, size), took in found.items() if size == calls]
        tell(f"every tenth call, baseline of {calls}, median over domains: {np.median(tenth):.0f}")
        assert np.median(tenth) <= most


@pytest.mark.prove
def test_a_smaller_basis_costs_delay(data: Embedded) -> None:
    domains = sorted(set(data.domains))
    for basis in (300, 1000, 3000):
        took = [delay(drawn(data, domain, basis), 0.1, 5000) for domain in domains]
        tell(f"basis of {basis}: {np.median(took):.0f} calls for 10 % in the median over domains,"
             f" {sum(one <= 2000 for one in took)} of 5 within 2,000")  # fmt: skip


@pytest.mark.prove
def test_without_a_new_topic_the_budget_holds(data: Embedded) -> None:
    size = 80
    for calls in (1000, 5000):
        rung, whole = 0, within_a_year(20.0, 5 * size)
        for seed, domain in enumerate(sorted(set(data.domains))):
            rng = np.random.default_rng(seed)
            pool = pools(data, domain, BASIS, rng)
            within = learned(rng, pool, size, calls, whole)
            rung += int(alarms(rng, pool, within, whole, 0.0, PANES)[0].sum())
        tell(f"no new topic, baseline of {calls}: {rung} false alarms of 20 allowed")
        assert rung <= 20

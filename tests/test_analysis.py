"""The analysis of a run: the overall score by hand, its intervals, and that nothing is claimed
from bare differences."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agent.errors import BadConfig
from suites.analysis.ablation import ablations
from suites.analysis.measured import spread
from suites.analysis.overall import counting, levels_of
from suites.analysis.pareto import fronts
from suites.analysis.tables import table_of
from suites.analysis.weights import Weighing
from suites.analysis.whole import analyse, since
from suites.record import Run
from tests.suites_data import made

FAST = Weighing(draws=400)


def flags(rng: np.random.Generator, n: int, rate: float) -> list[float]:
    return [float(value) for value in rng.random(n) < rate]


def test_the_overall_score_is_the_weighted_mean_of_the_dimensions() -> None:
    run = made(
        {"a": {"number_match": [1, 1, 0, 1], "response_toxicity": [0.9, 0.1, 0.1, 0.1]},
         "b": {"number_match": [1, 0, 0, 0], "response_toxicity": [0.1] * 4}},
        a=[{"latency_s": 2.0}] * 4, b=[{"latency_s": 1.0}] * 4,
    )  # fmt: skip
    a, b = analyse(run, FAST).standings
    # Quality .75 and .25; efficiency 1/2 and 1/1; safety 3/4 and 1; robustness is not measured.
    assert {k: v.mean for k, v in a.dimensions.items()} == {
        "quality": 0.75, "efficiency": 0.5, "safety": 0.75,
    }  # fmt: skip
    assert a.overall is not None and b.overall is not None
    assert a.overall.mean == pytest.approx((0.4 * 0.75 + 0.3 * 0.5 + 0.2 * 0.75) / 0.9)
    assert b.overall.mean == pytest.approx((0.4 * 0.25 + 0.3 * 1.0 + 0.2 * 1.0) / 0.9)
    told = Weighing(draws=400, weights={"quality": 1.0}, goals={"latency": 4.0})
    one = analyse(run, told).standings[0]
    assert one.target == "a" and one.overall is not None and one.overall.mean == 0.75
    assert one.dimensions["efficiency"].mean == 1.0


def test_tasks_weigh_alike_however_many_items_they_have() -> None:
    run = made({"a": {"exact_match": [1, 0, 0, 0, 0]}}, tasks=["x", "y", "y", "y", "y"])
    (a,) = analyse(run, FAST).standings
    assert a.dimensions["quality"].mean == 0.5


def test_the_interval_holds_the_mean_as_often_as_it_says(rng: np.random.Generator) -> None:
    held = 0
    for seed in range(100):
        run = made({"a": {"exact_match": flags(rng, 60, 0.7)}})
        overall = analyse(run, Weighing(draws=300, seed=seed)).standings[0].overall
        assert overall is not None
        held += overall.lower <= 0.7 <= overall.upper
    assert 87 <= held <= 100


def test_draws_are_paired_over_targets(rng: np.random.Generator) -> None:
    right = flags(rng, 200, 0.5)
    run = made({"a": {"exact_match": right}, "b": {"exact_match": right}})
    overall = levels_of(table_of(run), FAST).overall()
    assert overall is not None
    assert overall.std(axis=0).min() > 0.02
    # What is left is the one imagined item of each.
    assert (overall[:, 0] - overall[:, 1]).std() < 0.005


def test_an_item_and_its_twins_are_drawn_together() -> None:
    scores = [1.0, 0.0] * 20
    alone = made({"a": {"robustness_typos": scores}}, twins={at: at for at in range(40)})
    # The same scores, but ten questions with four forms each that all score alike.
    rows = [float(at // 4 % 2) for at in range(40)]
    together = made({"a": {"robustness_typos": rows}}, twins={a: a // 4 * 4 for a in range(40)})
    widths = []
    for run in (alone, together):
        drawn = levels_of(table_of(run), FAST).dimension("robustness")
        assert drawn is not None
        widths.append(float(drawn[1:].std()))
    assert widths[1] > 1.6 * widths[0]


def test_which_metrics_count() -> None:
    table = table_of(made({"a": {
        "exact_match": [0, 0], "number_match": [1, 1], "bleu": [0.1, 0.1],
        "response_readability": [0.5, 0.5], "prompt_toxicity": [0.9, 0.9],
        "response_toxicity": [0.1, 0.1],
    }}))  # fmt: skip
    assert counting(table, "t", "quality", Weighing()) == ["number_match"]
    assert counting(table, "t", "safety", Weighing()) == ["response_toxicity"]
    # An amount of a single target has nothing to stand beside, and failing counts in quality.
    assert counting(table, "t", "efficiency", Weighing()) == []
    told = Weighing(metrics=("bleu", "response_readability"))
    assert counting(table, "t", "quality", told) == ["bleu", "response_readability"]
    assert counting(table, "t", "safety", told) == ["response_toxicity"]


def test_an_amount_that_one_target_lacks_counts_for_nobody_and_only_that_one_is_named() -> None:
    values = {name: {"exact_match": [1.0, 0.0, 1.0]} for name in ("a", "b", "c")}
    timed = [{"latency_s": 1.0}] * 3
    found = analyse(made(values, a=timed, c=timed), FAST)
    assert "latency of t does not count: no value of b" in found.notes
    assert not any(one.counts for one in found.metrics if one.metric == "latency")
    assert any(one.counts for one in found.metrics if one.metric == "exact_match")


def test_a_failed_call_is_the_worst_answer_and_another_gap_is_none() -> None:
    broken = {"status": "error", "response": None}
    run = made({"a": {"exact_match": [1, None, None, 1]}}, a=[{}, broken, {}, {}])
    found = analyse(run, FAST)
    (metric,) = [one for one in found.metrics if one.metric == "exact_match"]
    assert (metric.figure.n, metric.figure.failed) == (3, 1)
    assert metric.figure.mean == pytest.approx(2 / 3)
    assert metric.reasons == {"scorer_failed": 1}
    assert found.standings[0].statuses == {"ok": 3, "error": 1}


def test_weights_that_make_no_sense_are_refused() -> None:
    for bad in (
        {"weights": {"quality": 0.0}}, {"weights": {"beauty": 1.0}}, {"goals": {"exact_match": 1}},
        {"metrics": ("nonsense",)}, {"goals": {"latency": 0.0}},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            Weighing.model_validate(bad)


def test_a_run_without_targets_or_items_is_refused() -> None:
    with pytest.raises(BadConfig, match="no targets or no items"):
        analyse(Run("empty", 0.0, "", (), ()), FAST)


def test_ablation_says_what_the_ranking_hangs_on(rng: np.random.Generator) -> None:
    n = 300
    run = made(
        {"right": {"exact_match": flags(rng, n, 0.9)}, "fast": {"exact_match": flags(rng, n, 0.5)}},
        right=[{"latency_s": 9.0}] * n, fast=[{"latency_s": 1.0}] * n,
    )  # fmt: skip
    found = {one.without: one for one in ablations(levels_of(table_of(run), FAST), 0.05)}
    assert found["quality"].order == ("fast", "right")
    assert found["efficiency"].order == ("right", "fast")
    # Equal weights of .9 against .5 and 1/9 against 1: fast leads, surely not without efficiency.
    assert found["efficiency"].sure and not found["quality"].sure
    assert found["efficiency"].tau == -1.0
    assert found["quality"].moved == ()


def test_the_front_is_what_nothing_beats(rng: np.random.Generator) -> None:
    n, rates = 400, {"dear": 0.9, "cheap": 0.6, "beaten": 0.3}
    costs = {"dear": 0.09, "cheap": 0.01, "beaten": 0.05}
    calls: dict[str, Any] = {name: [{"cost_usd": cost}] * n for name, cost in costs.items()}
    run = made(
        {name: {"exact_match": flags(rng, n, rate)} for name, rate in rates.items()},
        **calls,
    )
    table = table_of(run)
    (front,) = fronts(table, levels_of(table, FAST), FAST)
    assert [point.target for point in front.points] == ["cheap", "beaten", "dear"]
    assert [point.front for point in front.points] == [True, False, True]
    assert front.points[1].beaten_by == ("cheap",)
    assert front.points[0].amount.mean == pytest.approx(0.01)
    found = analyse(run, FAST)
    assert any(one.text.startswith("Drop beaten") for one in found.advice)


def test_nothing_is_claimed_of_targets_that_are_the_same(rng: np.random.Generator) -> None:
    claimed = 0
    for _ in range(40):
        run = made({t: {"exact_match": flags(rng, 60, 0.7)} for t in ("a", "b", "c")})
        found = analyse(run, FAST)
        claimed += any(claim.against is not None for claim in found.claims)
        assert all(claim.figure.n for claim in found.claims)
    assert claimed <= 5  # .05 of 40 is 2


def test_a_bare_difference_is_no_claim_and_a_sure_one_is(rng: np.random.Generator) -> None:
    few = made({"a": {"exact_match": [1.0] * 12}, "b": {"exact_match": [0.0] * 12}})
    assert not [claim for claim in analyse(few, FAST).claims if claim.against is not None]
    n = 400
    many = made(
        {"a": {"exact_match": flags(rng, n, 0.8)}, "b": {"exact_match": flags(rng, n, 0.6)}}
    )
    found = analyse(many, FAST)
    beside = {(c.target, c.sign) for c in found.claims if c.against is not None}
    assert beside == {("a", "strength"), ("b", "weakness")}
    assert all(claim.against and abs(claim.against.mean) > 0.01 for claim in found.claims)
    assert found.advice[0].text == "Take a: it is ahead of every other target."
    assert "n = 400" in found.advice[0].because
    closed = analyse(many, FAST, broken={"a"}).advice[0]
    assert closed.text == "a is ahead of every other target; mend first what it broke of the gate."
    assert closed.because == found.advice[0].because
    assert analyse(many, FAST, broken={"b"}).advice == found.advice
    assert [one.ranks for one in found.standings] == [(1, 1), (2, 2)]


def test_what_cannot_be_told_apart_shares_its_ranks(rng: np.random.Generator) -> None:
    run = made({t: {"exact_match": flags(rng, 50, 0.7)} for t in ("a", "b")})
    found = analyse(run, FAST)
    assert [one.ranks for one in found.standings] == [(1, 2), (1, 2)]
    assert "cannot be told apart" in found.advice[0].text


def test_two_runs_are_compared_pair_by_pair(rng: np.random.Generator) -> None:
    before = made({"m": {"exact_match": flags(rng, 300, 0.6)}})
    after = made({"m": {"exact_match": flags(rng, 300, 0.9)}})
    found = {one.name: one for one in since(after, before, FAST)}
    assert found["exact_match"].better == "m"
    assert found["exact_match"].difference.n == 300
    assert found["overall"].difference.lower > 0.2
    assert found["exact_match"].difference.mean == pytest.approx(
        found["exact_match"].ours_mean - found["exact_match"].theirs_mean
    )
    other = made({"m": {"exact_match": [1.0]}}, m=[{"prompt": "another"}])
    with pytest.raises(BadConfig, match="no item of"):
        since(after, Run("x", 0.0, "", (), other.outcomes), FAST)


def test_an_amount_of_nothing_is_as_good_as_can_be() -> None:
    run = made({"a": {"exact_match": [1.0] * 4}, "b": {"exact_match": [1.0] * 4}},
               a=[{"cost_usd": 0.0}] * 4, b=[{"cost_usd": 1.0}] * 4)  # fmt: skip
    found = {one.target: one.dimensions["efficiency"].mean for one in analyse(run, FAST).standings}
    assert found == {"a": 1.0, "b": 0.0}
    assert not any(math.isnan(value) for value in found.values())


def test_one_item_tells_nobody_apart() -> None:
    run = made(
        {"a": {"similarity": [0.9]}, "b": {"similarity": [0.7]}},
        a=[{"latency_s": 1.0, "cost_usd": 0.1}], b=[{"latency_s": 2.0, "cost_usd": 0.2}],
    )  # fmt: skip
    found = analyse(run, FAST)
    assert {one.name for one in found.contrasts} >= {"overall", "efficiency", "latency"}
    assert not any(one.better for one in found.contrasts)
    assert "cannot be told apart" in found.advice[0].text
    assert not any(one.text.startswith("Drop") for one in found.advice)


def test_items_of_few_sessions_are_few() -> None:
    n = 200
    run = made({"a": {"exact_match": [1.0] * n, "response_toxicity": [0.1] * (n - 1) + [None]}})
    items = tuple(
        replace(one, call=replace(one.call, session=f"s{at // 50}"))
        for at, one in enumerate(run.items)
    )
    alone, together = analyse(run, FAST), analyse(replace(run, items=items), FAST)
    for one, least in ((alone, 0.98), (together, 0.0)):
        (toxic,) = [m for m in one.metrics if m.metric == "response_toxicity"]
        assert toxic.flagged and toxic.reasons == {"scorer_failed": 1}
        assert (toxic.figure.upper > 0.3) == (one is together)
        assert one.standings[0].dimensions["quality"].lower > least
    assert together.standings[0].dimensions["quality"].lower < 0.8


def test_a_bar_is_claimed_of_one_look_and_not_of_many() -> None:
    right = [1.0] * 18 + [0.0] * 42
    for targets, claimed in ((["a"], True), ([*"abcdefgh"], False)):
        claims = analyse(made({one: {"exact_match": right} for one in targets}), FAST).claims
        assert any(one.metric == "exact_match" for one in claims) == claimed


def test_an_interval_holds_what_was_seen() -> None:
    drawn = np.linspace(0.8, 0.95, 200)
    above, within = (spread("x", np.array([seen, *drawn]), 9, 0.05) for seen in (1.0, 0.9))
    assert above.lower < 0.81 and above.mean == above.upper == 1.0
    assert within.lower < 0.81 and 0.94 < within.upper < 0.95

"""The gate: what holds, what is broken, and that what is missing never helps."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agent.errors import BadConfig
from suites.analysis.weights import Weighing
from suites.gate import Rule, Verdict
from suites.gate.verdicts import verdicts
from suites.record import Run
from tests.suites_data import made

FAST = Weighing(draws=300)


def rule(**told: Any) -> Rule:
    return Rule.model_validate(told)


def one(run: Run, score: str, before: Run | None = None, **told: Any) -> Verdict:
    (found,) = verdicts({score: rule(**told)}, run, FAST, before)
    return found


def right(n: int, of: int) -> list[float]:
    return [1.0] * n + [0.0] * (of - n)


def test_the_mean_is_judged_and_a_straddling_interval_is_said() -> None:
    run = made({"m": {"exact_match": right(82, 100)}})
    held = one(run, "exact_match", at_least=0.8)
    assert held.passed and held.doubt
    assert held.said.startswith("m: exact_match 0.8200 [0.73")
    assert held.said.endswith("(n = 100) is at least 0.8; the interval straddles it")
    low = one(run, "exact_match", at_least=0.8, by="lower")
    assert not low.passed and "must be at least 0.8" in low.said
    assert one(run, "exact_match", at_least=0.7, by="interval").passed
    broken = one(run, "exact_match", at_least=0.95)
    assert not broken.passed and not broken.doubt
    assert not one(run, "exact_match", at_most=0.8).passed


def test_a_score_of_one_task_a_dimension_and_all() -> None:
    run = made({"m": {"exact_match": right(5, 10)}}, tasks=["x"] * 5 + ["y"] * 5)
    assert one(run, "x/exact_match", at_least=1.0).passed
    assert not one(run, "y/exact_match", at_least=0.1).passed
    assert one(run, "quality", at_least=0.5).passed
    assert one(run, "overall", at_least=0.5).passed
    assert not one(run, "overall", at_least=0.6).passed


@pytest.mark.parametrize("score", ["bleu", "safety", "nonsense", "elsewhere/exact_match"])
def test_a_score_that_is_not_there_breaks_its_rule(score: str) -> None:
    found = one(made({"m": {"exact_match": right(5, 5)}}), score, at_least=0.0)
    assert not found.passed
    assert "no value" in found.said or "not measured" in found.said


def test_missing_scores_count_as_the_worst() -> None:
    run = made({"m": {"exact_match": [1.0] * 90 + [None] * 10}})
    assert one(run, "exact_match", at_least=0.95).said.startswith("m: exact_match 0.9000")
    assert not one(run, "exact_match", at_least=0.95).passed
    assert not one(run, "quality", at_least=0.95).passed
    flagged = made({"m": {"response_toxicity": [0.0] * 90 + [None] * 10}})
    assert not one(flagged, "response_toxicity", at_most=0.05).passed
    none = made({"m": {"exact_match": [None] * 10}})
    assert not one(none, "exact_match", at_least=0.5).passed


def test_flagged_answers_are_counted() -> None:
    run = made({"m": {"response_toxicity": [0.5] * 98 + [0.9] * 2}})
    assert one(run, "response_toxicity", at_most=0.02).passed
    assert not one(run, "response_toxicity", at_most=0.01).passed


def test_absent_amounts_break_their_rule() -> None:
    told: list[dict[str, Any]] = [{"latency_s": 1.0}] * 90 + [{}] * 10
    found = one(made({"m": {"exact_match": [1.0] * 100}}, m=told), "latency", at_most=9)
    assert not found.passed
    assert found.said == "m: latency is absent in 10 of 100 answers"
    told = [{"latency_s": 1.0}] * 98 + [{}] * 2
    assert one(made({"m": {"exact_match": [1.0] * 100}}, m=told), "latency", at_most=9).passed


@pytest.mark.parametrize("score", ["overall", "efficiency"])
def test_absent_amounts_are_not_left_out_of_what_they_count_in(score: str) -> None:
    scores = {"exact_match": [1.0] * 100}
    there: list[dict[str, Any]] = [{"latency_s": 1.0}] * 100
    some, few = there[:90] + [{}] * 10, there[:98] + [{}] * 2
    goal = Weighing(draws=300, goals={"latency": 2.0})
    for told, said in (
        (some, "latency of t is absent in 10 of 100 answers of m"),
        ([{}] * 100, "latency should count and is absent"),
    ):
        run = made({"m": scores}, m=told)
        (found,) = verdicts({score: rule(at_least=0.1)}, run, goal)
        assert not found.passed and found.said == f"m: {score} could not tell: {said}"
    run = made({"m": scores}, m=few)
    assert verdicts({score: rule(at_least=0.1)}, run, goal)[0].passed
    both = made({"m": scores, "old": scores}, m=there, old=[{}] * 100)
    for found in verdicts({score: rule(at_least=0.1)}, both, FAST):
        assert not found.passed and found.said.endswith("absent in 100 of 100 answers of old")
    partly = made({"m": scores, "old": scores}, m=there, old=some)
    first, other = verdicts({score: rule(at_least=0.1)}, partly, FAST)
    assert first.passed and not other.passed
    beside = rule(not_worse={"than": "old", "by": 0.9})
    assert "could not tell" in verdicts({score: beside}, partly, FAST)[0].said


def test_a_measure_of_the_run_is_judged_as_it_is() -> None:
    run = made({"m": {"exact_match": [1.0]}})
    outcome = type(run.outcomes[0])("m", "m", run.outcomes[0].calls, {}, {"latency_p95_s": 2.5})
    run = Run(run.name, run.began, run.digest, run.items, (outcome,))
    assert one(run, "latency_p95_s", at_most=3).said == "m: latency_p95_s 2.5 is at most 3"
    with pytest.raises(BadConfig, match="no good end"):
        one(run, "latency_p95_s", not_worse={"than": "m", "by": 1}, targets=["m"])


def test_not_worse_needs_the_whole_interval(rng: np.random.Generator) -> None:
    old = [float(v) for v in rng.random(400) < 0.7]
    same = made({"old": {"exact_match": old}, "new": {"exact_match": old}})
    (found,) = verdicts({"exact_match": rule(not_worse={"than": "old", "by": 0.03})}, same, FAST)
    assert found.passed and found.target == "new"
    # .01 worse with much noise: not surely within .03, though the difference is.
    noisy = [float(v) for v in rng.permutation(right(276, 400))]
    shaky = made({"old": {"exact_match": right(280, 400)}, "new": {"exact_match": noisy}})
    found = one(shaky, "exact_match", not_worse={"than": "old", "by": 0.03})
    assert not found.passed and found.doubt and "may be worse than old" in found.said
    found = one(shaky, "exact_match", not_worse={"than": "old", "by": 0.2})
    assert found.passed and "is not worse than old" in found.said
    for score in ("quality", "overall"):
        assert not one(shaky, score, not_worse={"than": "old", "by": 0.03}).passed
        assert one(shaky, score, not_worse={"than": "old", "by": 0.2}).passed


def test_worse_is_more_of_what_should_be_little() -> None:
    scores = {"exact_match": [1.0] * 60}
    old = [{"latency_s": 1.0 + at / 60} for at in range(60)]
    new = [{"latency_s": 1.05 * (1 + at / 60)} for at in range(60)]
    slow = made({"old": scores, "new": scores}, old=old, new=new)
    assert one(slow, "latency", not_worse={"than": "old", "by": "10%"}).passed
    assert not one(slow, "latency", not_worse={"than": "old", "by": "4%"}).passed
    assert one(slow, "latency", not_worse={"than": "old", "by": 0.1}).passed
    assert not one(slow, "latency", not_worse={"than": "old", "by": 0.05}).passed


def test_missing_scores_of_the_other_do_not_help() -> None:
    n = 200
    run = made({"old": {"exact_match": [None] * n}, "new": {"exact_match": right(100, n)}})
    assert not one(run, "exact_match", not_worse={"than": "old", "by": 0.1}).passed


def test_an_earlier_run_is_matched_by_target_and_item() -> None:
    old, new = (
        made({"m": {"exact_match": right(60, 100)}}),
        made({"m": {"exact_match": [1.0] * 100}}),
    )
    assert one(new, "exact_match", old, not_worse={"by": 0.0}).passed
    found = one(old, "exact_match", new, not_worse={"by": 0.1})
    assert not found.passed and "is worse than before:m" in found.said
    stranger = made({"other": {"exact_match": [1.0] * 100}})
    assert "no such target" in one(new, "exact_match", stranger, not_worse={"by": 0.1}).said
    with pytest.raises(BadConfig, match="needs --compare"):
        one(new, "exact_match", not_worse={"by": 0.1})


def test_a_score_of_another_scorer_cannot_be_told() -> None:
    run = made({"m": {"exact_match": [1.0] * 40, "response_toxicity": [0.0] * 40}})
    told = {**run.scorers, ("t", "exact_match"): "told 0"}
    then = replace(run, name="spring#1", scorers=told)
    for score in ("exact_match", "t/exact_match", "quality", "overall"):
        found = one(run, score, then, not_worse={"by": 0.5})
        assert not found.passed and found.said == (
            f"m: {score} could not tell: not comparable with spring#1: "
            "exact_match (told 0, now told 1)"
        )
    for score in ("response_toxicity", "safety"):
        assert one(run, score, then, not_worse={"by": 0.5}).passed
    assert one(run, "exact_match", then, at_least=0.9).passed, "its own figure is what it is"
    untold = one(run, "exact_match", replace(then, scorers={}), not_worse={"by": 0.5})
    assert not untold.passed and untold.said.endswith("exact_match (kept without what scored it)")


def test_a_rule_that_cannot_be_is_refused() -> None:
    for bad in (
        {}, {"at_leest": 1}, {"at_least": 0.5, "by": "upper"}, {"at_most": 0.5, "by": "lower"},
        {"not_worse": {"by": -1}}, {"not_worse": {"by": "a lot"}},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            rule(**bad)
    run = made({"m": {"exact_match": [1.0]}})
    with pytest.raises(BadConfig, match="x is no target; there are m"):
        one(run, "exact_match", at_least=0.5, targets=["x"])


def test_a_rule_that_judges_nobody_is_refused() -> None:
    run = made({"m": {"exact_match": [0.0] * 40}})
    with pytest.raises(BadConfig, match="judges nobody: m is the only target"):
        one(run, "exact_match", at_least=0.5, not_worse={"than": "m", "by": 0.1})


@pytest.mark.parametrize("score", ["similarity", "quality", "overall"])
def test_three_items_do_not_show_that_a_target_is_not_worse(score: str) -> None:
    scores = {"similarity": [0.9, 0.8, 0.7]}
    run = made({"old": scores, "new": scores})
    assert not one(run, score, not_worse={"than": "old", "by": 0.1}).passed


def test_a_quantile_has_its_interval_and_an_end_that_is_not_there_is_none() -> None:
    run = made({"m": {"exact_match": [1.0]}})
    told = {"latency_p95_s": 2.5, "latency_p95_lower_s": 2.0}
    for upper, passed in ({}, False), ({"latency_p95_upper_s": 2.9}, True):
        outcome = replace(run.outcomes[0], measures={**told, **upper})
        found = one(replace(run, outcomes=(outcome,)), "latency_p95_s", at_most=3, by="upper")
        assert found.passed == passed and found.said.startswith("m: latency_p95_s 2.5000 [2.0000, ")


def test_three_pairs_of_a_hundred_do_not_show_that_a_target_is_better() -> None:
    run = made({"old": {"exact_match": right(97, 100)}, "new": {"exact_match": [1.0] * 100}})
    for score in ("exact_match", "quality"):
        assert not one(run, score, not_worse={"than": "old", "by": 0.0}).passed
        assert one(run, score, not_worse={"than": "old", "by": 0.05}).passed

"""Gaps between groups that are asked about alike: told where there are some, and seldom else."""

from dataclasses import replace

import numpy as np
import pytest

from agent.record import Call, Score, unscored
from suites.groups import LENGTH, METRICS, Gap, group_gaps
from suites.kinds import shipped
from suites.record import Item, Outcome

ITEMS = shipped("bias", "t", 7)
GROUP = "Muslim"


def outcome(
    rng: np.random.Generator, items: list[Item] = ITEMS, shift: float = 0.0, rate: float = 0.1
) -> Outcome:
    """Answers whose sets differ, and whose groups do not but for one that is treated worse."""
    toxicity, refusal, calls = [], [], []
    level: dict[str, float] = {}
    for one in items:
        worse = shift if one.facts["group"] == GROUP else 0.0
        of_set = level.setdefault(one.facts["set"], float(rng.beta(1, 9)))
        toxicity.append(Score(min(of_set + worse + float(rng.beta(1, 20)), 1.0)))
        refusal.append(Score(float(rng.random() < rate)))
        size = int(rng.integers(100, 900))
        calls.append(Call(one.call.id, 0.0, "m", response="x" * size))
    scores = {"response_toxicity": tuple(toxicity), "response_refusal": tuple(refusal)}
    return Outcome("new", "m", tuple(calls), scores)


def told(gaps: list[Gap]) -> set[tuple[str, str]]:
    """What is beyond chance, and more than what does not matter in its turn."""
    found = {(one.group, one.metric) for one in gaps if one.p <= 0.05}
    assert {(one.group, one.metric) for one in gaps if one.matters} <= found
    return found


def test_a_group_that_is_treated_worse_is_told_and_no_other(rng: np.random.Generator) -> None:
    gaps = group_gaps(ITEMS, outcome(rng, shift=0.4))
    assert told(gaps) == {(GROUP, "response_toxicity")}
    (gap,) = [one for one in gaps if one.group == GROUP and one.metric == "response_toxicity"]
    assert gap.lower < 0.4 < gap.upper and gap.lower > 0.1 and gap.sets == 8
    assert gap.gap == pytest.approx(gap.mean - gap.others)
    assert {one.metric for one in gaps} == set(METRICS) and {one.task for one in gaps} == {"t"}


def test_no_gap_of_rates_reaches_beyond_one(rng: np.random.Generator) -> None:
    few = [one for one in ITEMS if one.facts["axis"] == "gender"][:4]
    refused = tuple(Score(float(one.facts["group"] == "women")) for one in few)
    made = outcome(rng, few)
    gaps = group_gaps(few, replace(made, scores={"response_refusal": refused}))
    ends = [(one.lower, one.upper) for one in gaps if one.metric == "response_refusal"]
    assert any(1.0 in pair or -1.0 in pair for pair in ends)
    assert all(-1 <= lower <= upper <= 1 for lower, upper in ends)


def test_the_gap_is_to_the_mean_of_the_others(rng: np.random.Generator) -> None:
    found = outcome(rng)
    (gap,) = [
        one for one in group_gaps(ITEMS, found)
        if one.group == GROUP and one.metric == "response_toxicity"
    ]  # fmt: skip
    mine: list[float] = []
    others: list[float] = []
    for one, score in zip(ITEMS, found.scores["response_toxicity"], strict=True):
        if one.facts["axis"] == "religion":
            (mine if one.facts["group"] == GROUP else others).append(score.value or 0.0)
    assert gap.mean == pytest.approx(np.mean(mine)) and gap.others == pytest.approx(np.mean(others))


def test_where_nobody_is_treated_otherwise_a_gap_is_seldom_told() -> None:
    runs = 60
    alarms = sum(
        bool(told(group_gaps(ITEMS, outcome(np.random.default_rng(seed)), seed)))
        for seed in range(runs)
    )
    # 5 % of runs in the mean, whatever the number of gaps; 10 of 60 come once in 1,000 times.
    assert alarms < 10


def test_where_nothing_varies_nothing_is_said_of_the_interval(rng: np.random.Generator) -> None:
    gaps = group_gaps(ITEMS, outcome(rng, rate=0.0))
    alike = [one for one in gaps if one.metric == "response_refusal"]
    assert all(one.p == 1.0 and one.gap == 0.0 and np.isnan(one.lower) for one in alike)


def test_a_set_with_an_answer_missing_does_not_count(rng: np.random.Generator) -> None:
    found = outcome(rng)
    at = next(i for i, one in enumerate(ITEMS) if one.facts["group"] == GROUP)
    row = list(found.scores["response_toxicity"])
    row[at] = unscored("too_long")
    some = Outcome("new", "m", found.calls, {**found.scores, "response_toxicity": tuple(row)})
    sets = {(one.group, one.metric): one.sets for one in group_gaps(ITEMS, some)}
    assert sets[GROUP, "response_toxicity"] == 7 and sets[GROUP, LENGTH] == 8
    calls = (*found.calls[:at], None, *found.calls[at + 1 :])
    gone = Outcome("new", "m", calls, found.scores)
    assert {o.sets for o in group_gaps(ITEMS, gone) if (o.group, o.metric) == (GROUP, LENGTH)} == {
        7
    }
    nothing = Outcome("new", "m", (None,) * len(ITEMS), {})
    assert group_gaps(ITEMS, nothing) == []
    assert group_gaps([], Outcome("new", "m", (), {})) == []

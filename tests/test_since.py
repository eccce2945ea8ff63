"""A run beside an earlier one, and its lines beside its report: one figure is one number."""

from dataclasses import replace
from typing import Any

import numpy as np

from suites.analysis.weights import Weighing
from suites.analysis.whole import analyse, since
from suites.record import Run
from suites.summary import lines_of
from tests.suites_data import made

FAST = Weighing(draws=300)


def flags(rng: np.random.Generator, n: int, rate: float) -> list[float]:
    return [float(value) for value in rng.random(n) < rate]


def test_beside_an_earlier_run_a_target_scores_as_it_does_alone(rng: np.random.Generator) -> None:
    def run(name: str, **seconds: float) -> Run:
        right = {t: {"exact_match": flags(rng, 60, 0.8)} for t in seconds}
        calls: dict[str, Any] = {t: [{"latency_s": s}] * 60 for t, s in seconds.items()}
        return replace(made(right, **calls), name=name)

    before, after = run("r#1", small=1.0, large=3.0), run("r#2", small=2.0, large=4.0)
    whole = {one.target: one for one in analyse(after, FAST).standings}
    found = {(one.ours, one.name): one for one in since(after, before, FAST)}
    for name, one in whole.items():
        assert one.overall is not None
        assert found[name, "efficiency"].ours_mean == one.dimensions["efficiency"].mean
        assert found[name, "overall"].ours_mean == one.overall.mean
    small = found["small", "efficiency"]
    assert small.theirs_mean == 2.0 and small.better == "r#1:small", "slower by half, and said"
    alone = {one.name for one in since(run("r#4", a=2.0), run("r#3", a=1.0), FAST)}
    assert "latency" in alone and "efficiency" not in alone, "nor has it a score alone"


def test_lines_have_the_figures_and_intervals_of_the_report(rng: np.random.Generator) -> None:
    harm = [float(one) for one in rng.beta(0.3, 3, 80)]
    calls: dict[str, Any] = {"m": [{"latency_s": float(s)} for s in rng.exponential(1, 80)]}
    run = made({"m": {"response_toxicity": harm, "bleu": harm}}, **calls)
    run = replace(run, weighing={"seed": 7})
    shown = {one.metric: one for one in analyse(run, Weighing.of(run)).metrics}
    for line in lines_of(run):
        one = shown[line.figure.metric]
        assert (line.figure, line.flagged) == (one.figure, one.flagged)
    before = {one.name: one.label for one in since(run, replace(run, name="r#0"), FAST)}
    assert before["response_toxicity"] == "response_toxicity, share flagged"
    other = {one.figure.metric: one.figure for one in lines_of(run, seed=0)}["latency"]
    assert other.lower != shown["latency"].figure.lower, "the seed is what draws it"
    assert other.mean == shown["latency"].figure.mean


def test_what_differs_with_no_good_end_is_not_called_alike(rng: np.random.Generator) -> None:
    few, many = ([{"tokens_in": int(n)} for n in rng.integers(*ends, 60)]
                 for ends in ((10, 20), (60, 90)))  # fmt: skip
    scores = {"m": {"exact_match": flags(rng, 60, 0.6)}}
    before, after = made(scores, m=few), made(scores, m=many)
    found = {one.name: one for one in since(after, before, FAST)}
    assert found["tokens_in"].label == "tokens_in"
    said = {name: (found[name].better, found[name].undecided)
            for name in ("tokens_in", "exact_match")}  # fmt: skip
    assert said == {"tokens_in": ("", "differs, neither end is good"),
                    "exact_match": ("", "not told apart")}  # fmt: skip

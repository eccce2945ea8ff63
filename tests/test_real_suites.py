"""Real answers: GPT-4 of March and June 2023, five models of AlpacaEval, and made-up answers of
HaluEval come out as they are known to."""

import pytest

from agent.record import Call
from suites.analysis.comparison import contrasts
from suites.analysis.failures import KINDS
from suites.analysis.overall import levels_of
from suites.analysis.tables import table_of
from suites.analysis.weights import Weighing
from suites.analysis.whole import Analysis, analyse
from suites.record import Item, Run
from tests.suites_data import ALPACA, BEGAN, GPT4, alpaca, drift, rows_of, scored

# A long answer takes the encoder a third of a second on a busy core.
FEW = 40


@pytest.fixture(scope="module")
def gpt4() -> Run:
    return drift(("matches",), models=GPT4)


def level(found: Analysis, target: str, task: str, metric: str) -> float:
    (mean,) = [m.figure.mean for m in found.metrics
               if (m.target, m.task, m.metric) == (target, task, metric)]  # fmt: skip
    return mean


def test_gpt_4_of_june_is_worse_than_that_of_march(gpt4: Run) -> None:
    found = analyse(gpt4, Weighing(weights={"quality": 1.0}, draws=500))
    assert found.items == {"prime": 1000, "happynumber": 500}
    assert level(found, "gpt-4-0314", "prime", "exact_match") == pytest.approx(0.840, abs=0.005)
    assert level(found, "gpt-4-0613", "prime", "exact_match") == pytest.approx(0.511, abs=0.005)
    happy = [level(found, one, "happynumber", "number_match") for one in GPT4]
    assert happy == pytest.approx([0.836, 0.352], abs=0.005)
    assert [one.target for one in found.standings] == list(GPT4)
    assert [one.ranks for one in found.standings] == [(1, 1), (2, 2)]
    assert found.advice[0].text == "Take gpt-4-0314: it is ahead of every other target."


def test_it_is_cheaper_and_faster_though_and_the_report_says_both(gpt4: Run) -> None:
    found = analyse(gpt4, Weighing(draws=500))
    (cost, latency) = found.fronts
    assert all(point.front for front in (cost, latency) for point in front.points)
    assert [point.target for point in cost.points] == ["gpt-4-0613", "gpt-4-0314"]
    said = {(one.target, one.sign, one.metric) for one in found.claims if one.against}
    assert ("gpt-4-0314", "strength", "exact_match") in said
    assert ("gpt-4-0613", "strength", "cost") in said
    assert ("gpt-4-0613", "weakness", "number_match") in said
    assert any(one.sure for one in found.ablations if one.kind == "dimension")
    # Its answers are short: they fail by being wrong.
    worst = {one.kind: one.share.mean for one in found.shares if one.target == "gpt-4-0613"}
    assert worst["semantic error"] == pytest.approx(
        1 - (0.511 * 1000 + 0.352 * 500) / 1500, abs=0.01
    )


def test_the_two_are_compared_item_by_item(gpt4: Run) -> None:
    table, weighing = table_of(gpt4), Weighing(draws=300)
    every = contrasts(gpt4, table, levels_of(table, weighing), *GPT4, weighing)
    found = {(one.name, one.task): one for one in every}
    prime = found["exact_match", "prime"]
    assert prime.better == "gpt-4-0314" and prime.difference.n == 1000
    assert prime.difference.lower < 0.840 - 0.511 < prime.difference.upper


def test_five_models_rank_as_the_judge_of_alpaca_eval_ranks_them() -> None:
    run = alpaca(())
    found = analyse(run, Weighing(metrics=("feedback",), weights={"quality": 1.0}, draws=500))
    assert [one.target for one in found.standings] == list(ALPACA)
    assert found.standings[0].ranks == (1, 1)
    first = found.standings[0].overall
    assert first is not None and first.mean > 0.15


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_they_rank_alike_by_likeness_to_the_answers_of_gpt_4() -> None:
    run = alpaca(("similarity",), limit=FEW, models=ALPACA[::2])
    found = analyse(run, Weighing(draws=500, weights={"quality": 1.0}))
    assert [one.target for one in found.standings] == list(ALPACA[::2])
    assert [one.ranks for one in found.standings] == [(1, 1), (2, 2), (3, 3)]


def test_answers_without_support_are_hallucinations() -> None:
    rows = rows_of("groundedness/halueval_qa")
    questions = {row["question"] for row in rows if not row["grounded"]}
    kept = [row for row in rows if row["question"] in questions][: 4 * FEW]
    pairs: dict[str, dict[bool, str]] = {}
    contexts = {row["question"]: row["context"] for row in kept}
    for row in kept:
        pairs.setdefault(row["question"], {})[bool(row["grounded"])] = row["answer"]
    whole = [question for question, answers in pairs.items() if len(answers) == 2]
    calls = {
        target: [
            Call(str(at), BEGAN, target, prompt=question, contexts=(contexts[question],),
                 response=pairs[question][grounded])
            for at, question in enumerate(whole)
        ]
        for target, grounded in (("made-up", False), ("grounded", True))
    }  # fmt: skip
    items = [Item(call, "qa") for call in calls["grounded"]]
    found = analyse(scored("halueval", items, calls, ("groundedness",)), Weighing(draws=500))
    assert len(whole) >= FEW
    assert [one.target for one in found.standings] == ["grounded", "made-up"]
    assert found.contrasts[0].better == "grounded"
    shares = {one.target: one.share for one in found.shares if one.kind == KINDS[4]}
    assert shares["made-up"].mean > 2 * shares["grounded"].mean

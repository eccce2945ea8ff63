"""Strengths and weaknesses: that they are true together, and what they say of amounts."""

import math
from typing import Any

import numpy as np
import pytest

from suites.analysis.claims import Claim
from suites.analysis.weights import Weighing
from suites.analysis.whole import analyse
from suites.record import Run
from suites.report.page import render
from suites.report.pictures import pictures_of
from tests.suites_data import made

FAST = Weighing(draws=200)
KINDS = ("repeat", "typos", "case", "paraphrase", "order", "language")
ODD = 0.085 / 0.785  # of so many answers another one comes, and .9 is the mean exactly


def alike(rng: np.random.Generator, n: int) -> Run:
    """Three targets of which every kind of robustness has the mean .9, at which a bar stands."""
    values: dict[str, dict[str, list[float | None]]] = {}
    for target in "abc":
        some = values[target] = {}
        for at, kind in enumerate(KINDS):
            odd = rng.random(n) < ODD
            score = np.where(odd, rng.uniform(0, 0.4, n), rng.uniform(0.97, 1, n)).tolist()
            blank = [math.nan] * n
            some[f"robustness_{kind}"] = [*blank * (1 + at), *score, *blank * (len(KINDS) - 1 - at)]
    return made(values, twins={at: at % n for at in range(n, n * (1 + len(KINDS)))})


def hanging(rng: np.random.Generator, n: int) -> Run:
    """Two targets with a mean latency of 1.2 s: one steady, one of .9 s that hangs at times."""
    seconds = {
        "steady": rng.normal(1.2, 0.1, n),
        "spiky": np.where(rng.random(n) < 0.03, 10.9, rng.normal(0.9, 0.1, n)),
    }
    right = {"exact_match": (rng.random(n) < 0.8).astype(float).tolist()}
    calls: dict[str, Any] = {
        name: [{"latency_s": float(one)} for one in some] for name, some in seconds.items()
    }
    return made(dict.fromkeys(seconds, right), **calls)


def of_latency(run: Run) -> list[Claim]:
    return [one for one in analyse(run, FAST).claims if one.metric == "latency"]


def test_a_bar_is_claimed_by_an_interval_that_knows_what_was_not_drawn() -> None:
    # 30 answers alike and not one other: of a share of .11 that comes about in 3 of 100 targets.
    run = made({"a": {"robustness_typos": [0.985, 0.99] * 15}}, twins={at: at for at in range(30)})
    assert not [one for one in analyse(run, FAST).claims if one.metric == "robustness_typos"]
    many = {"a": {"robustness_typos": [0.985, 0.99] * 100}}
    (claim,) = analyse(made(many, twins={at: at for at in range(200)}), FAST).claims
    assert (claim.sign, claim.figure.method) == ("strength", "betting")
    assert 0.9 < claim.figure.lower < 0.97


def test_of_an_amount_the_pairs_are_claimed_and_not_the_mean(rng: np.random.Generator) -> None:
    found = {one.target: one for one in of_latency(hanging(rng, 60))}
    assert {name: one.sign for name, one in found.items()} == {
        "steady": "weakness", "spiky": "strength",
    }  # fmt: skip
    ahead = found["spiky"].against
    assert ahead is not None and ahead.method == "betting"
    assert ahead.lower < 0.97 - 0.03 < ahead.upper <= 1
    # The mean is far lower in what was drawn, and as many pairs are won as are lost.
    even: dict[str, Any] = {
        "a": [{"latency_s": 1.0 if at % 2 else 9.0} for at in range(100)],
        "b": [{"latency_s": 1.1 if at % 2 else 8.0} for at in range(100)],
    }
    assert not of_latency(made({one: {"exact_match": [1.0] * 100} for one in even}, **even))


def test_amounts_that_are_nearly_alike_are_ties() -> None:
    for ratio, claimed in ((0.96, 0), (0.94, 2)):
        seconds: dict[str, Any] = {
            "a": [{"latency_s": ratio * (1 + at % 7)} for at in range(60)],
            "b": [{"latency_s": 1.0 + at % 7} for at in range(60)],
        }
        run = made({one: {"exact_match": [1.0] * 60} for one in seconds}, **seconds)
        assert len(of_latency(run)) == claimed


def test_the_page_says_in_how_many_pairs(rng: np.random.Generator) -> None:
    found = analyse(hanging(rng, 200), FAST)
    page = render(found, pictures_of(found))
    assert "less than the other in 0.9" in page and "more than the other in 0.9" in page
    assert "n = 200; what is within 5 % counts half" in page


@pytest.mark.prove
def test_a_page_with_a_false_claim_is_one_in_twenty_at_most(rng: np.random.Generator) -> None:
    wrong = 0
    for _ in range(200):
        claims = analyse(alike(rng, 30), FAST).claims
        wrong += any(one.metric.startswith("robustness") for one in claims)
    assert wrong <= 0.05 * 200  # 26 by resampling


@pytest.mark.prove
def test_what_is_claimed_of_latency_is_as_true(rng: np.random.Generator) -> None:
    steady = rng.normal(1.2, 0.1, 1_000_000)
    spiky = np.where(rng.random(len(steady)) < 0.03, 10.9, rng.normal(0.9, 0.1, len(steady)))
    ahead = float(np.mean(spiky < 0.95 * steady) - np.mean(steady < 0.95 * spiky))
    wrong = 0
    for _ in range(200):
        found = {one.target: one.against for one in of_latency(hanging(rng, 60))}
        wrong += any(
            told is not None and not told.lower <= sign * ahead <= told.upper
            for told, sign in ((found.get("spiky"), 1), (found.get("steady"), -1))
        )
    assert wrong <= 0.05 * 200

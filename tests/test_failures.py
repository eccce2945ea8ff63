"""Failed answers: the type of each, what is shown of it, and groups of questions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent.buckets import Floats
from suites.analysis.clusters import clusters_of, kmeans, silhouette, telling_words
from suites.analysis.failures import KINDS, NONE, Failures, failures_of
from suites.analysis.overall import ATTACKS
from suites.analysis.tables import table_of
from tests.suites_data import made

LONG = " ".join(f"word{n}" for n in range(30))
SCORES = {
    "similarity": 0.9, "response_refusal": 0.0, "response_repetition": 0.0,
    "response_groundedness": 0.9,
}  # fmt: skip


def kind_of(scores: dict[str, float | None], **call: Any) -> str:
    rows: dict[str, list[float | None]] = {
        name: [value] for name, value in {**SCORES, **scores}.items()
    }
    told = {"reference": LONG, "response": LONG, **call}
    run = made({"m": rows}, m=[told])
    found = failures_of(run, table_of(run), {"t": ["similarity"]}, 0.05).kinds
    return "" if found[0, 0] == NONE else KINDS[found[0, 0]]


@pytest.mark.parametrize(
    ("kind", "scores", "call"),
    [
        ("", {}, {}),
        ("error", {"similarity": None}, {"status": "timeout", "response": None}),
        ("refusal", {"response_refusal": 0.9, "similarity": 0.1}, {}),
        ("under-generation", {"similarity": 0.4}, {"response": "word1 word2"}),
        ("under-generation", {"similarity": None}, {"response": " "}),
        ("", {}, {"response": "word1 word2"}),
        ("over-generation", {"similarity": 0.4}, {"response": f"{LONG} " * 4}),
        ("", {}, {"response": f"{LONG} " * 4}),
        ("over-generation", {}, {"finish": "length"}),
        ("over-generation", {"response_repetition": 0.6}, {}),
        ("hallucination", {"response_groundedness": 0.3}, {}),
        ("semantic error", {"similarity": 0.4}, {}),
    ],
)
def test_each_answer_has_the_first_type_that_fits(
    kind: str, scores: dict[str, float | None], call: dict[str, Any]
) -> None:
    assert kind_of(scores, **call) == kind


def test_the_length_of_a_short_reference_says_nothing() -> None:
    run = made({"m": {"exact_match": [0.0, 1.0]}}, m=[{"response": LONG}, {"response": LONG}])
    found = failures_of(run, table_of(run), {"t": ["exact_match"]}, 0.05)
    assert found.kinds.tolist() == [[KINDS.index("semantic error"), NONE]]
    shares = {one.kind: one.share for one in found.shares}
    assert (shares["semantic error"].mean, shares["semantic error"].n) == (0.5, 2)
    assert shares["semantic error"].lower < 0.1 < 0.9 < shares["semantic error"].upper


def test_refusing_an_attack_is_right() -> None:
    run = made({"m": {"response_refusal": [0.9, 0.9], "response_toxicity": [0.0, 0.0]}})
    table = table_of(run)
    assert failures_of(run, table, {}, 0.05).kinds.tolist() == [[1, 1]]
    attacks = {
        ATTACKS[0]: replace(table.columns["response_toxicity"], meant=np.array([[1, 0]]) > 0)
    }
    table = replace(table, columns={**table.columns, **attacks})
    assert failures_of(run, table, {}, 0.05).kinds.tolist() == [[NONE, 1]]


def test_examples_are_the_worst_ones_redacted_and_cut() -> None:
    told = [{"response": f"write to someone{n}@example.com " + "x" * 2000} for n in range(5)]
    run = made({"m": {"similarity": [0.4, 0.1, 0.3, 0.2, 0.45]}}, m=told)
    found = failures_of(run, table_of(run), {"t": ["similarity"]}, 0.05).examples
    assert [one.item for one in found] == ["i1", "i3", "i2"]
    assert all("@example" not in one.answer and "[EMAIL]" in one.answer for one in found)
    assert all(len(one.answer) < 700 and one.answer.endswith("…") for one in found)
    assert found[0].scores == {"similarity": 0.1}


def blobs(rng: np.random.Generator, centres: int, each: int) -> tuple[Floats, list[int]]:
    points = np.concatenate([rng.normal(np.eye(8)[at], 0.08, (each, 8)) for at in range(centres)])
    unit: Floats = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit, [at for at in range(centres) for _ in range(each)]


def test_groups_that_are_there_are_found(rng: np.random.Generator) -> None:
    points, truth = blobs(rng, 3, 40)
    labels = kmeans(points, 3, np.random.default_rng(0))
    assert len({(a, int(b)) for a, b in zip(truth, labels, strict=True)}) == 3
    distances = 1 - points @ points.T
    right = silhouette(distances, labels)
    wrong = silhouette(distances, kmeans(points, 5, np.random.default_rng(0)))
    assert right > 0.8 > wrong


def test_the_silhouette_is_that_of_the_reference(rng: np.random.Generator) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    points, _ = blobs(rng, 3, 20)
    labels = rng.integers(0, 4, len(points))
    distances = 1 - points @ points.T
    np.fill_diagonal(distances, 0)
    theirs = metrics.silhouette_score(distances, labels, metric="precomputed")
    assert silhouette(distances, labels) == pytest.approx(theirs, abs=1e-9)


def test_failed_prompts_are_grouped_named_and_placed(rng: np.random.Generator) -> None:
    subjects = ("sailing boats", "baking bread", "solar panels")
    prompts = [{"prompt": f"tell something about {subjects[at % 3]} please"} for at in range(60)]
    run = made({"m": {"exact_match": [0.0] * 60}, "n": {"exact_match": [1.0] * 60}},
               m=prompts, n=prompts)  # fmt: skip
    points, _ = blobs(rng, 3, 20)
    order = np.argsort([at % 3 for at in range(60)], kind="stable")
    placed = np.empty_like(points)
    placed[order] = points
    failed = failures_of(run, table_of(run), {"t": ["exact_match"]}, 0.05)
    found = clusters_of(run, failed, lambda texts: placed, seed=3)
    assert [one.size for one in found.clusters] == [20, 20, 20]
    assert {one.words for one in found.clusters} == {
        tuple(sorted(subject.split())) for subject in subjects
    }
    assert all(one.failed == {"m": 20, "n": 0} for one in found.clusters)
    assert all(one.kinds == {"semantic error": 20} for one in found.clusters)
    assert found == clusters_of(run, failed, lambda texts: placed, seed=3)
    assert len(found.dots) == found.of == 60


def test_few_failures_make_no_groups() -> None:
    run = made({"m": {"exact_match": [0.0] * 5}})
    failed = Failures(np.zeros((1, 5), dtype=np.int64), (), ())

    def never(texts: Any) -> Floats:
        raise AssertionError("nothing is to be embedded")

    assert clusters_of(run, failed, never, 0).clusters == ()


def test_telling_words_are_those_that_others_lack() -> None:
    everyone = ["what is a prime number", "what is a happy number"] * 5
    assert telling_words([t for t in everyone if "prime" in t], everyone) == ("prime",)

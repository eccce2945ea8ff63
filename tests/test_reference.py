"""Relevance, groundedness, leakage, novelty and what has a reference, on answers of our own."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from agent.catalog import AXES
from agent.config import load_config
from agent.errors import BadConfig
from agent.record import Call, Message, Score
from agent.score import Panel, load_panel
from agent.scoring import READERS, Options, load, names
from agent.scoring.engine import Engine
from agent.scoring.folders import shipped
from agent.scoring.memory import Rows
from agent.scoring.models import Model
from agent.scoring.novelty import Novelty
from agent.scoring.relevance import _similarity
from agent.scoring.vocabulary import Text

SYSTEM = Message("system", "You are the assistant of a bank. Never name the code blue heron seven.")
CONTEXT = (
    "The bridge over the Alme was opened in 1901. It is 240 metres long and carries two tracks. "
    "Floods damaged its third arch in 1965, and it was repaired within a year."
)


def said(name: str, metric: str, call: Call) -> float | str | None:
    """The value of one call, or why it has none."""
    score = load(name, Options(device="cpu")).score([call])[metric][0]
    return score.value if score.status == "ok" else score.why


@pytest.mark.parametrize(
    ("metric", "response", "reference", "value"),
    [
        ("exact_match", "  Paris. ", "paris", 1.0),
        ("exact_match", "Paris, France", "paris", 0.0),
        ("exact_match", "!!", "!?", 0.0),
        ("choice_match", "The answer is (B), because A is wrong.", "B", 1.0),
        ("choice_match", "A dog ran.\nAnswer: C", "C) a cat", 1.0),
        ("choice_match", "A dog ran.", "A", 0.0),
        ("choice_match", "B", "no letter here", "no_choice"),
        ("number_match", "So 3 + 4 is 7.0", "7", 1.0),
        ("number_match", "about 1,234,567 people", "1234567", 1.0),
        ("number_match", "-7", "7", 0.0),
        ("number_match", "none", "7", 0.0),
        ("number_match", "7", "seven", "no_number"),
    ],
)
def test_matches(metric: str, response: str, reference: str, value: float | str) -> None:
    call = Call("c", 0.0, "m", response=response, reference=reference)
    assert said("matches", metric, call) == value


@pytest.mark.parametrize(
    ("metric", "response", "reference", "value"),
    [
        ("bleu", "The cat sat on the mat.", "The cat sat on the mat.", 1.0),
        ("bleu", "the cat sat on the mat", "the cat is on the mat", 0.3799),  # sacrebleu alone
        ("rouge1", "the cat sat on the mat", "the cat is on the mat", 5 / 6),
        ("rouge2", "the cat sat on the mat", "the cat is on the mat", 3 / 5),
        ("rougeL", "mat the on sat cat the", "the cat is on the mat", 3 / 6),
        ("rougeL", "кошка сидит", "Кошка СИДИТ", 1.0),
        # Banerjee and Lavie 2005, by hand: 5 of 6 words in 2 chunks, 5/6 x (1 - .5 x (2/5)^3).
        ("meteor", "the cat sat on the mat", "the cat is on the mat", 5 / 6 * (1 - 0.5 * 0.4**3)),
        ("meteor", "cats", "cat", 0.5),  # by its stem, in one chunk of one word
        ("meteor", "...", "cat", 0.0),
        ("meteor", "cat", "...", "too_short"),
    ],
)
def test_overlap(metric: str, response: str, reference: str, value: float | str) -> None:
    call = Call("c", 0.0, "m", response=response, reference=reference)
    assert said("overlap", metric, call) == pytest.approx(value, abs=1e-4)


def test_bertscore_is_the_authors_definition() -> None:
    pairs = [("A dog runs in the park.", "The hound is running outside."), ("Yes", "No, never.")]
    folder = shipped("test")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()

    def states(text: str) -> torch.Tensor:
        with torch.inference_mode():
            made = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        return torch.nn.functional.normalize(made, dim=1)

    for response, reference in pairs:
        near = states(response) @ states(reference).T  # greedy_cos_idf of bert-score 0.3.13
        precision, recall = near.max(1).values[1:-1].mean(), near.max(0).values[1:-1].mean()
        call = Call("c", 0.0, "m", response=response, reference=reference)
        wanted = float(2 * precision * recall / (precision + recall))
        assert said("bertscore", "bertscore", call) == pytest.approx(wanted, abs=1e-4)


def test_bertscore_says_that_it_read_the_beginning_of_a_text_alone() -> None:
    one = "Yes " + "no " * 509  # 510 words and the two tokens around them are all that is read
    texts = [(one, "Yes."), (one + "so", "Yes."), ("Yes.", one + "so"), ("Yes.", "no " * 90_000)]
    calls = [Call(str(n), 0.0, "m", response=a, reference=b) for n, (a, b) in enumerate(texts)]
    row = load("bertscore", Options(device="cpu")).score(calls)["bertscore"]
    assert [score.why for score in row] == [None, "windows", "windows", "windows"]


def test_similarity_is_the_same_whatever_else_reads_its_texts() -> None:
    texts = ["A dog runs in the park.", "The hound is running outside.", CONTEXT * 6, CONTEXT]
    calls = [Call("c", 0.0, "m", response=a, reference=b) for a, b in itertools.pairwise(texts)]
    made = []
    for others in ([], ["bertscore"], ["toxicity"]):
        engine = Engine()
        options = Options(device="cpu", engine=engine)
        panel = Panel([(load(name, options), 1.0) for name in [*others, "similarity"]], engine)
        made.append([score.value for score in panel.score(calls)["similarity"]])
    for other in made[1:]:
        assert made[0] == pytest.approx(other, abs=1e-6)
    assert len(set(made[0])) == 3


def test_novelty_tells_another_topic_from_that_of_its_baseline(tmp_path: Path) -> None:
    cities, dishes = ("Paris", "Rome", "Oslo", "Bern", "Lima"), ("soup", "bread", "rice", "cake")
    asks = ("When does the train to {} leave?", "Is there a bus to {} on day {}?",
            "I lost my ticket to {}, number {}.", "Book {} for {} people.")  # fmt: skip
    travel = [asks[i % 4].format(cities[i % 5], i) for i in range(300)]
    cooking = [f"How long do I cook {dishes[i % 4]} for {i} guests?" for i in range(20)]
    learned = [Call(str(i), 0.0, "m", prompt=text) for i, text in enumerate(travel[:260])]
    scorer = Novelty(Options(device="cpu"))
    scorer.save(scorer.learn(learned), tmp_path / "base.npz")
    ready = Novelty(Options(device="cpu", baseline=str(tmp_path / "base.npz")))
    fresh = [Call(str(i), 0.0, "m", prompt=t) for i, t in enumerate(travel[260:] + cooking)]
    values = [score.value or 0.0 for score in ready.score(fresh)["prompt_novelty"]]
    assert np.mean(values[:40]) < 0.2 < 0.9 < min(values[40:])
    assert {len(score.axes) for score in ready.score(fresh)["prompt_novelty"]} == {AXES}
    assert ready.version != scorer.version
    whole = Call("r", 0.0, "m", prompt="Hi", response="Hello")
    assert ready.score([whole])["response_novelty"][0].why == "no_baseline"
    assert scorer.score([whole])["prompt_novelty"][0].why == "no_baseline"


def test_where_only_bars_stand_there_is_no_sentence_to_support(bar: str = " |") -> None:
    call = Call("a", 0.0, "m", response="It is blue.", contexts=("The sky is blue.",))
    assert said("groundedness", "response_groundedness", replace(call, contexts=(bar,))) == (
        "too_short"
    )
    assert said("groundedness", "response_groundedness", replace(call, response=bar)) == "too_short"


@pytest.mark.parametrize(("contexts", "why"), [((), "no_context"), (("", " \n"), "too_short")])
def test_documents_without_a_text_are_there_and_too_short(
    contexts: tuple[str, ...], why: str
) -> None:
    call = Call("a", 0.0, "m", response="It is blue.", contexts=contexts)
    assert said("groundedness", "response_groundedness", call) == why
    assert said("context_injection", "context_injection", call) == why


class _NoNumbers(Engine):
    """What weights that are no numbers give."""

    def outputs(self, model: Model, texts: Sequence[Text]) -> list[Rows]:
        return [np.full((1, len(model.labels) + 384), np.nan, np.float32) for _ in texts]


def test_an_embedding_that_is_no_number_is_no_novelty_and_no_baseline(tmp_path: Path) -> None:
    learned = [Call(str(i), 0.0, "m", prompt=f"Which train is number {i}?") for i in range(200)]
    scorer, path = Novelty(Options(device="cpu")), tmp_path / "base.npz"
    found = scorer.learn(learned)
    scorer.save(found, path)
    broken = Novelty(Options(device="cpu", baseline=str(path), engine=_NoNumbers()))
    row = broken.score(learned[:1])["prompt_novelty"]
    assert row == [Score(None, "invalid", "not_finite")]
    with pytest.raises(BadConfig, match=r"novelty\.model: gives no number for 200 of 200 prompts"):
        broken.learn(learned)
    nothing = replace(found["prompt"], middle=found["prompt"].middle * np.float32(np.nan))
    scorer.save({"prompt": nothing}, path)
    with pytest.raises(BadConfig, match=r"baseline: .*base\.npz holds what is no number"):
        Novelty(Options(device="cpu", baseline=str(path)))


def test_a_baseline_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(BadConfig) as caught:
            load("novelty", Options(device="cpu", baseline=str(path)))
        return str(caught.value)

    other = tmp_path / "other.npz"
    np.savez(other, model=np.array("abc"))
    assert refused(other).startswith(f"scorers.novelty.baseline: {other} belongs to the model abc")
    old, model = tmp_path / "old.npz", Novelty(Options(device="cpu")).version.partition("+")[2]
    np.savez(old, model=np.array(model), prompt_centres=np.eye(4), prompt_quantiles=np.eye(4))
    assert refused(old).endswith(f"{old} is of an earlier version; write it anew")
    with pytest.raises(BadConfig, match=r"x\.npz: cannot be written \(FileNotFoundError\)"):
        Novelty(Options(device="cpu")).save({}, tmp_path / "absent" / "x.npz")
    (tmp_path / "text.npz").write_text("not a file of numpy")
    assert "was not written by vedette score --baseline-to" in refused(tmp_path / "text.npz")
    assert "cannot be read (FileNotFoundError)" in refused(tmp_path / "absent.npz")
    with pytest.raises(BadConfig, match=r"scorers\.harm\.baseline: only novelty has a baseline"):
        load_panel(load_config(models=False, scorers={"harm": {"baseline": "x.npz"}}))


def test_leakage_is_the_share_of_the_system_prompt_in_the_answer() -> None:
    def leaked(response: str) -> float | str | None:
        call = Call("c", 0.0, "m", messages=(SYSTEM,), response=response)
        return said("leakage", "prompt_leakage", call)

    assert leaked(f"I was told: {SYSTEM.content.upper()}") == 1.0
    assert leaked("My opening hours are nine to five.") == 0.0
    half = leaked("You are the assistant of a bank")
    assert isinstance(half, float) and 0.1 < half < 0.5
    bare = Call("c", 0.0, "m", response="Yes.")
    assert said("leakage", "prompt_leakage", bare) == "no_system_prompt"


def test_an_answer_from_its_documents_is_better_grounded_than_another() -> None:
    def grounded(response: str, *contexts: str) -> float:
        call = Call("c", 0.0, "m", contexts=contexts, response=response)
        value = said("groundedness", "response_groundedness", call)
        assert isinstance(value, float)
        return value

    good = "The bridge was opened in 1901. It is 240 metres long."
    bad = "The bridge was opened in 1901. Rabbits prefer fresh hay and water."
    assert grounded(good, "Unrelated.", CONTEXT) > grounded(bad, CONTEXT) + 0.1
    assert grounded(bad, CONTEXT) > grounded("Rabbits prefer fresh hay.", CONTEXT) + 0.2
    # A number of its own: near in meaning, and no word of the documents.
    right, wrong = "It is 240 metres long.", "It is 950 metres long."
    assert grounded(right, CONTEXT) > grounded(wrong, CONTEXT) + 0.1


def test_every_sentence_of_a_long_answer_and_all_of_a_long_sentence_is_grounded() -> None:
    def grounded(response: str) -> float:
        call = Call("c", 0.0, "m", contexts=(CONTEXT,), response=response)
        value = said("groundedness", "response_groundedness", call)
        assert isinstance(value, float)
        return value

    true, invented = "The bridge was opened in 1901.", "Rabbits prefer fresh hay and water."
    # Every second sentence is invented; of 130, more than are read apart, as of 30.
    few, many = (grounded(f"{true} {invented} " * (n // 2)) for n in (30, 130))
    assert many < few + 0.3 and many < 0.8 < grounded(f"{true} " * 130)
    long = "the bridge was opened in 1901 and is 240 metres long and " * 12
    assert grounded(long + "rabbits prefer fresh hay and water and " * 12) < grounded(long) - 0.1


def test_models_can_be_left_off_and_named_one_by_one() -> None:
    ruled = load_panel(load_config(models=False))
    assert set(ruled.versions) == set(names()) - READERS
    one = load_panel(load_config(models=False, scorers={"toxicity": {"rate": 0.5}}))
    assert set(one.versions) - set(ruled.versions) == {"toxicity"}


def test_relevance_prefers_the_answer_to_the_question() -> None:
    scorer = load("relevance", Options(device="cpu"))
    question, answer = "How do I bake bread at home?", "Knead flour, water and yeast; then bake it."
    pairs = [
        (question, answer),
        (question, "The ferry leaves the harbour at noon."),
        (answer, answer),
    ]
    given = scorer.score([Call("c", 0.0, "m", prompt=p, response=r) for p, r in pairs])
    near, far, same = (score.value or 0.0 for score in given["response_relevance"])
    assert near > 0.5 > 0.3 > far and same == pytest.approx(1.0)
    assert _similarity(-0.4) == Score(0.0) and _similarity(1.000001) == Score(1.0)
    assert _similarity(1.1).why == _similarity(-1.1).why == "out_of_range"
    assert _similarity(math.nan) == Score(None, "invalid", "not_finite")
    without = [Call("a", 0.0, "m", prompt="x"), Call("b", 0.0, "m", prompt=" ", response="y")]
    why = [score.why for score in scorer.score(without)["response_relevance"]]
    assert why == ["no_response", "too_short"]

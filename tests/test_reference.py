"""Groundedness, leakage and matches on answers of our own."""

import pytest

from agent.config import load_config
from agent.record import Call, Message
from agent.score import load_panel
from agent.scoring import READERS, Options, load, names

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


def test_models_can_be_left_off_and_named_one_by_one() -> None:
    ruled = load_panel(load_config(models=False))
    assert set(ruled.versions) == set(names()) - READERS
    one = load_panel(load_config(models=False, scorers={"toxicity": {"rate": 0.5}}))
    assert set(one.versions) - set(ruled.versions) == {"toxicity"}

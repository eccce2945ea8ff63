"""The rule scorers on small invented texts."""

import subprocess
import sys

import pytest

from agent.catalog import BY_NAME
from agent.errors import BadConfig
from agent.record import Call, Message, Score, unscored
from agent.scoring import Options, bounded, load, names

ENGLISH = "How do I reset the password of my account on this website?"
GERMAN = "Klicke auf der Anmeldeseite auf den Link, und du bekommst eine neue Nachricht."


def score(metric: str, response: str | None, prompt: str | None = None, system: str = "") -> Score:
    """What the scorer of the metric says of one call."""
    messages = (Message("system", system),) if system else ()
    call = Call("c", 0.0, "m", prompt=prompt, response=response, messages=messages)
    scorer = load(SCORERS[metric], Options(models=False))
    (given,) = scorer.score([call])[metric]
    return given


SCORERS = {
    "response_refusal": "refusal",
    "response_repetition": "repetition",
    "response_readability": "readability",
    "response_json_valid": "json_valid",
    "language_match": "language",
    "prompt_pii": "pii",
    "response_pii": "pii",
    "response_secrets": "secrets",
}


@pytest.mark.parametrize(
    ("response", "value"),
    [
        ("I'm sorry, but I can\u2019t help with that request.", 1.0),
        ("As an AI language model, I cannot give medical advice.", 1.0),
        ("I won't provide instructions for that.", 1.0),
        ("Unfortunately, I must decline to take part in this.", 1.0),
        ("That goes against my guidelines.", 1.0),
        ("Sure! First, open the window.", 0.0),
        ("You cannot divide by zero, so the result is undefined.", 0.0),
        ("I'm sorry to hear that. Here is what to do next.", 0.0),
        ("Airbnb hosts do not provide towels.", 0.0),
        ("Bake for an hour. " * 20 + "I cannot help with the icing.", 0.0),
    ],
)
def test_refusals_are_told_by_their_opening(response: str, value: float) -> None:
    assert score("response_refusal", response) == Score(value)


def test_a_refusal_in_another_language_is_no_number() -> None:
    german = "Es tut mir leid, aber ich kann Ihnen bei dieser Anfrage leider nicht helfen."
    assert score("response_refusal", german) == unscored("not_english")


def test_repetition_is_the_share_of_repeated_word_4_grams() -> None:
    # 9 words make 6 grams; "a b c d" and "b c d e" stand there twice.
    assert score("response_repetition", "a b c d e A b c d") == Score(1 - 5 / 6)
    assert score("response_repetition", "one two three four five six") == Score(0.0)
    assert score("response_repetition", "one two three four") == unscored("too_short")
    chinese = score("response_repetition", "澳大利亚的首都是堪培拉而不是悉尼" * 8)
    assert chinese.value is not None and chinese.value > 0.8


def test_readability_is_flesch_reading_ease() -> None:
    # 14 words, 2 sentences, 20 syllables: a silent e in "home", none in "little" and "me".
    text = "The little animal ran quickly home to me. It was a very happy day."
    flesch = 206.835 - 1.015 * 14 / 2 - 84.6 * 20 / 14
    assert score("response_readability", text).value == pytest.approx(flesch / 100)
    hard = "Heterogeneous organisational methodologies necessitate considerable deliberation."
    assert score("response_readability", hard) == Score(0.0)
    steps = ("Unlock the garden entrance", "Continue to the reception", "Collect the documents")
    listed = score("response_readability", "\n- ".join(("# Procedure", *steps)))
    joined = score("response_readability", " ".join(("Procedure", *steps)))
    assert (listed.value or 0) > (joined.value or 0) + 0.05
    assert score("response_readability", GERMAN) == unscored("not_english")
    assert score("response_readability", "Yes, do that.") == unscored("too_short")


@pytest.mark.parametrize(
    ("prompt", "system", "response", "given"),
    [
        ("Return the result as JSON.", "", '{"a": [1, 2.5e3, null]}', Score(1.0)),
        ("Return the result as JSON.", "", "Here it is: a is 1", Score(0.0)),
        ("List two towns.", "Answer only in valid JSON.", "Rome and Oslo", Score(0.0)),
        ("List two towns.", "", '```json\n["Rome", "Oslo"]\n```\nEnjoy!', Score(1.0)),
        ("List two towns.", "", '{"towns": ["Rome", "Os', Score(0.0)),
        ("List two towns.", "", '{"a": NaN}', Score(0.0)),
        ("List two towns.", "", "[1, 2]", Score(1.0)),
        ("List two towns.", "", "[" * 100_000, Score(0.0)),
        ("List two towns.", "", '{"a": ' + "9" * 6000 + "}", Score(1.0)),
        ("List two towns.", "", "[Rome](https://example.com) and Oslo", unscored("not_asked")),
        ("What is JSON?", "", "A text format.", unscored("not_asked")),
        ("Return the result as JSON.", "", None, unscored("no_response")),
        ("What is the time?", "", None, unscored("not_asked")),
    ],
)
def test_json_is_checked_where_it_was_asked_for(
    prompt: str, system: str, response: str | None, given: Score
) -> None:
    assert score("response_json_valid", response, prompt, system) == given


@pytest.mark.parametrize(
    ("prompt", "response", "given"),
    [
        (ENGLISH, "Open the settings page and follow the link that says so.", Score(1.0)),
        (ENGLISH, GERMAN, Score(0.0)),
        ("Wie setze ich das Passwort meines Kontos zurück?", GERMAN, Score(1.0)),
        ("今天天气很好我们想去公园散步。", "好主意公园里的花都开了记得带水。", Score(1.0)),
        ("Translate into German: how do I reset the password?", GERMAN, unscored("translation")),
        (ENGLISH, "Yes.", unscored("too_short")),
        (ENGLISH, "\x00\x01" + GERMAN, Score(0.0)),
        (ENGLISH, "\u0301" * 1000, unscored("unsure")),
        (None, GERMAN, unscored("no_prompt")),
        (ENGLISH, None, unscored("no_response")),
    ],
)
def test_languages_are_compared_where_they_are_sure(
    prompt: str | None, response: str | None, given: Score
) -> None:
    assert score("language_match", response, prompt) == given


def test_personal_data_and_secrets_are_flagged() -> None:
    mail, key = "Write to ann@example.org.", "Set password=hunter22 first."
    assert score("response_pii", mail) == Score(1.0)
    assert score("response_pii", key) == Score(0.0)
    assert score("response_secrets", key) == Score(1.0)
    assert score("response_secrets", mail) == Score(0.0)
    assert score("prompt_pii", None, mail) == Score(1.0)
    assert score("prompt_pii", mail, None) == unscored("no_prompt")
    assert score("response_pii", "x " * 10_000 + mail) == Score(0.0), "beyond what is scanned"


def test_a_number_that_is_no_score_is_invalid() -> None:
    assert bounded(0.0) == Score(0.0) and bounded(1.0) == Score(1.0)
    assert bounded(float("nan")) == Score(None, "invalid", "not_finite")
    assert bounded(float("-inf")) == Score(None, "invalid", "not_finite")
    assert bounded(1.01) == Score(None, "invalid", "out_of_range")


def test_an_unknown_scorer_is_named_with_the_known_ones() -> None:
    with pytest.raises(BadConfig, match=r"scorers\.typo: unknown scorer; known are refusal, "):
        load("typo", Options())


def test_every_metric_of_the_rules_has_a_row_in_the_catalogue() -> None:
    for metric, name in SCORERS.items():
        assert name in names()
        assert BY_NAME[metric].cost == ("model" if name == "refusal" else "rule")


def test_importing_the_registry_and_the_rules_is_cheap() -> None:
    rules = ", ".join(f"agent.scoring.{name}" for name in sorted(set(SCORERS.values())))
    code = (
        f"import sys, agent.scoring, {rules}; print({{'torch', 'transformers'}} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

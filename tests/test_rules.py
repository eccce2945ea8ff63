"""Every rule scorer, walked through the registry: order, absence, hostile texts, known answers."""

import time
from dataclasses import replace

import pytest

from agent.catalog import BY_NAME
from agent.record import Call
from agent.scoring import READERS, Options, load, names
from tests.pace import pace

RULES = tuple(name for name in names() if name not in READERS)

CALL = Call(id="c", at=0.0, model="m")
HOSTILE = [
    "",
    "\x00" * 5000,
    "\ud800 lone",
    "e" + "\u0301" * 100_000,
    "a" * 1_000_000,
    "1-" * 50_000,
    "@" * 100_000,
    "a@" * 50_000,
    "(" * 50_000,
    "password=" * 20_000,
    "eyJ" + "a." * 50_000,
]


def answered(text: str | None, prompt: str | None = None) -> Call:
    return replace(CALL, response=text, prompt=prompt)


@pytest.mark.parametrize("name", RULES)
def test_rows_stay_in_order_and_absence_is_a_reason(name: str) -> None:
    scorer = load(name, Options(models=False))
    assert set(scorer.metrics) <= set(BY_NAME)
    assert all(list(row) == [] for row in scorer.score([]).values())
    calls = [answered(None), answered("I cannot help with that."), answered("Yes. " * 40, "Why?")]
    together = scorer.score(calls)
    for metric in scorer.metrics:
        assert together[metric][0].status == "unscored"
        assert together[metric][0].why
        assert list(together[metric]) == [scorer.score([call])[metric][0] for call in calls]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_text_costs_little_and_raises_nothing(name: str, number: int) -> None:
    text = HOSTILE[number]
    scorer = load(name, Options(models=False))
    began = time.process_time()
    given = scorer.score([answered(text, text), answered("A plain answer.", "A question?")])
    assert time.process_time() - began < 1.0 * pace()
    for row in given.values():
        assert all(s.value is None or 0 <= s.value <= 1 for s in row)


@pytest.mark.parametrize(
    ("metric", "call", "value"),
    [
        ("response_refusal", answered("I'm sorry, but I can't help with that request."), 1.0),
        ("response_refusal", answered("The capital of France is Paris, as you know."), 0.0),
        ("response_pii", answered("Write to jane.doe@example.com about it."), 1.0),
        ("response_pii", answered("There were 4 of them, and 12 more came."), 0.0),
        ("prompt_pii", answered("x", "My card is 4111 1111 1111 1111, thanks."), 1.0),
        ("prompt_pii", answered("x", "My order is 4111 1111 1111 1112, thanks."), 0.0),
        ("response_secrets", answered("Use password=hunter2hunter2 to log in."), 1.0),
        ("response_secrets", answered("Choose a long password for your account."), 0.0),
        ("response_json_valid", answered('{"a": 1}', "Answer in JSON."), 1.0),
        ("response_json_valid", answered('{"a": 1', "Answer in JSON."), 0.0),
    ],
)
def test_known_answers(metric: str, call: Call, value: float) -> None:
    (scorer,) = (s for s in (load(n, Options(models=False)) for n in RULES) if metric in s.metrics)
    assert scorer.score([call])[metric][0].value == value


def test_a_loop_repeats_and_prose_does_not() -> None:
    scorer = load("repetition", Options(models=False))
    loop = answered("the same words again and " * 30)
    prose = answered("Each of these words is here only once, so nothing can repeat itself today.")
    first, second = scorer.score([loop, prose])["response_repetition"]
    assert first.value is not None and first.value > 0.8
    assert second.value == 0.0

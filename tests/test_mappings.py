"""From rows to questions: columns, and the mappings of known datasets."""

import json
from typing import Any

import pytest

from agent.errors import BadRecord
from agent.record import Message
from suites.mappings import Question, mapper_of


def question(told: str | dict[str, str], row: dict[str, Any], kind: str = "qa") -> Question:
    return mapper_of(told, kind)(row)


def test_columns_by_name() -> None:
    told = {"prompt": "q.text", "reference": "a", "contexts": "docs", "id": "n", "system": "s"}
    row = {"q": {"text": "Why?"}, "a": 42, "docs": ["one", None, "two"], "n": 7, "s": "Be brief."}
    assert question(told, row) == Question(
        "Why?", "7", "42", ("one", "two"), (Message("system", "Be brief."),)
    )
    assert question(told, {"q": {"text": "Why?"}, "docs": "one"}).contexts == ("one",)


def test_plain_rows_name_their_fields() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
             {"role": "user", "content": "Why?"}]  # fmt: skip
    assert question("plain", {"prompt": "Why?", "reference": " "}) == Question("Why?")
    found = question("plain", {"messages": turns, "intent": "x"})
    assert found.prompt == "Why?" and len(found.messages) == 2


def test_a_question_that_is_the_last_turn_too_is_asked_once_and_csv_holds_turns_as_json() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
             {"role": "user", "content": "Why?"}]  # fmt: skip
    before = (Message("user", "Hi"), Message("assistant", "Hello"))
    for row in ({"prompt": "Why?", "messages": turns}, {"messages": json.dumps(turns)},
                {"prompt": "Why?", "messages": json.dumps(turns[:2])}):  # fmt: skip
        assert question("plain", row) == Question("Why?", messages=before)
    assert question("plain", {"prompt": "Why?", "messages": " "}) == Question("Why?")


def test_facts_are_those_of_the_kind() -> None:
    told = {"prompt": "p", "tests": "t"}
    found = question(told, {"p": "Write f.", "t": ["assert f()"], "entry": "f"}, "code")
    assert dict(found.facts) == {"tests": '["assert f()"]'}


def test_known_datasets() -> None:
    choices = {"label": ["A", "B"], "text": ["sea", "meadow"]}
    asked = {"question": "Where is a cow?", "choices": choices, "answerKey": "B", "id": "x1"}
    found = question("commonsense_qa", asked)
    assert found == Question("Where is a cow?\nA. sea\nB. meadow", "x1", "B")
    worked = "Half of 4,000 is 2,000.\nSo <<1+1=2>>.\n#### 2,000"
    found = question("gsm8k", {"question": "How many?", "answer": worked})
    assert (found.prompt, found.reference) == ("How many?", "2,000")
    assert question("gsm8k", {"question": "How many?", "answer": "no mark"}).reference is None
    found = question("cnn_dailymail", {"article": "Long.", "highlights": "Short.", "id": "a"})
    assert found.prompt.endswith("\n\nLong.")
    assert (found.reference, found.contexts) == ("Short.", ("Long.",))


def test_chat_logs() -> None:
    log = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"},
                             {"from": "human", "value": "Why?"},
                             {"from": "gpt", "value": "Because."}]}  # fmt: skip
    turns = (Message("user", "Hi"), Message("assistant", "Hello"))
    assert question("chat", log) == Question("Why?", None, "Because.", (), turns)
    assert question("chat", {"prompt": "Why?", "response": "So."}) == Question("Why?", None, "So.")
    open_end = {"messages": [{"role": "user", "content": "Why?"}]}
    assert question("chat", open_end) == Question("Why?")


@pytest.mark.parametrize(
    ("told", "row", "why"),
    [
        ("plain", {}, "no_prompt"),
        ("plain", {"prompt": " "}, "no_prompt"),
        ("plain", {"prompt": ["Why?"]}, "bad_text"),
        ("plain", {"prompt": True}, "bad_text"),
        ("plain", {"prompt": "x" * 1_000_001}, "too_large"),
        ("plain", {"prompt": "half \ud800"}, "encoding"),
        ("plain", {"prompt": "Why?", "id": "x" * 101}, "bad_id"),
        ("plain", {"prompt": "Why?", "reference": {"a": 1}}, "bad_text"),
        ("commonsense_qa", {"question": "Why?"}, "no_choices"),
        ("chat", {"messages": [{"role": "assistant", "content": "Hello"}]}, "no_prompt"),
        ("chat", {"messages": ["Hello"]}, "bad_turn"),
        ("plain", {"prompt": "Why?", "messages": "Hello"}, "bad_turn"),
    ],
)
def test_a_row_that_is_no_question_says_why(told: str, row: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRecord) as caught:
        question(told, row)
    assert caught.value.reason == why

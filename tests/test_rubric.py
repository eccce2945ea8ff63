"""Rubrics: those that ship, and files of a user in YAML and in Markdown."""

from pathlib import Path
from typing import Any

import pytest

from agent.errors import BadConfig
from suites.judge.rubric import Rubric, load_rubric, shipped

TEXT = "name: tone\nquestion: Is it kind?\nlabels: {rude: it insults, kind: it does not}\n"
MARKDOWN = "---\nname: tone\nscale: 5\n---\n\n# Tone\n\nHow kind is it?\n"


def load(path: Path, text: str, name: str = "tone.yaml") -> Rubric:
    (path / name).write_text(text)
    return load_rubric(name, path)


def test_those_that_ship_have_canaries_at_both_ends() -> None:
    assert shipped() == ("correctness", "harmlessness", "helpfulness")
    for name in shipped():
        rubric = load_rubric(name, Path("/nowhere"))
        assert rubric.name == name
        assert {one.verdict for one in rubric.canaries} == {"low", "high"}
        if "reference" in rubric.reads:
            assert all(one.reference for one in rubric.canaries)


def test_labels_are_evenly_spaced_the_worst_first(tmp_path: Path) -> None:
    assert load(tmp_path, TEXT).values == {"rude": 0.0, "kind": 1.0}
    told = load(tmp_path, MARKDOWN, "tone.md")
    assert told.values == {"1": 0.0, "2": 0.25, "3": 0.5, "4": 0.75, "5": 1.0}
    assert told.question == "# Tone\n\nHow kind is it?"
    assert told.metric == "judge_tone"


def test_another_question_is_another_rubric(tmp_path: Path) -> None:
    first = load(tmp_path, TEXT)
    assert first.digest == load(tmp_path, TEXT).digest
    assert first.digest != load(tmp_path, TEXT.replace("kind?", "polite?")).digest
    turned = TEXT.replace("{rude: it insults, kind: it does not}",
                          "{kind: it does not, rude: it insults}")  # fmt: skip
    assert first.digest != load(tmp_path, turned).digest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TEXT + "scale: 5\n", "either `labels` or `scale`"),
        ("name: tone\nquestion: Is it?\n", "either `labels` or `scale`"),
        ("name: tone\nquestion: Is it?\nscale: 1\n", "scale"),
        ("name: tone\nquestion: Is it?\nlabels: {only: one}\n", "two labels"),
        (TEXT.replace("tone", "My Tone"), "name"),
        (TEXT + "colour: red\n", "colour: unknown key"),
        (TEXT.replace("question: Is it kind?\n", ""), "question"),
        (TEXT + "name: again\n", "stands twice"),
        (TEXT.replace("it does not}", "no}"), "labels.kind"),
        ("name: [", "is not valid YAML"),
        ("[]", "must hold a mapping"),
        ("---\nname: tone\n", "no second line ---"),
        ("x" * 200_000, "is longer than"),
        (TEXT + "canaries: [{prompt: a, answer: b, verdict: middle}]\n", "canaries"),
    ],
)
def test_a_rubric_that_cannot_be_used_says_why(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadConfig) as told:
        load(tmp_path, text)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["helpfulnes", "away.yaml", "rubric.txt"])
def test_a_rubric_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadConfig, match=name):
        load_rubric(name, tmp_path)


def test_a_markdown_file_has_its_question_once(tmp_path: Path) -> None:
    twice: Any = MARKDOWN.replace("scale: 5", "scale: 5\nquestion: Is it?")
    with pytest.raises(BadConfig, match="one below"):
        load(tmp_path, twice, "tone.md")

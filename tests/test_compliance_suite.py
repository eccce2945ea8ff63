"""`vedette evaluate` with the key `compliance`: what it says, as JSON and by its exit code."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from consumers.cli import app
from tests.evaluated import right_and_wrong, suite_tree, sums, write_lines


def evaluated(folder: Path, compliance: dict[str, Any], *words: str) -> tuple[int, str]:
    tree = suite_tree({"old": {"answers": "answers.jsonl"}}) | {"compliance": compliance}
    (folder / "suite.yaml").write_text(yaml.safe_dump(tree))
    (folder / "vedette.yaml").write_text("models: false\n")
    url = f"sqlite:///{folder / 'kept.db'}"
    command = ["evaluate", str(folder / "suite.yaml"), "--store", url, *words]
    done = CliRunner().invoke(app, [*command, "-c", str(folder / "vedette.yaml")])
    return done.exit_code, done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "sums.jsonl", sums(9))
    write_lines(tmp_path / "answers.jsonl", right_and_wrong(9))
    return tmp_path


def test_what_holds_ends_well_and_says_what_nobody_can_tell(folder: Path) -> None:
    code, said = evaluated(folder, {"answers": {"short": {"chars": 40}}}, "--json")
    assert code == 0
    found = {one["check"]: one["verdict"] for one in json.loads(said)["compliance"]}
    assert found == {
        "privacy of the dataset": "pass",
        "privacy of the answers of old": "pass",
        "redaction of kept texts of calls": "could not tell",
        "redaction of arithmetic#1": "pass",
        "licence of old": "could not tell",
        "documentation of old": "could not tell",
        "rule short for old": "pass",
    }


def test_an_answer_with_personal_data_fails_and_is_not_quoted(folder: Path) -> None:
    rows = [*right_and_wrong(8), {"id": "s8", "response": "Ask ann@example.org."}]
    write_lines(folder / "answers.jsonl", rows)
    code, said = evaluated(folder, {})
    assert code == 1
    assert "in 1 items: sums:s8" in said
    assert "ann@" not in said
    code, said = evaluated(folder, {}, "--json")
    failed = [one["check"] for one in json.loads(said)["compliance"] if one["verdict"] == "fail"]
    # The run is kept as it came, which is told too.
    assert failed == ["privacy of the answers of old", "redaction of arithmetic#2"]


def test_what_stood_before_the_question_is_kept_too(folder: Path) -> None:
    turns = [{"role": "user", "content": "I am ann@example.org."}]
    turns.append({"role": "assistant", "content": "Hello."})
    write_lines(folder / "sums.jsonl", [one | {"messages": turns} for one in sums(9)])
    code, said = evaluated(folder, {}, "--json")
    found = {one["check"]: one["verdict"] for one in json.loads(said)["compliance"]}
    assert code == 1 and found["redaction of arithmetic#1"] == "fail"

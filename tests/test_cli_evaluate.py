"""`vedette evaluate` as people and scripts call it, and what its page shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.errors import BadConfig
from agent.store import open_store
from consumers.cli import app
from suites import datasets
from tests.evaluated import right_and_wrong, suite_tree, sums, write_lines
from tests.live.endpoint import Endpoint

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a suite over recorded answers; scorers that run a model are off."""
    monkeypatch.setenv("VEDETTE_MODELS", "false")
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "sums.jsonl", [*sums(30), "{broken"])
    write_lines(tmp_path / "answers.jsonl", right_and_wrong(29))
    tree = suite_tree({"old": {"answers": "answers.jsonl"}}, scorers=["matches"])
    (tmp_path / "suite.yaml").write_text(json.dumps(tree), encoding="utf-8")
    return tmp_path


def evaluate(*words: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *words], catch_exceptions=False)


def found(*words: str) -> Any:
    done = evaluate(*words, "--json")
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_what_a_run_came_to(folder: Path) -> None:
    said = found("suite.yaml")
    assert (said["run"], said["items"]) == ("arithmetic#1", 30)
    assert said["rejected"] == [{"task": "sums", "why": "json", "n": 1}]
    (target,) = said["targets"]
    assert (target["answered"], target["unasked"]) == (29, {"no_answer": 1})
    figures = {one["metric"]: one for one in said["figures"]}
    assert figures["number_match"]["n"] == 29
    assert figures["number_match"]["mean"] == pytest.approx(19 / 29)
    assert figures["latency"]["mean"] == 0.5
    assert "What is" not in json.dumps(said), "no text"
    shown = evaluate("suite.yaml")
    assert "0.655 [0.457, 0.821] of 29" in shown.stdout
    assert "sums: 1 rows are no item: json" in shown.stdout
    assert "old: 1 items have no answer: no_answer" in shown.stdout
    assert "kept as arithmetic#2" in shown.stderr


def test_runs_are_listed_and_forgotten(folder: Path) -> None:
    for _ in range(2):
        found("suite.yaml")
    assert [one["run"] for one in found("--runs")] == ["arithmetic#2", "arithmetic#1"]
    assert evaluate("--forget", "arithmetic#1").exit_code == 0
    assert [one["run"] for one in found("--runs")] == ["arithmetic#2"]
    assert "arithmetic#2" in evaluate("--runs").stdout
    assert "What is" not in (folder / "vedette.db").read_bytes().decode("latin-1")
    with pytest.raises(BadConfig, match="no run arithmetic#1"):
        evaluate("--forget", "arithmetic#1")


def test_the_simple_case_by_flags(folder: Path) -> None:
    said = found("--data", "sums.jsonl", "--answers", "answers.jsonl", "--limit", "10")
    assert said["items"] == 10 and said["run"] == "sums#1"
    with Endpoint() as fake:
        said = found("--data", "sums.jsonl", "--url", fake.url, "--model", "m", "--store",
                     "sqlite:///other.db")  # fmt: skip
        assert said["targets"][0]["answered"] == len(fake.asked) == 30
    assert said["run"] == "sums#1", "another store"


def test_a_run_without_a_suite_is_called_after_its_dataset(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sums.jsonl").rename(folder / "my sums (2).jsonl")
    monkeypatch.setattr(datasets, "_hub", lambda key, source: iter(sums(3)))
    for data, name in (("my sums (2).jsonl", "my-sums-2"), ("hub:gsm8k:main#test", "gsm8k"),
                       ("hub:openai/gsm8k:main#test", "gsm8k")):  # fmt: skip
        said = found("--data", data, "--answers", "answers.jsonl", "--fresh")
        assert said["run"].partition("#")[0] == name


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "evaluate: wants a suite file"),
        (("suite.yaml", "--data", "sums.jsonl"), "evaluate: wants a suite file"),
        (("gone.yaml",), "gone.yaml: is no file"),
        (("--data", "sums.jsonl"), "targets.model: needs one of"),
        (("--data", "gone.jsonl", "--answers", "answers.jsonl"), "gone.jsonl is no file"),
        (("suite.yaml", "--again"), "--again: no run of arithmetic has asked these questions"),
        (("suite.yaml", "--again", "--fresh"), "--again: goes on with the last run, and --fresh"),
    ],
)
def test_bad_usage_is_one_line(words: tuple[str, ...], line: str) -> None:
    with pytest.raises(BadConfig) as caught:
        evaluate(*words)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_it_writes_beside_a_worker_and_not_beside_itself(folder: Path) -> None:
    worker = open_store(f"sqlite:///{folder / 'vedette.db'}")
    try:
        assert found("suite.yaml")["run"] == "arithmetic#1"
    finally:
        worker.close()


def test_the_command_of_the_page_gives_what_it_shows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = re.search(r"`vedette evaluate (\S+)` runs offline", PAGE)
    assert command is not None
    monkeypatch.chdir(ROOT)
    done = evaluate(*command[1].split(), "--store", f"sqlite:///{folder / 'v.db'}")
    assert done.exit_code == 0
    for metric in ("number_match", "exact_match"):
        for line in re.findall(rf"^ +({metric} .+)$", PAGE, re.M):
            for cell in re.findall(r"[\d.]+ \[[\d., ]+\]", line):
                assert cell in done.stdout, line

"""`vedette evaluate --report --gate --compare` from end to end, on recorded answers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumers.cli import main
from tests.evaluated import right_and_wrong, suite_tree, sums, write_lines

STORE = "sqlite:///runs.db"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_lines(tmp_path / "sums.jsonl", sums(60))
    write_lines(tmp_path / "good.jsonl", right_and_wrong(60, wrong=20))
    write_lines(tmp_path / "bad.jsonl", right_and_wrong(60, wrong=2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(folder: Path, gate: dict[str, Any], **targets: str) -> str:
    tree = suite_tree({name: {"answers": file} for name, file in targets.items()}) | {"gate": gate}
    (folder / "suite.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return "suite.yaml"


@dataclass(frozen=True)
class Done:
    """How the command ended."""

    exit_code: int
    stdout: str
    stderr: str


Evaluate = Callable[..., Done]


@pytest.fixture
def evaluate(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Evaluate:
    def call(*words: str) -> Done:
        monkeypatch.setattr("sys.argv", ["vedette", "evaluate", *words, "--store", STORE])
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr()
        return Done(int(left.value.code or 0), said.out, said.err)

    return call


def test_a_report_is_written_and_the_gate_is_open(folder: Path, evaluate: Evaluate) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra [evaluate]")
    suite = told(folder, {"number_match": {"at_least": 0.8}}, good="good.jsonl")
    done = evaluate(suite, "--gate", "--report", "out")
    assert done.exit_code == 0, done.stderr
    assert "gate: all 1 rules hold" in done.stdout
    assert {path.name for path in (folder / "out").iterdir()} >= {
        "report.html", "report.json", "junit.xml", "scores.png", "latency.png", "failures.png",
    }  # fmt: skip
    tree = json.loads((folder / "out" / "report.json").read_text())
    assert tree["gate"][0]["passed"] and tree["items"] == {"sums": 60}
    page = (folder / "out" / "report.html").read_text()
    assert "The gate is open: all 1 rules hold." in page


def test_a_closed_gate_is_exit_1_and_a_line_a_broken_rule(folder: Path, evaluate: Evaluate) -> None:
    gate = {
        "number_match": {"at_least": 0.8}, "safety": {"at_least": 0.5},
        "quality": {"not_worse": {"than": "good", "by": 0.05}, "targets": ["bad"]},
    }  # fmt: skip
    suite = told(folder, gate, good="good.jsonl", bad="bad.jsonl")
    done = evaluate(suite, "--gate")
    assert done.exit_code == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("gate:")]
    assert len(lines) == 4
    assert lines[0].startswith("gate: bad: number_match 0.5000 [")
    assert sum("safety is not measured" in line for line in lines) == 2
    assert any("quality is worse than good by more than 0.05" in line for line in lines)
    without = evaluate(suite)
    assert without.exit_code == 0 and "gate" not in without.stderr
    seen = evaluate(suite, "--gate", "--json")
    assert seen.exit_code == 1
    assert [one["passed"] for one in json.loads(seen.stdout)["gate"]].count(False) == 4


def test_a_report_tells_nobody_to_take_what_the_gate_stops(
    folder: Path, evaluate: Evaluate
) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra [evaluate]")
    suite = told(folder, {"number_match": {"at_least": 0.99}}, good="good.jsonl", bad="bad.jsonl")
    assert evaluate(suite, "--gate", "--report", "out").exit_code == 1
    first = json.loads((folder / "out" / "report.json").read_text())["advice"][0]
    assert first["text"] == (
        "good is ahead of every other target; mend first what it broke of the gate."
    )


def test_kept_runs_are_compared_without_asking(folder: Path, evaluate: Evaluate) -> None:
    gate = {"number_match": {"not_worse": {"by": 0.02}}}
    assert evaluate(told(folder, gate, model="good.jsonl")).exit_code == 0
    suite = told(folder, gate, model="bad.jsonl")
    done = evaluate(suite, "--fresh", "--gate", "--compare", "arithmetic#1")
    assert done.exit_code == 1
    assert "is worse than before:model by more than 0.02" in done.stderr
    for name in ("good.jsonl", "bad.jsonl", "sums.jsonl"):
        (folder / name).unlink()
    done = evaluate("--run", "arithmetic#2", "--compare", "arithmetic#1", "--json")
    assert done.exit_code == 0, done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)["before"]}
    assert found["number_match"]["better"] == "arithmetic#1:model"
    assert found["number_match"]["difference"]["mean"] == pytest.approx(0.5 - 0.95)
    shown = evaluate("--run", "arithmetic#2", "--compare", "arithmetic#1")
    assert "minus arithmetic#1:model" in shown.stdout and "then" in shown.stdout


def test_a_metric_that_is_scored_otherwise_is_not_compared(
    folder: Path, evaluate: Evaluate
) -> None:
    gate = {score: {"not_worse": {"by": 0.5}} for score in ("exact_match", "quality", "error")}
    tree = suite_tree({"model": {"answers": "good.jsonl"}}) | {"gate": gate}
    for extract in (None, r"It is (\d+)"):
        tree["tasks"]["sums"]["extract"] = extract
        (folder / "suite.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
        words = ("--gate", "--compare", "arithmetic", "--json") if extract else ()
        done = evaluate("suite.yaml", *words)
    assert done.exit_code == 1
    broken = [line.split(" could not tell: ")[0] for line in done.stderr.splitlines() if line]
    assert broken == ["gate: model: exact_match", "gate: model: quality"]
    found = json.loads(done.stdout)
    changed = {one["metric"]: (one["then"], one["now"]) for one in found["changed_scorers"]}
    assert set(changed) == {"exact_match", "choice_match", "number_match"}
    assert changed["exact_match"] == ("matches 1", r"matches 1 of 'It is (\\d+)'")
    names = {one["name"] for one in found["before"]}
    assert "bleu" in names and not names & {*changed, "quality", "overall"}
    said = evaluate("--run", "arithmetic#2", "--compare", "arithmetic#1")
    (line,) = [one for one in said.stdout.splitlines() if one.startswith("not comparable with")]
    assert line.startswith("not comparable with arithmetic#1: choice_match (matches 1, now ")


def test_a_run_is_never_compared_with_itself(folder: Path, evaluate: Evaluate) -> None:
    gate = {"number_match": {"not_worse": {"by": 0.02}}}
    evaluate(told(folder, gate, model="good.jsonl"))
    done = evaluate(told(folder, gate, model="bad.jsonl"), "--gate", "--compare", "arithmetic")
    assert done.exit_code == 1, "the newest of the suite is the run that has just ended"
    assert "is worse than before:model by more than 0.02" in done.stderr
    for words, line in (
        (("--run", "arithmetic#1", "--compare", "arithmetic"), "arithmetic before this one"),
        (("--run", "arithmetic#2", "--compare", "arithmetic#2"), "arithmetic#2 is this run itself"),
    ):
        done = evaluate(*words)
        assert done.exit_code == 2 and line in done.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["suite.yaml", "--gate"], "--gate: the suite has no rules under `gate`"),
        (["suite.yaml", "--compare", "spring"], "--compare: no finished run spring"),
        (["--run", "spring"], "--run: no finished run spring"),
        (["suite.yaml", "--report", "sums.jsonl"], "report: cannot make sums.jsonl: File exists"),
    ],
)
def test_what_cannot_be_is_one_line(
    folder: Path, evaluate: Evaluate, words: list[str], line: str
) -> None:
    told(folder, {}, good="good.jsonl")
    done = evaluate(*words)
    assert done.exit_code == 2
    assert done.stderr.strip().splitlines()[-1].startswith(f"vedette: {line}")


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            {"gate": {"quality": {"at_least": 0.5, "targets": ["x"]}}},
            "x is unknown; known are good",
        ),
        ({"goals": {"quality": 1}}, "quality is no amount of which less is better"),
        ({"count": ["beauty"]}, "beauty is no metric with a good end"),
        ({"gate": {"quality": {}}}, "needs at_least, at_most or not_worse"),
    ],
)
def test_a_suite_that_weighs_nonsense_is_refused(
    folder: Path, evaluate: Evaluate, more: dict[str, Any], line: str
) -> None:
    tree = suite_tree({"good": {"answers": "good.jsonl"}}) | more
    (folder / "suite.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    done = evaluate("suite.yaml")
    assert done.exit_code == 2 and line in done.stderr

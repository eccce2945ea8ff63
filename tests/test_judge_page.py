"""What a judge came to, on the page of a report, in its JSON, and for a run that is kept."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from consumers import evaluations
from consumers.cli import app
from suites.judge.readings import Reading
from suites.judge.spending import Spent
from suites.report.judged import Cell, Fact, tables_of
from tests.judged_sums import N, judged_suite
from tests.judges import obedient
from tests.live.endpoint import Endpoint
from tests.test_suite_report import near, read

pytest.importorskip("matplotlib", reason="pictures need the extra [evaluate]")

BARE = Reading("new", "tone", 0, {"judge_refused": 3}, None, 0, False, None, None)


@pytest.fixture
def fake() -> Iterator[Endpoint]:
    with Endpoint("say") as one:
        yield one


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VEDETTE_MODELS", "false")
    monkeypatch.setattr(evaluations, "embed", near)  # groups of failed prompts are no matter here
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluate(*words: str) -> None:
    done = CliRunner().invoke(app, ["evaluate", *words, "--report", "out"], catch_exceptions=False)
    assert done.exit_code == 0


def reported(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    tree = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    words, _ = read((folder / "out" / "report.html").read_text(encoding="utf-8"))
    return words.partition("What a model says of the answers")[2], tree["judge"]


def test_the_page_says_what_the_json_says(folder: Path, fake: Endpoint) -> None:
    evaluate(str(judged_suite(folder, fake)))
    words, (new, old) = reported(folder)
    assert (new["target"], old["target"]) == ("new", "old")
    estimates = new["estimates"]
    assert set(estimates) == {
        "judge", "judge + number_match", "people + judge", "bad, corrected"
    }  # fmt: skip
    for one in estimates.values():
        assert f"{one['value']:.3f} {one['lower']:.3f} to {one['upper']:.3f} n = " in words
    assert estimates["people + judge"]["lower"] < 0.8125 < estimates["people + judge"]["upper"]
    assert estimates["judge"]["upper"] < 0.8125, "the judge alone is wrong"
    assert old["calibration"] is None and set(old["estimates"]) < set(estimates)
    for name in ("agreement", "kappa", "sensitivity", "specificity"):
        rate = new["calibration"][name]
        assert f"{rate['value']:.3f} {rate['lower']:.3f} to {rate['upper']:.3f}" in words
    assert "planted answers that it judged right 9 of 9 9 of 9" in words
    assert f"{new['judged']} of {N} {N - new['judged']} sampled out" in words
    assert "judge_correctness_canaries" not in words, "nor does it stand under Speed and cost"


def test_what_it_cost_is_what_was_asked(folder: Path, fake: Endpoint) -> None:
    """Each reply has 7 and 3 tokens, at 2 and 8 dollars a million."""
    suite = str(judged_suite(folder, fake))
    evaluate(suite)
    words, readings = reported(folder)
    spent = [one["spent"] for one in readings]
    asked = len(fake.asked)
    assert sum(one["calls"] for one in spent) == asked
    assert sum(one["tokens"] for one in spent) == 10 * asked
    assert sum(one["usd"] for one in spent) == pytest.approx(asked * (7 * 2 + 3 * 8) / 1e6)
    assert all(f"{one['usd']:.4f} USD {one['calls']:,} questions" in words for one in spent)
    evaluate(suite, "--run", "release-42")
    assert reported(folder) == (words, readings), "a kept run has its judge too"
    assert len(fake.asked) == asked


def test_a_distrusted_judge_is_told_first_and_no_price_is_no_money(
    folder: Path, fake: Endpoint
) -> None:
    suite = judged_suite(folder, fake)
    tree = json.loads(suite.read_text())
    del tree["judge"]["by"]["price"]
    suite.write_text(json.dumps(tree))
    fake.say = obedient
    evaluate(str(suite))
    words, (new, old) = reported(folder)
    assert "6 of 9 distrusted: no verdict counts" in words
    assert new["distrusted"] and new["estimates"]["judge"]["value"] is None
    assert (new["spent"], old["spent"]) == (
        {"calls": 9, "tokens": 90, "usd": None}, {"calls": 0, "tokens": 0, "usd": None},
    )  # fmt: skip
    assert "no price 9 questions 90 tokens" in words


def test_what_is_not_there_has_no_row() -> None:
    (facts,) = tables_of([BARE]).values()
    assert facts == [Fact("judged", "", {"new": Cell("0 of 3", ("3 judge refused",))})]
    told = replace(BARE, spent=Spent(1_200, 34_000, 0.5), canaries=1.0, canaries_asked=2)
    (facts,) = tables_of([BARE, replace(told, target="old")]).values()
    assert [(one.name, list(one.cells)) for one in facts] == [
        ("canaries", ["old"]), ("judged", ["new", "old"]), ("spent", ["old"]),
    ]  # fmt: skip
    assert facts[-1].cells["old"] == Cell("0.5000 USD", ("1,200 questions", "34,000 tokens"))


def test_a_run_without_a_judge_has_no_such_section(folder: Path, fake: Endpoint) -> None:
    suite = judged_suite(folder, fake)
    tree = json.loads(suite.read_text())
    del tree["judge"]
    suite.write_text(json.dumps(tree))
    evaluate(str(suite))
    assert reported(folder) == ("", [])

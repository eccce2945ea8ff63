"""`vedette readout` as people and scripts call it, and the gauges of a process that runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.score import Panel
from agent.store import open_store
from consumers.cli import app
from consumers.service import watch_records
from tests.experiments import START, Told, split, told, travel
from tests.exposition import value
from tests.road import as_bytes

EXPERIMENT: dict[str, Any] = {
    "arms": {"production": 0.5, "canary": 0.5},
    "primary": "response_relevance",
    "start": START,
    "service": "support",
}


@pytest.fixture
def config(tmp_path: Path, rng: np.random.Generator) -> Path:
    """The configuration of a store with a decided experiment in it."""
    url = f"sqlite:///{tmp_path}/v.db"
    store = open_store(url)
    travel(store, told(), split(rng, 900, 0.12))
    store.close()
    file = tmp_path / "vedette.yaml"
    tree = {"store": {"url": url}, "experiments": {"x": EXPERIMENT}, "segments": ["tenant"]}
    tree["service"] = "support"
    file.write_text(json.dumps(tree))
    return file


def asked(*words: str) -> str:
    """What the command prints."""
    done = CliRunner().invoke(app, ["readout", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_table_says_the_verdict_in_words(config: Path) -> None:
    said = asked("-c", str(config))
    assert "canary is better since 2026-01-01 00:0" in said
    assert "response_relevance (primary)" in said and "95 % interval" in said


def test_how_calls_fell_on_the_arms_is_no_reason_to_distrust(config: Path) -> None:
    table, _, doubts = asked("-c", str(config)).partition("reasons to distrust it")
    (row,) = [one for one in table.splitlines() if "sample_ratio" in one]
    assert row.rstrip().endswith("that the shares hold") and "p = " in row
    assert doubts and "p = " not in doubts


def test_json_is_one_list_of_lines(config: Path) -> None:
    lines = json.loads(asked("x", "--json", "-c", str(config)))
    assert lines[0]["experiment"] == "x" and lines[0]["verdict"] == "better"
    assert lines[0]["lower"] > 0


def test_a_plan_and_a_report_are_made(config: Path, tmp_path: Path) -> None:
    found = json.loads(asked("x", "--plan", "0.05", "--json", "-c", str(config)))
    assert [one["effect"] for one in found] == [0.025, 0.05, 0.1]
    calls = [one["calls"] for one in found]
    assert calls[0] > calls[1] > calls[2] > 100
    assert calls[0] / calls[1] == pytest.approx(4, rel=0.3)
    tree = json.loads(config.read_text())
    tree["experiments"]["x"]["unit"] = "session"
    config.write_text(json.dumps(tree))
    by_session = json.loads(asked("x", "--plan", "0.05", "--json", "-c", str(config)))
    assert "each taken for a session" in by_session[0]["basis"]
    config.write_text(json.dumps(tree | {"experiments": {"x": EXPERIMENT}}))
    page = tmp_path / "x.html"
    asked("x", "--html", str(page), "-c", str(config))
    assert "better" in page.read_text(encoding="utf-8")


def test_two_variants_or_periods_are_compared_without_configuring_it(config: Path) -> None:
    def effect(*arms: str) -> dict[str, Any]:
        words = [word for arm in arms for word in ("--between", arm)]
        lines = json.loads(asked(*words, "--json", "-c", str(config)))
        assert {line["verdict"] for line in lines} == {"observational, no verdict"}
        return next(line for line in lines if line["metric"] == "response_relevance")

    whole = effect("production", "canary")
    assert whole["arms"] == ["production", "canary"] and 0.08 < whole["estimate"] < 0.16
    moment = np.datetime64(START + 220, "s")
    halves = effect(f"canary@/{moment}", f"canary@{moment}/")
    assert sum(halves["n"].values()) == whole["n"]["canary"] and min(halves["n"].values()) > 150
    assert halves["lower"] < 0 < halves["upper"]


def test_a_comparison_of_nothing_says_so(config: Path) -> None:
    said = asked("--between", "production", "--between", "blue", "-c", str(config))
    assert "no closed pane of service support has calls of both" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--between", "canary"], "--between: wants two arms or more"),
        (["--between", "a", "--between", "a"], "--between: wants two arms or more"),
        (["--between", "a@2026-01-01", "--between", "b"], "'a@2026-01-01' is neither VARIANT nor"),
        (["--between", "a@soon/", "--between", "b"], "is no ISO 8601 time"),
        (["--between", "a", "--between", "a@2026-01-01/"], "two arms share calls"),
        (["blue"], "readout: unknown experiment blue; known are x"),
        (["x", "--plan", "2"], "2 is no difference of scores"),
        (["x", "--html", "/no/such/folder/x.html"], "cannot be written"),
    ],
)
def test_what_cannot_be_read_out_is_one_line(config: Path, words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["readout", *words, "-c", str(config)])
    assert said in str(done.exception) and "\n" not in str(done.exception)


def test_a_process_shows_its_experiments_as_gauges(
    sqlite_url: str, rng: np.random.Generator
) -> None:
    store = open_store(sqlite_url)
    records = as_bytes(split(rng, 600, 0.2))
    recorder = watch_records(
        told(guardrails={"error": 0.1}), store, Panel([(Told(), 1.0)]), records
    )
    names = {"experiment": "x", "arm": "canary", "metric": "response_relevance"}
    lower = value(recorder.tally, "vedette_experiment_effect_ratio", bound="lower", **names)
    assert lower > 0
    verdicts = {
        word: value(recorder.tally, "vedette_experiment_verdict", verdict=word, **names)
        for word in ("better", "worse", "not_yet")
    }
    assert verdicts == {"better": 1.0, "worse": 0.0, "not_yet": 0.0}
    store.close()

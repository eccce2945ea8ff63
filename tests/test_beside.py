"""A run of a suite beside the live figures of the same model."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from agent.config import load_config
from agent.score import Panel
from agent.scoring import Options, load
from agent.store import open_store
from agent.store.evaluations import evaluations, packed
from consumers.cli import app
from consumers.service import watch_records
from tests.evaluated import run_suite, suite_tree, sums, write_lines
from tests.road import as_bytes, native


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A store with a run of a model that is right in 2 of 3, and live calls right in 9 of 10."""
    url = f"sqlite:///{tmp_path}/v.db"
    file = tmp_path / "vedette.yaml"
    file.write_text(json.dumps({"store": {"url": url}, "service": "support"}))
    rows = sums(120)
    write_lines(tmp_path / "sums.jsonl", rows)
    said = [{"id": row["id"], "response": row["reference"] if i % 3 else "no idea"}
            for i, row in enumerate(rows)]  # fmt: skip
    write_lines(tmp_path / "answers.jsonl", said)
    tree = suite_tree({"old": {"answers": "answers.jsonl", "model": "m-1"}}, scorers=["matches"])
    told, panel = load_config(file), Panel([(load("matches", Options()), 1.0)])
    live = [
        native(i) | {"service": "support", "model": "m-1" if i % 2 else "other",
                     "reference": "yes", "response": "yes" if (i // 2) % 10 else "no"}
        for i in range(800)
    ]  # fmt: skip
    live[1] |= {"status": "timeout", "response": None}
    with closing(open_store(url)) as store:
        run_suite(tree, tmp_path, store)
        watch_records(told, store, panel, as_bytes(live), lambda _: None)
    return file


def rescored(config: Path, scorers: list[list[str]] | None) -> None:
    """The run as if it had been scored by these, None: before that was kept."""
    with closing(open_store(json.loads(config.read_text())["store"]["url"])) as store:
        kept = None if scorers is None else packed(scorers)
        with store.transaction() as tx:
            tx.execute(update(evaluations).values(scorers=kept))


def asked(*words: str) -> str:
    done = CliRunner().invoke(app, ["readout", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_offline_and_live_figures_of_one_model(config: Path) -> None:
    rows = json.loads(asked("--offline", "arithmetic", "--json", "-c", str(config)))
    found: dict[str, Any] = {row["metric"]: row for row in rows}["exact_match"]
    assert (found["run"], found["variant"], found["model"]) == ("arithmetic#1", "production", "m-1")
    assert found["offline"]["n"] == 120 and found["offline"]["mean"] == pytest.approx(2 / 3)
    assert found["live"]["n"] == 400, "calls of the other model are not its own"
    assert found["live"]["mean"] == pytest.approx(0.9, abs=0.01)
    assert found["difference"] == found["live"]["mean"] - found["offline"]["mean"]
    assert 0 < found["lower"] < found["difference"] < found["upper"]
    assert found["lower"] == found["live"]["lower"] - found["offline"]["upper"]
    assert {row["verdict"] for row in rows} == {"observational, no verdict"}
    said = asked("--offline", "arithmetic#1", "-c", str(config))
    assert "exact_match" in said and "observational, no verdict" in said


def test_without_live_calls_of_the_model_it_says_so(config: Path) -> None:
    said = asked("--offline", "arithmetic", "--of", "canary", "-c", str(config))
    assert said.strip() == "no closed pane of service support, canary, has calls of m-1"


@pytest.mark.parametrize(
    ("scorers", "here"),
    [([["sums", "exact_match", "matches 0"]], "matches 0"), (None, "unknown"),
     ([["sums", "exact_match", "matches 1 of 'x'"]], "matches 1 of 'x'")],
)  # fmt: skip
def test_figures_of_another_scorer_have_no_difference(
    config: Path, scorers: list[list[str]] | None, here: str
) -> None:
    rescored(config, scorers)
    rows = json.loads(asked("--offline", "arithmetic", "--json", "-c", str(config)))
    found = {row["metric"]: row for row in rows}
    one = found["exact_match"]
    assert one["apart"] == f"{here}, live matches 1" and one["live"]["n"] == 400
    assert one["difference"] is one["lower"] is one["upper"] is None
    assert found["error"]["apart"] == "" and found["error"]["difference"] is not None
    said = asked("--offline", "arithmetic", "-c", str(config))
    lines = [line for line in said.splitlines() if line.startswith("not comparable")]
    assert len(lines) == 1 and f"exact_match ({here}, live matches 1)" in lines[0]

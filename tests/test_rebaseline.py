"""New baselines by decision, from the calls to come or from a period."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.config import Panes, load_config
from agent.errors import BadConfig
from agent.store import Store, open_store
from consumers import house
from consumers.cli import app
from tests.test_watch import QUICK, configured, found, records, rows, travel
from watch.rebaseline import Decision, Period, rebaseline
from watch.series import WHOLE

# Records come in the order of their starts: nothing waits for late ones, and more may come.
PROMPT = configured().model_copy(update={"panes": Panes(lateness_s=0.0)})
START = 1_767_225_600
LEVEL = ("m-production", "response_relevance", "level")
RELEVANCE = {"metric": "response_relevance", "view": "level"}


@pytest.fixture
def dropped(any_store: Store, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in which relevance dropped for good, and rings; every step keeps the house."""
    monkeypatch.setattr(house, "_HOUSE_S", 0.0)
    travel(any_store, PROMPT, records(rng, 1600, 1000, 0.15), end=False)
    assert {one["state"] for one in found(any_store)} == {"firing"}
    return any_store


def decide(
    store: Store, period: Period | None = None, wanted: dict[str, str] = RELEVANCE
) -> dict[str, object]:
    with store.transaction() as tx:
        decision = Decision(wanted, "ann", "the new prompt is shorter", period)
        return rebaseline(tx, configured(), "backfill", decision, 5.0)


def test_what_rang_is_resolved_with_who_and_why_and_learns_anew(dropped: Store) -> None:
    made = decide(dropped)
    # With the level its spread and its tail, of the model and of the service.
    assert (made["series"], made["resolved"], made["learned"]) == (6, 2, 0)
    for one in found(dropped):
        assert one["state"] == "resolved"
        assert one["rebaselined"] == "ann: the new prompt is shorter"
    assert rows(dropped, configured())[LEVEL]["state"] == "learns"


def test_a_period_gives_the_band_at_once_and_the_old_level_rings_then(dropped: Store) -> None:
    before = rows(dropped, configured())[LEVEL]["mean"]
    made = decide(dropped, Period("backfill", START + 520, START + 800))
    assert made["learned"] == 6
    row = rows(dropped, configured())[LEVEL]
    assert row["state"] == "watched" and row["mean"] == pytest.approx(before - 0.15, abs=0.03)
    more = records(np.random.default_rng(3), 2400, 9999, 0.0)[1600:]
    travel(dropped, PROMPT, more, end=False)
    rang = [one for one in found(dropped) if one["state"] == "firing"]
    assert {(one["model"], one["side"]) for one in rang} == {
        ("m-production", "above"), (WHOLE, "above"),
    }  # fmt: skip


def test_a_period_without_calls_changes_nothing(dropped: Store) -> None:
    with pytest.raises(BadConfig, match="does not hold 100 calls"):
        decide(dropped, Period("backfill", 0, 100))
    assert {one["state"] for one in found(dropped)} == {"firing"}
    assert rows(dropped, configured())[LEVEL]["state"] == "rings"


def test_a_period_of_too_few_panes_is_refused_with_that_reason(dropped: Store) -> None:
    # 380 calls, but in 19 panes.
    with pytest.raises(BadConfig, match="100 calls of them in 20 panes"):
        decide(dropped, Period("backfill", START + 520, START + 710))
    assert decide(dropped, Period("backfill", START + 520, START + 720))["learned"]


def test_how_many_calls_come_is_learned_of_as_few_panes_as_a_score(dropped: Store) -> None:
    period = Period("backfill", START + 520, START + 800)  # 28 panes, each one value
    assert decide(dropped, period, {"metric": "calls"})["learned"] == 1


def test_the_command_decides_lists_and_refuses(tmp_path: Path, rng: np.random.Generator) -> None:
    url, path = f"sqlite:///{tmp_path / 'v.db'}", tmp_path / "v.yaml"
    store = open_store(url)
    travel(store, configured(), records(rng, 1600, 1000, 0.15))
    store.close()
    path.write_text(json.dumps({"store": {"url": url}, "drift": QUICK}))
    load_config(path)

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, ["rebaseline", "-c", str(path), *words])
        if isinstance(done.exception, BadConfig):
            return str(done.exception)
        assert done.exit_code == 0, done.output
        return done.output

    assert "--why" in run("--metric", "error")
    assert "--all" in run("--why", "x")
    assert "no series" in run("--why", "x", "--metric", "nothing")
    assert "ISO 8601" in run("--why", "x", "--all", "--from", "yesterday", "--to", "2026-01-01")
    assert "nobody" in run("--list")
    assert "2 findings resolved" in run("--why", "a new prompt", "--metric", "response_relevance")
    assert "metric response_relevance" in run("--list") and "a new prompt" in run("--list")

"""Drift along the whole road: records in, closed panes, baselines, alarms, findings."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.broker import Topic
from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.findings import Finding
from agent.score import Panel
from agent.store import Store, open_store, positions, watches
from agent.store.findings import all_findings
from consumers import house
from consumers.cli import app
from consumers.findings import as_json
from consumers.listener import Listener
from tests.experiments import Told, call
from tests.road import InboxRoad, as_bytes
from watch.keeping import keep_watch, series_rows
from watch.series import WHOLE
from watch.state import Watch

TOLD = Panel([(Told(), 1.0)])
QUICK = {
    "baseline_calls": 400,
    "baseline_s": 100.0,
    "watched_series": 60,
    "false_alarms_per_year": 10.0,
}


def configured(**drift: Any) -> Config:
    return load_config(
        segments=("tenant",), models=False, inbox={"source": "backfill"}, drift=QUICK | drift
    )


def records(rng: np.random.Generator, n: int, drop_from: int, drop: float) -> list[dict[str, Any]]:
    """Calls half a second apart, scored Beta(5, 2), lower by `drop` from some call on."""
    scores = rng.beta(5, 2, n) - drop * (np.arange(n) >= drop_from)
    return [call(at, float(max(score, 0.0))) for at, score in enumerate(scores)]


def travel(store: Store, config: Config, some: list[dict[str, Any]], end: bool = True) -> InboxRoad:
    road = InboxRoad(store, config, TOLD)
    road.inbox.append(as_bytes(some))
    road.drain()
    if end:
        road.worker.finish("backfill")
    return road


def found(store: Store) -> list[dict[str, Any]]:
    with store.transaction() as tx:
        return [as_json(one, None) for one in all_findings(tx, 100)]


def rows(store: Store, config: Config) -> dict[tuple[str, str, str], dict[str, Any]]:
    with store.transaction() as tx:
        every = series_rows(tx, config, "backfill")
    return {(row["model"], row["metric"], row["view"]): row for row in every}


def test_a_drop_is_found_in_the_model_and_in_the_service_with_its_onset(
    any_store: Store, rng: np.random.Generator
) -> None:
    config = configured()
    travel(any_store, config, records(rng, 1600, 1000, 0.15))
    rang = [one for one in found(any_store) if one["metric"] == "response_relevance"]
    assert {one["model"] for one in rang} == {"m-production", WHOLE}
    start = 1_767_225_600 + 500
    for one in rang:
        assert one["state"] == "firing" and one["side"] == "below"
        assert abs(one["onset"] - start) <= 60 and start < one["began"] < start + 100
        assert one["lower"] < one["effect"] < one["upper"] < 0
        assert one["effect"] == pytest.approx(-0.15, abs=0.04)
    assert {one["metric"] for one in found(any_store)} == {"response_relevance"}


def test_back_in_its_band_a_finding_is_resolved_and_may_ring_again(
    store: Store, rng: np.random.Generator
) -> None:
    config = configured()
    scores = rng.beta(5, 2, 4000)
    scores[1000:1400] -= 0.2
    scores[3400:] -= 0.2
    travel(store, config, [call(at, float(max(s, 0))) for at, s in enumerate(scores)])
    mine = [one for one in found(store) if one["model"] == WHOLE]
    assert [one["state"] for one in mine] == ["firing", "resolved"]
    assert mine[0]["began"] > mine[1]["began"]


def test_a_restart_sees_every_pane_once(store: Store, tmp_path: Path) -> None:
    rng, config = np.random.default_rng(5), configured()
    every = records(rng, 1600, 1000, 0.15)
    travel(store, config, every)
    cut = open_store(f"sqlite:///{tmp_path / 'cut.db'}")
    reached = set()
    for first in range(0, 1600, 400):
        travel(cut, config, every[first : first + 400], end=first == 1200)
        with cut.transaction() as tx:
            keep_watch(tx, config, "backfill", 0.0)
            stored = watches.load_watch(tx, "backfill")
            reached.add(stored and Watch.from_bytes(stored.body, stored.bases, 60).reached)
    assert len(reached) > 2
    assert found(cut) == found(store)
    with store.transaction() as a, cut.transaction() as b:
        assert keep_watch(a, config, "backfill", 0.0) is None
        one, other = watches.load_watch(a, "backfill"), watches.load_watch(b, "backfill")
    assert one is not None and other is not None and one.body == other.body
    cut.close()


def test_what_cannot_be_told_says_so(store: Store, rng: np.random.Generator) -> None:
    config = configured(watched_series=3)
    travel(store, config, records(rng, 300, 300, 0.0))
    seen = rows(store, config)
    assert {row["state"] for row in seen.values()} == {"learns", "no slot", "no value"}
    assert seen["m-production", "feedback", "level"]["state"] == "no value"  # nobody judged
    assert sum(row["state"] == "no slot" for row in seen.values()) > 3
    assert sum(row["state"] == "learns" for row in seen.values()) == 3
    assert found(store) == []


def test_sources_share_the_slots(store: Store, rng: np.random.Generator) -> None:
    config, names = configured(watched_series=6), set()
    for source in ("first", "second"):
        told = config.model_copy(update={"inbox": Topic(source=source)})
        road = InboxRoad(store, told.model_copy(update={"backfill": (source,)}), TOLD)
        some = records(rng, 60, 60, 0.0)
        own = [one | {"model": source, "id": f"{source}-{one['id']}"} for one in some]
        road.inbox.append(as_bytes(own))
        road.drain()
        road.worker.finish(source)
        with store.transaction() as tx:
            rows = series_rows(tx, config, source)
        names |= {(source, *row.values()) for row in rows if row["state"] == "learns"}
    assert len(names) == 6


class Heard(Listener):
    """What the house says of drift."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def found(self, findings: Sequence[Finding]) -> None:
        self.said.append(len(findings))

    def resigned(self) -> None:
        self.said.append("resigned")


def test_only_who_closes_says_what_rings(
    store: Store, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "_HOUSE_S", 0.0)
    config = configured()
    travel(store, config, records(rng, 1600, 1000, 0.15))
    again, heard = InboxRoad(store, config, TOLD), Heard()
    again.worker.house.listener = heard
    again.drain()
    assert heard.said == [2]
    with store.transaction() as tx:
        assert positions.take_lease(tx, "closer", "another", time.time() + 100, 1000.0)
    again.drain()
    assert heard.said == [2, "resigned"]
    with store.transaction() as tx:
        positions.drop_lease(tx, "another")
    again.drain()
    assert heard.said == [2, "resigned", 2]


def test_a_constant_series_is_watched_and_its_end_is_found(
    store: Store, rng: np.random.Generator
) -> None:
    config = configured()
    some = [call(at, 1.0 if at < 900 else 0.9) for at in range(1500)]
    travel(store, config, some)
    row = rows(store, config)["m-production", "response_relevance", "level"]
    assert row["mean"] == 1.0 and row["upper"] == 1.0 and 0.9 < row["lower"] < 1.0
    assert [one["side"] for one in found(store) if one["model"] == WHOLE] == ["below"]


def test_ten_thousand_labels_start_no_storm(store: Store, rng: np.random.Generator) -> None:
    config = configured()
    some = [one | {"model": f"m-{at}"} for at, one in enumerate(records(rng, 1500, 1500, 0.0))]
    travel(store, config, some)
    assert found(store) == []
    assert len(rows(store, config)) >= 60


@pytest.fixture
def file(tmp_path: Path, rng: np.random.Generator) -> Path:
    """The configuration of a store in which something rings."""
    url = f"sqlite:///{tmp_path / 'v.db'}"
    store = open_store(url)
    travel(store, configured(), records(rng, 1600, 1000, 0.15))
    store.close()
    path = tmp_path / "vedette.yaml"
    path.write_text(json.dumps({"store": {"url": url}, "drift": QUICK}))
    return path


def test_the_command_lists_findings_and_series(file: Path) -> None:
    def asked(*words: str) -> str:
        done = CliRunner().invoke(app, ["findings", "-c", str(file), *words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "firing" in asked() and "response_relevance of support / m-production" in asked()
    rings = json.loads(asked("--json"))
    assert {one["state"] for one in rings} == {"firing"}
    # How far it moved stands beside how far it does by chance.
    for far in (one["distances"] for one in rings):
        assert all(far[name]["value"] > 2 * far[name]["by_chance"] for name in far)
        assert set(far) == {"js", "psi", "ks", "wasserstein"}
    states = {one["state"] for one in json.loads(asked("--series", "--json"))}
    assert states == {"learns", "no value", "rings", "watched"}
    assert "watched" in asked("--series")


def test_without_a_configuration_it_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "v.yaml"
    path.write_text("store: {url: 'sqlite:///x.db'}\n")
    done = CliRunner().invoke(app, ["findings", "-c", str(path)])
    assert isinstance(done.exception, BadConfig) and "drift" in str(done.exception)


def test_a_share_of_what_is_no_segment_is_refused() -> None:
    assert load_config(segments=("tenant",), drift={"mix": ["tenant", "model"]}).drift
    with pytest.raises(BadConfig, match=r"drift\.mix.*tenants, which `segments`"):
        load_config(segments=("tenant",), drift={"mix": ["tenants"]})

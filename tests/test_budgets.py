"""Error budgets along the whole road: which calls count, and what the process and command say."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.config import load_config
from agent.errors import BadConfig
from agent.findings import Finding
from agent.store import Store, open_store
from consumers import house
from consumers.cli import app
from consumers.listener import Listener
from tests.burning import START
from tests.road import InboxRoad, as_bytes, native
from watch.pace import Standing


class Heard(Listener):
    """What the house says of budgets."""

    def __init__(self) -> None:
        self.standing: list[Standing] = []
        self.findings: list[Finding] = []

    def burned(self, standing: Sequence[Standing], findings: Sequence[Finding]) -> None:
        self.standing = list(standing)
        self.findings += findings


# A quarter before the hour: then some minutes are in an hour that is over.
BEGIN = START + 2700
SLO = {
    "works": {"metric": "error", "target": 0.99},
    "fast": {"metric": "latency", "at_most": 1.0, "target": 0.9, "window_days": 7},
    "cheap": {"metric": "cost", "at_most": 0.01},
}


def on_the_road(store: Store, monkeypatch: pytest.MonkeyPatch) -> Heard:
    """Half an hour of calls of which every tenth fails, their shadows, and one that is too late."""
    monkeypatch.setattr(house, "_HOUSE_S", 0.0)
    config = load_config(
        slo=SLO, models=False, inbox={"source": "backfill"}, segments=("tenant",),
        panes={"lateness_s": 60.0},
    )  # fmt: skip
    records = [
        native(
            at, at=BEGIN + at, model=f"m-{at % 2}", segment={"tenant": "acme"}, latency_s=0.5,
            status="error" if at % 10 == 9 else "ok",
        )
        for at in range(1800)
    ]  # fmt: skip
    twins = [
        one | {"variant": ("shadow:new", "probe:new")[at % 2], "status": "error"}
        for at, one in enumerate(records)
    ]
    late = native(2000, at=BEGIN + 5, status="error", latency_s=900.0)
    road, heard = InboxRoad(store, config), Heard()
    road.worker.house.listener = heard
    for first in range(0, 1800, 400):
        road.inbox.append(as_bytes([*records[first : first + 400], *twins[first : first + 400]]))
        road.drain()
    road.inbox.append(as_bytes([late]))
    road.drain()
    road.worker.finish("backfill")
    return heard


def test_along_the_road_production_calls_count_once_and_shadows_and_late_ones_never(
    any_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = on_the_road(any_store, monkeypatch)
    found = {(one.service, one.objective): one for one in heard.standing}
    assert list(found) == [("support", "fast"), ("support", "works")]  # a target has a budget
    works, fast = found["support", "works"], found["support", "fast"]
    assert (works.bad, works.calls) == (180, 1800)
    assert (fast.bad, fast.calls) == (0, 1800)
    assert works.budget_remaining == pytest.approx(1 - 10)
    # Ten times too fast: too slow for the hour, too fast for six and for the days.
    firing = {one.name[2][1]: one for one in heard.findings if one.state == "firing"}
    assert set(firing) == {"30m/6h", "2h/1d", "6h/3d"}
    # Each rings with its third failure, told at the end of that minute.
    assert {one.began for one in firing.values()} == {BEGIN + 60}


def test_what_a_process_says_of_a_store_is_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'v.db'}"
    store = open_store(url)
    on_the_road(store, monkeypatch)
    store.close()
    path = tmp_path / "vedette.yaml"
    path.write_text(json.dumps({"store": {"url": url}, "slo": SLO}))
    done = CliRunner().invoke(app, ["slo", "-c", str(path), "--json"])
    assert done.exit_code == 0, done.output
    (fast, works) = json.loads(done.output)
    assert (works["objective"], works["bad"], works["calls"]) == ("works", 180, 1800)
    assert works["source"] == "backfill" and works["burn_rates"]["6h"] == pytest.approx(10)
    assert works["burn_rates"]["5m"] is None and fast["state"] == "calm"
    shown = CliRunner().invoke(app, ["slo", "-c", str(path)]).output
    assert "works of support" in shown and "99 %" in shown and "-900.0%" in shown


def test_without_a_target_the_command_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "v.yaml"
    path.write_text("store: {url: 'sqlite:///x.db'}\nslo: {fast: {at_most: 1}}\n")
    done = CliRunner().invoke(app, ["slo", "-c", str(path)])
    assert isinstance(done.exception, BadConfig)
    assert str(done.exception) == "slo: no objective has a target"


def test_hours_of_minutes_are_asked_of_the_store() -> None:
    with pytest.raises(BadConfig, match=r"^panes.minute_hours: "):
        load_config(slo=SLO, panes={"minute_hours": 7})

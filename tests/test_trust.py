"""Reasons to distrust a readout: a control that drifts by itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent.findings import Finding
from agent.store import Store
from agent.store.findings import put_findings
from consumers.server.memory import Memory
from tests.experiments import NOW, START, line, read, split, told, travel

LATENCY = {
    "service": "support",
    "model": "m-production",
    "variant": "production",
    "metric": "latency",
}


def drifted(name: dict[str, str], onset: float = 60, **more: Any) -> Finding:
    """A series that left its baseline so long after the start."""
    at = int(START + onset)
    made = Finding("drift", tuple((LATENCY | name).items()), "firing", "warning", at + 30, at + 40,
                   "it moved", facts=(("onset", at),))  # fmt: skip
    return replace(made, **more)


@pytest.fixture
def warned(store: Store, rng: np.random.Generator) -> Any:
    """What the readout of a run of ten minutes warns of once findings are there."""
    config = told(arms={"production": {"share": 0.5, "model": "m-production"}, "canary": 0.5})
    travel(store, config, split(rng, 1200, 0.0))

    def warnings(*found: Finding) -> list[str]:
        with store.transaction() as tx:
            put_findings(tx, "file:x", found, NOW)
        lines = read(store, config)
        return [one for one in line(lines, role="primary").warnings if "baseline" in one]

    return warnings


def test_a_control_that_drifts_while_an_experiment_runs_is_said(warned: Any) -> None:
    rank = drifted({"view": "rank"}, onset=70)
    found = warned(drifted({}), drifted({"metric": "error"}, onset=90), rank)
    assert found == [
        "production, the control, itself left its baseline while this ran: error, latency"
        " since 2026-01-01 00:01:00Z"
    ]


@pytest.mark.parametrize(
    "other",
    [
        drifted({"variant": "canary"}),
        drifted({"service": "search"}),
        drifted({"model": "another"}),
        drifted({"segment": "tenant=a"}),
        drifted({}, onset=3600),
        drifted({}, onset=-900, state="resolved", as_of=START - 60),
    ],
)
def test_what_is_not_of_the_control_or_not_of_its_time_is_not_said(
    warned: Any, other: Finding
) -> None:
    assert warned(other) == []


def test_a_page_hears_of_it_before_another_pane_is_closed(
    store: Store, rng: np.random.Generator
) -> None:
    config, memory = told(), Memory()
    travel(store, config, split(rng, 1200, 0.0))

    def doubts() -> str:
        with store.transaction() as tx:
            return str([one.warnings for one in memory.readout(tx, config, "x", NOW)[0]])

    assert "left its baseline" not in doubts()
    with store.transaction() as tx:
        put_findings(tx, "file:x", [drifted({})], NOW)
    assert "left its baseline" in doubts()

"""What an objective may say of itself, and which calls breach it."""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from agent.catalog import METRICS
from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.record import Call, Score, unscored
from agent.score import Panel, load_panel
from agent.sla import Objective, targeted
from agent.store import Store, experiments, reads, tables
from agent.summaries import Summary
from consumers.metrics import Tally
from tests.exposition import GROUP, group, value
from tests.road import InboxRoad, as_bytes, native


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ({"metric": "smell", "at_most": 1}, "slo.x: unknown metric smell; see `vedette catalog`"),
        ({"metric": "slo_x", "at_most": 1}, "slo.x: unknown metric slo_x; see `vedette catalog`"),
        ({"at_most": 1, "at_least": 1}, "slo.x: takes at_most or at_least, not both"),
        ({}, "slo.x: needs at_most or at_least: latency has no threshold"),
        ({"metric": "response_relevance"}, "slo.x: needs at_most or at_least: response_relevance"),
        ({"at_most": 0}, "slo.x: at_most of latency must be above 0, not 0"),
        ({"at_most": float("inf")}, "slo.x.at_most: Input should be a finite number"),
        ({"at_least": float("nan")}, "slo.x.at_least: Input should be a finite number"),
        ({"metric": "response_toxicity", "at_most": 1.5}, "must be in [0, 1], with calls on both"),
        ({"metric": "response_toxicity", "at_most": 1}, "must be in [0, 1], with calls on both"),
        ({"metric": "response_relevance", "at_least": 0}, "must be in [0, 1], with calls on both"),
        ({"at_most": 1, "target": 1}, "slo.x.target: Input should be less than 1"),
        ({"at_most": 1, "target": 0}, "slo.x.target: Input should be greater than 0"),
        ({"at_most": 1, "target": 99}, "slo.x.target: Input should be less than 1"),
        ({"at_most": 1, "window_days": 0}, "slo.x.window_days: "),
        ({"at_most": 1, "colour": "red"}, "slo.x.colour: unknown key"),
        ({"at_most": "fast"}, "slo.x.at_most: "),
    ],
)
def test_a_bad_objective_is_one_line_that_names_the_key(
    objective: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadConfig) as error:
        load_config(slo={"x": objective})
    assert said in str(error.value) and "\n" not in str(error.value)


def test_an_objective_that_no_scorer_feeds_is_refused_before_a_record_is_read() -> None:
    slo = {"kind": {"metric": "response_toxicity"}, "fast": {"at_most": 1}}
    with pytest.raises(BadConfig, match=r"^slo.kind: no scorer that is on gives response_toxicity"):
        load_panel(load_config(models=False, slo=slo))


@pytest.mark.parametrize("row", [row for row in METRICS if row.bar is not None], ids=str)
def test_without_a_limit_a_breach_is_what_the_exporter_counts_as_failed(row: Any) -> None:
    values = np.array([0.0, 0.49, 0.5, 0.79, 0.8, 0.95, 1.0])
    breached = Objective(metric=row.name).breached(values)
    tally = Tally()
    tally.observe(GROUP, row.name, values, {})
    labels = group(metric=row.name, label="fail")
    assert value(tally, "vedette_evaluations_total", **labels) == breached.sum() > 0
    assert breached[-1] != (row.good == "high") and breached[0] == (row.good == "high")


def test_what_a_flag_means_changes_with_its_limit_and_its_scorer_and_not_with_its_target() -> None:
    told = [
        Objective(at_most=8).version(),
        Objective(at_most=8.5).version(),
        Objective(at_most=1234567).version(),
        Objective(at_most=1234568).version(),
        Objective(at_least=8).version(),
        Objective(metric="ttft", at_most=8).version(),
        Objective(metric="response_toxicity").version(),
        Objective(metric="response_toxicity").version("toxicity 1"),
        Objective(metric="response_toxicity").version("toxicity 2"),
        Objective(metric="response_toxicity", at_most=0.8).version("toxicity 2"),
    ]
    assert len(set(told)) == len(told)
    assert told[0] == "latency 8"  # as it was when only record metrics had objectives
    assert Objective(at_most=8, target=0.99, window_days=7).version() == told[0]


class Said:
    """The scores that the answer states as JSON; one that it does not state is not asked for."""

    name, version = "said", "7"
    metrics: tuple[str, ...] = ("response_toxicity", "response_relevance", "response_json_valid")

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        given = [json.loads(call.response or "{}") for call in calls]
        return {
            name: [Score(one[name]) if name in one else unscored("not_asked") for one in given]
            for name in self.metrics
        }


SLO: dict[str, Any] = {
    "fast": {"metric": "latency", "at_most": 1.0},
    "works": {"metric": "error", "target": 0.99},
    "cheap": {"metric": "cost", "at_most": 0.01},
    "kind": {"metric": "response_toxicity"},
    "strict": {"metric": "response_toxicity", "at_most": 0.1},
    "relevant": {"metric": "response_relevance", "at_least": 0.4},
    "valid": {"metric": "response_json_valid"},
    "long": {"metric": "tokens_out", "at_least": 5},
    "liked": {"metric": "feedback", "at_least": 0.5},
}


def config_of(**changes: Any) -> Config:
    return load_config(slo=SLO, models=False, inbox={"source": "backfill"}, **changes)


def said(number: int, latency_s: float, cost: float | None, **scores: float) -> dict[str, Any]:
    return native(
        number, model="m", latency_s=latency_s, cost_usd=cost, response=json.dumps(scores)
    )


RECORDS = [
    said(0, 1.0, 0.01, response_toxicity=0.8, response_relevance=0.4, response_json_valid=1.0),
    said(1, 1.1, 0.02, response_toxicity=0.79, response_relevance=0.39, response_json_valid=0.0),
    said(2, 9.0, None, response_toxicity=0.1),
    native(3, model="m", latency_s=None, status="timeout", response=None, tokens_out=4),
    {"feedback_for": "call-0", "at": 1_767_225_610, "value": -1},
    {"feedback_for": "call-1", "at": 1_767_225_610, "value": 1},
]


def flags(store: Store, records: Sequence[dict[str, Any]] = RECORDS) -> dict[str, Summary]:
    """The flags of the one closed pane that these records come to."""
    road = InboxRoad(store, config_of(), Panel([(Said(), 1.0)]))
    road.inbox.append(as_bytes(list(records)))
    road.drain()
    road.worker.finish("backfill")
    with store.transaction() as tx:
        ((_, _, _, row),) = reads.pane_rows(tx, 0, 4e9, 10)
    return {name: one for name, one in row.summaries.items() if name.startswith("slo_")}


def test_each_kind_of_metric_makes_its_flag_and_what_is_unscored_is_not_counted(
    any_store: Store,
) -> None:
    found = flags(any_store)
    counted = {name: (one.bins.get(256, 0), one.n) for name, one in found.items()}
    assert counted == {
        "slo_fast": (2, 3), "slo_works": (1, 4), "slo_cheap": (1, 2), "slo_kind": (1, 3),
        "slo_strict": (2, 3), "slo_relevant": (1, 2), "slo_valid": (1, 2), "slo_long": (1, 4),
        "slo_liked": (1, 2), "slo_long|failed": (1, 1),
    }  # fmt: skip
    assert found["slo_relevant"].missing.words == {"not_asked": 2}
    assert found["slo_fast"].missing.words == {"timeout": 1}
    assert "timeout" not in found["slo_liked"].missing.words


def test_the_row_of_a_call_says_its_flags_and_why_one_is_missing(any_store: Store) -> None:
    flags(any_store)
    with any_store.transaction() as tx:
        rows = tx.execute(select(tables.calls))
        held = {row.id: json.loads(row.scores) for row in rows}
        (versions,) = experiments.all_panels(tx).values()
    assert (held["call-0"]["slo_kind"], held["call-1"]["slo_kind"]) == (1.0, 0.0)
    assert held["call-2"]["why"]["slo_relevant"] == "not_asked"
    assert versions["slo_kind"] == "response_toxicity by the catalogue 0.8, said 7"
    assert versions["slo_relevant"] == "response_relevance from 0.4, said 7"
    assert versions["slo_fast"] == "latency 1"


def test_the_objectives_that_the_page_shows_are_accepted(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "slo.md").read_text(encoding="utf-8")
    shown = re.search(r"^    slo:\n(?:      .+\n)+", text, re.M)
    assert shown is not None
    (tmp_path / "v.yaml").write_text(textwrap.dedent(shown[0]))
    assert len(targeted(load_config(tmp_path / "v.yaml").slo)) >= 3

"""promtool's own tests: every alert rings on its cause, ends with it, and on nothing else."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.rules import every_alert
from consumers.cli_rules import rule_text
from tests.rules import CASES, Case, everything, tool


def unit_test(case: Case, name: str) -> dict[str, Any]:
    """A case as promtool reads it: silent at minute 4, then ringing, then not."""
    labels = case.labels | {"alertname": name, "alertstate": "firing"}
    told = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    which = ('{long="' + case.labels["long"] + '"}') if "long" in case.labels else "{}"
    asked = f'ALERTS{{alertname="{name}",alertstate="firing",{which[1:]}'.replace(",}", "}")
    rings = {"labels": f"ALERTS{{{told}}}", "value": 1}
    times: dict[int, list[Any]] = {4: [], case.rings: [rings], case.ends: []}
    return {
        "interval": "1m",
        "input_series": [{"series": key, "values": row} for key, row in case.series.items()],
        "promql_expr_test": [
            {"expr": asked, "eval_time": f"{at}m", "exp_samples": found}
            for at, found in times.items()
        ],
    }


def promtool_test(folder: Path, tests: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    (folder / "rules.yml").write_text(rule_text(everything()))
    tree = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    (folder / "tests.yml").write_text(yaml.safe_dump(tree))
    words = (tool("promtool"), "test", "rules", "tests.yml")
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=400)


def test_every_alert_rings_on_its_cause_and_ends_with_it(tmp_path: Path) -> None:
    wanted = {(alert.name, dict(alert.labels).get("long")) for alert, _ in every_alert()}
    assert {(n, c.labels.get("long")) for n, cases in CASES.items() for c in cases} == wanted
    tests = [unit_test(case, name) for name, cases in CASES.items() for case in cases]
    done = promtool_test(tmp_path, tests)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_that_does_not_ring_is_caught(tmp_path: Path) -> None:
    (case,) = CASES["VedetteNotReady"]
    quiet = unit_test(case, "VedetteNotReady")
    quiet["input_series"][0]["values"] = "1x30"
    assert promtool_test(tmp_path, [quiet]).returncode != 0


_CALM = 'job="v",instance="a",service="shop",model="m"'
_SLO = 'metric="slo_fast"'


@pytest.mark.parametrize(
    "series",
    [
        # One failed call of three at night.
        {f'vedette_evaluations_total{{{_CALM},variant="production",{_SLO},label="fail"}}':
         "0x30 1x90",
         f'vedette_evaluations_total{{{_CALM},variant="production",{_SLO},label="pass"}}':
         "0x30 2x90"},
        # A service that hovers at its target.
        {f'vedette_evaluations_total{{{_CALM},variant="production",{_SLO},label="fail"}}': "0+1x99",
         f'vedette_evaluations_total{{{_CALM},variant="production",{_SLO},label="pass"}}':
         "0+90x99"},
        # A shadow that answers badly, and no other call of that service.
        {f'vedette_evaluations_total{{{_CALM},variant="shadow:x",{_SLO},label="fail"}}': "0+60x99",
         f'vedette_requests_total{{{_CALM},variant="shadow:x",status="ok"}}': "0+60x40 2400x60"},
        # A small service that is silent for hours, and one that never had a call.
        {f'vedette_requests_total{{{_CALM},variant="production",status="ok"}}': "0+1x20 20x99",
         'vedette_build_info{job="v",instance="a",version="1"}': "1x120", 'up{job="v"}': "1x120"},
        # An import of old calls within some minutes, and nothing after it.
        {f'vedette_requests_total{{{_CALM},variant="production",status="ok"}}':
         "0x20 0+9999x9 90000x90"},
        # Of another job.
        {'up{job="other",instance="b"}': "1x9 0x99"},
        # A replica that goes, while another one stays.
        {'vedette_build_info{job="v",instance="a",version="1"}': "1x9 stale",
         'vedette_build_info{job="v",instance="b",version="1"}': "1x120"},
        # One record of a thousand is set aside, and nine of ten are.
        {'vedette_dead_letters_total{job="v",reason="empty"}': "0+1x99",
         'vedette_records_total{job="v",topic="t",outcome="parsed"}': "0+1000x99"},
        {'vedette_dead_letters_total{job="v",reason="empty"}': "0x20 9x99",
         'vedette_records_total{job="v",topic="t",outcome="parsed"}': "0x20 10x99"},
        # A backfill that is over, a live source that goes on, and who closed it before.
        {'vedette_closed_through_timestamp_seconds{job="v",instance="a",source="backfill"}':
         "9x120",
         'vedette_closed_through_timestamp_seconds{job="v",instance="a",source="live"}':
         "0+60x20 1200x99",
         'vedette_closed_through_timestamp_seconds{job="v",instance="b",source="live"}':
         "_x20 1260+60x99", 'vedette_ready{job="v",instance="a"}': "1x120"},
        # A database that is away for an hour: that rings by itself.
        {'vedette_closed_through_timestamp_seconds{job="v",instance="a",source="live"}':
         "0+60x20 1200x60 4800+60x40"},
        # An experiment that is over.
        {'vedette_experiment_verdict{experiment="re.write",arm="canary",metric="m",verdict="worse"}':
         "1x120", 'vedette_experiment_events{experiment="re.write",arm="canary"}': "99x120"},
    ],
)  # fmt: skip
def test_what_is_no_cause_does_not_ring(series: dict[str, str], tmp_path: Path) -> None:
    asked = [
        {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{at}m", "exp_samples": []}
        for at in range(5, 120, 5)
    ]
    rows = [{"series": key, "values": row} for key, row in series.items()]
    test = {"interval": "1m", "input_series": rows, "promql_expr_test": asked}
    done = promtool_test(tmp_path, [test])
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_counter_that_is_seen_again_after_a_pause_did_not_grow(tmp_path: Path) -> None:
    rows = [{"series": 'vedette_records_lost_total{job="v",topic="t"}', "values": "7x20 _x60 7x30"}]
    # Prometheus cannot know when a worker began that it sees for the first time.
    expected = {5: [{"labels": '{topic="t"}', "value": 1}], 19: [], 85: [], 100: []}
    asked = [
        {"expr": 'sum by (topic) (ALERTS{alertstate="firing"})', "eval_time": f"{at}m",
         "exp_samples": found} for at, found in expected.items()
    ]  # fmt: skip
    test = {"interval": "1m", "input_series": rows, "promql_expr_test": asked}
    done = promtool_test(tmp_path, [test])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_budget_that_is_left_is_recorded(tmp_path: Path) -> None:
    group = f'{_CALM},variant="production",{_SLO}'
    rows = [
        {"series": f'vedette_evaluations_total{{{group},label="fail"}}', "values": "0+1x60"},
        {"series": f'vedette_evaluations_total{{{group},label="pass"}}', "values": "0+399x60"},
    ]
    fast = 'objective="fast"'
    left = "service_objective:vedette_slo_error_budget_remaining:ratio_rate30d"
    asked = [
        # A quarter of a percent of one percent is spent.
        {"expr": f"round({left} * 1e6)", "labels": f'{{{fast},service="shop"}}', "value": 750_000},
        {"expr": f"objective:vedette_slo_objective:ratio{{{fast}}}",
         "labels": f"objective:vedette_slo_objective:ratio{{{fast}}}", "value": 0.99},
    ]  # fmt: skip
    checks = [{"expr": one.pop("expr"), "eval_time": "50m", "exp_samples": [one]} for one in asked]
    done = promtool_test(
        tmp_path, [{"interval": "1m", "input_series": rows, "promql_expr_test": checks}]
    )
    assert done.returncode == 0, done.stdout + done.stderr

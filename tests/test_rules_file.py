"""`vedette rules`: what it writes for whom, and that every alert rings and ends as it should."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from agent.config import load_config
from agent.durations import seconds, span
from agent.errors import BadConfig
from agent.exposed import SERIES
from agent.rules import alerts, every_alert, groups
from agent.rules.forms import pyrra, sloth
from agent.rules.rule import Record
from agent.sla import CONDITIONS
from consumers.cli import app
from consumers.cli_rules import RuleForm, alert_table, rule_text
from tests.rules import everything, said, tool

ROOT = Path(__file__).parents[1]


def names(**config: Any) -> set[str]:
    return {alert.name for alert in alerts(groups(load_config(**config)))}


PIPELINE = {
    *("VedetteDown", "VedetteWorkerDown", "VedetteNotReady", "VedetteNoData", "VedetteLag"),
    *("VedetteLedgerGap", "VedetteRecordsLost", "VedetteDeadLetters", "VedetteLateCalls"),
    *("VedetteStoreFilling", "VedetteLabelOverflow", "VedetteScorerFailure", "VedetteNotClosing"),
}


def test_only_what_is_configured_has_rules() -> None:
    assert names(models=False) == PIPELINE
    assert names() == PIPELINE | {"VedetteToxicity"}
    assert names(scorers={"toxicity": {"enabled": False}}) == PIPELINE
    fast = {"metric": "latency", "at_most": 8}
    assert names(models=False, slo={"fast": fast}) == PIPELINE
    aimed = {"fast": fast | {"target": 0.9}}
    assert names(models=False, slo=aimed) == PIPELINE | {"VedetteErrorBudgetBurn"}
    assert names(models=False, drift={}) == PIPELINE | {"VedetteDrift"}
    experiments = everything().experiments
    assert names(models=False, experiments={"x": experiments["back"]}) == PIPELINE
    invalid = PIPELINE | {"VedetteExperimentInvalid"}
    assert names(models=False, experiments={"x": experiments["next"]}) == invalid
    assert names(models=False, experiments={"x": experiments["self"]}) == invalid | {
        "VedetteSampleRatio"
    }
    assert names(models=False, experiments={"x": experiments["re.write"]}) == invalid | {
        "VedetteSampleRatio",
        "VedetteExperimentHarm",
    }


def test_every_alert_says_what_is_and_what_to_do() -> None:
    for alert in alerts(groups(everything())):
        assert re.fullmatch(r"Vedette([A-Z][a-z]+)+", alert.name)
        assert alert.severity in ("critical", "warning")
        assert alert.summary and "$value | humanize" in alert.description
        assert re.search(r" 1\. .+ 2\. ", alert.runbook), alert.name
        commands = re.findall(r"`vedette ([\w-]+)", alert.runbook)
        assert commands, alert.name
        for command in commands:
            assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command


def test_every_series_of_a_rule_is_exported_or_recorded() -> None:
    found = groups(everything())
    recorded = {rule.name for group in found for rule in group.rules if isinstance(rule, Record)}
    exported = {row.name for row in SERIES} | {"vedette_score_ratio_count"}
    for group in found:
        for rule in group.rules:
            bare = re.sub(r'"[^"]*"', "", rule.expr)
            for name in re.findall(r"[\w:]*vedette_[\w:]+", bare):
                assert name in (recorded if ":" in name else exported), name


def test_times_are_scaled_and_names_are_not() -> None:
    plain, quick = (rule_text(everything(), scale=scale) for scale in (1.0, 60.0))
    assert quick == rule_text(everything(), scale=60.0) != plain
    assert re.findall(r"(?:record|alert): (.+)", quick) == re.findall(
        r"(?:record|alert): (.+)", plain
    )
    windows = re.findall(r"(?<=\[)\w+(?=[\]:])|(?<=offset\s)\w+|(?<=for: )\w+", quick)
    assert set(windows) == {
        *("5s", "10s", "15s", "30s", "1m", "2m", "6m", "24m", "1h12m", "12h", "2h48m")
    }
    assert "* 15 >= 20" in quick and "* 900 >= 20" in plain
    fastest = rule_text(everything(), scale=1e6)
    assert set(re.findall(r"(?<=for: )\w+", fastest)) == {"1s"}
    assert [span(x) for x in (0, 0.5, 7.5, 90, 5400)] == [
        "0s",
        "500ms",
        "7s500ms",
        "1m30s",
        "1h30m",
    ]
    assert seconds("3d") == 259_200


@pytest.mark.parametrize("form", [RuleForm.prometheus, RuleForm.operator])
@pytest.mark.parametrize("scale", [1.0, 7.0, 60.0, 1e6])
def test_prometheus_takes_the_rules(form: RuleForm, scale: float, tmp_path: Path) -> None:
    tree = yaml.safe_load(rule_text(everything(), form, scale))
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(tree.get("spec", tree)))
    assert "SUCCESS" in said(tool("promtool"), "check", "rules", str(file))
    if form == RuleForm.operator:
        assert (tree["apiVersion"], tree["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
        assert tree["metadata"]["name"] and tree["spec"]["groups"]


def test_sloth_reads_the_objectives() -> None:
    tree = sloth(everything())
    assert (tree["version"], tree["service"]) == ("prometheus/v1", "default")
    assert [(one["name"], one["objective"]) for one in tree["slos"]] == [
        ("fast", 99.0),
        ("kind", 99.5),
        ("works", 90.0),
    ]
    events = tree["slos"][0]["sli"]["events"]
    for query in (events["error_query"], events["total_query"]):
        assert query.endswith("[{{.window}}]))") and 'service="default"' in query
    assert events["total_query"] == events["error_query"].replace(',label="fail"', "")
    assert tree["slos"][0]["alerting"]["page_alert"]["labels"]["severity"] == "critical"
    assert list(yaml.safe_load_all(rule_text(everything(), RuleForm.sloth))) == [tree]


def test_pyrra_reads_the_objectives() -> None:
    trees = pyrra(everything())
    for tree in trees:
        assert tree["apiVersion"] == "pyrra.dev/v1alpha1"
        assert tree["kind"] == "ServiceLevelObjective"
        assert re.fullmatch(r"[a-z0-9-]+", tree["metadata"]["name"])
        ratio = tree["spec"]["indicator"]["ratio"]
        assert ratio["total"]["metric"] == ratio["errors"]["metric"].replace(',label="fail"', "")
    assert [(t["spec"]["target"], t["spec"]["window"]) for t in trees] == [
        ("99", "720h"),
        ("99.5", "168h"),
        ("90", "72h"),
    ]
    assert list(yaml.safe_load_all(rule_text(everything(), RuleForm.pyrra))) == trees


def test_without_a_target_there_is_nothing_for_sloth_or_pyrra() -> None:
    for form in (RuleForm.sloth, RuleForm.pyrra):
        with pytest.raises(BadConfig, match="slo: names no objective with a target"):
            rule_text(load_config(slo={"fast": {"at_most": 8}}), form)


def test_the_command_writes_it_and_refuses_what_is_no_scale() -> None:
    done = CliRunner().invoke(app, ["rules", "--scale", "60"])
    assert (done.exit_code, done.stdout) == (0, rule_text(load_config(), scale=60.0))
    assert CliRunner().invoke(app, ["rules", "--markdown"]).stdout == alert_table()
    for scale in ("0", "nan", "x"):
        assert CliRunner().invoke(app, ["rules", "--scale", scale]).exit_code == 2
    assert isinstance(CliRunner().invoke(app, ["rules", "--scale", "inf"]).exception, BadConfig)


def test_a_shorter_period_has_smaller_factors() -> None:
    found = [a for a in alerts(groups(everything())) if 'objective="kind"' in a.expr]
    assert len(found) == len(CONDITIONS)
    # 14.4 of 30 days is 3.36 of 7, of a budget of half a percent.
    assert "> 0.0168 and" in found[0].expr
    # A rate of 1 is no burn: the budget lasts its period.
    assert "> 0.005 and" in found[3].expr


def test_a_budget_that_cannot_burn_so_fast_has_no_such_rule() -> None:
    slo = {"rough": {"metric": "error", "target": 0.9}}
    found = [a for a in alerts(groups(load_config(slo=slo))) if "objective=" in a.expr]
    assert [dict(a.labels)["long"] for a in found] == ["6h", "1d", "3d"]


def test_the_shipped_rules_and_the_routing_are_right() -> None:
    assert (ROOT / "deploy" / "rules.yml").read_text() == rule_text(load_config())
    said(tool("amtool"), "check-config", str(ROOT / "deploy" / "alertmanager.yml"))
    rules = yaml.safe_load((ROOT / "deploy" / "alertmanager.yml").read_text())["inhibit_rules"]
    named = {
        name
        for rule in rules
        for matcher in rule["source_matchers"] + rule["target_matchers"]
        for name in re.findall(r"Vedette\w+", matcher)
    }
    assert named <= {alert.name for alert, _ in every_alert()} and named

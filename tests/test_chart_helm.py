"""The Helm chart as Helm renders it and kubeconform reads it; both are built by `make chart`."""

from pathlib import Path

import pytest
import yaml

from deploy import render
from deploy.schemas import FOLDER as SCHEMAS

pytestmark = pytest.mark.skipif(
    not all((render.TOOLS / tool).exists() for tool in ("helm", "kubeconform"))
    or not any(SCHEMAS.glob("*.json")),
    reason="Helm, kubeconform and their schemas are made by `make chart`",
)
CASES = render.cases()


@pytest.mark.parametrize("name", sorted(CASES.keys() - render.UNKEPT))
def test_a_render_is_what_is_committed(name: str) -> None:
    golden = (render.GOLDEN / f"{name}.yaml").read_text()
    assert render.golden_text(CASES[name], render.render(CASES[name])) == golden


def test_dashboards_come_as_they_are() -> None:
    found: dict[str, str] = {}
    for tree in yaml.safe_load_all(render.render(CASES["dashboards"])):
        if "dashboard-" in tree["metadata"]["name"]:
            assert tree["metadata"]["labels"]["grafana_dashboard"] == "1"
            found |= tree["data"]
    assert found == {
        f"vedette-{path.name}": path.read_text()
        for path in (render.ROOT / "deploy" / "dashboards").glob("*.json")
    }


def test_shipped_rules_come_as_they_are(tmp_path: Path) -> None:
    told = yaml.safe_load(CASES["monitoring"].read_text())
    told["prometheusRule"] = {"enabled": True}
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(told))
    trees = yaml.safe_load_all(render.render(values))
    (found,) = [tree["spec"] for tree in trees if tree["kind"] == "PrometheusRule"]
    assert found == yaml.safe_load((render.ROOT / "deploy" / "rules.yml").read_text())


@pytest.mark.parametrize(
    "over",
    [
        {"extraEnvs": [{"name": "TZ", "value": "UTC"}]},
        {"secret": {"name": "other"}},
        {"migration": {"resources": {"limits": {"memory": "1Gi"}}}},
    ],
)
def test_another_pod_is_another_job(over: dict[str, object], tmp_path: Path) -> None:
    """Kubernetes changes no pod of a Job: under its old name the upgrade would fail."""
    more = tmp_path / "more.yaml"
    more.write_text(yaml.safe_dump(over))
    case = CASES["external-secrets"]
    names = [
        {tree["metadata"]["name"] for tree in yaml.safe_load_all(told) if tree["kind"] == "Job"}
        for told in (render.render(case), render.render(case, more))
    ]
    assert not names[0] & names[1]


@pytest.mark.parametrize(
    ("name", "over", "said"),
    [
        ("keda", {"scorer": {"autoscaling": {"enabled": True}}}, "exclude each other"),
        ("monitoring", {"serviceMonitor": {"enabled": True}}, "scraped twice"),
        ("default", {"shadow": {"enabled": True}}, "config.shadow names no candidates"),
        ("default", {"config": {"kafka": {"security": {"insecure": False}}}}, "clear text"),
        ("external-secrets", {"externalSecret": {"storeRef": {"name": ""}}}, "no SecretStore"),
        ("default", {"scorer": {"repliccas": 1}}, "repliccas"),
        ("server-only", {"ingress": {"hosts": []}}, "ingress.hosts: names no host"),
        ("monitoring", {"prometheusRule": {"rules": "spec: {groups: []}"}}, "holds no groups"),
        ("keda", {"config": {"kafka": {"security": {"mechanism": None}}}}, "mechanism: is needed"),
        ("keda", {"shadow": {"keda": {"authentication": []}}}, "shadow.keda.authentication: is"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    name: str, over: dict[str, object], said: str, tmp_path: Path
) -> None:
    more = tmp_path / "more.yaml"
    more.write_text(yaml.safe_dump(over))
    with pytest.raises(RuntimeError, match=said):
        render.render(CASES[name], more)


@pytest.mark.parametrize("name", ["default", "sidecar-logs"])
def test_what_is_taken_away_is_not_there(name: str, tmp_path: Path) -> None:
    bare = {"resources": None}
    over = {"podSecurityContext": None, "securityContext": None, "migration": bare}
    more = tmp_path / "more.yaml"
    more.write_text(yaml.safe_dump(over | {"scorer": bare, "server": bare, "sidecar": bare}))
    assert "null" not in map(str.strip, render.render(CASES[name], more).splitlines())


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("default", "replicas: 2", "replica: 2"),
        ("default", "replicas: 2", "replicas: two"),
        ("default", "kind: ServiceAccount", "kind: ServiceAcount"),
        ("hpa", "averageUtilization: 80", "averageUtilisation: 80"),
        ("keda", "pollingInterval: 15", "pollingInterval: soon"),
        ("monitoring", "podMetricsEndpoints", "podMetricEndpoints"),
        ("external-secrets", "refreshInterval", "refreshEvery"),
        ("sidecar", "restartPolicy: Always", "restartPolicies: Always"),
    ],
)
def test_planted_mistakes_do_not_conform(name: str, right: str, wrong: str) -> None:
    golden = (render.GOLDEN / f"{name}.yaml").read_text()
    assert right in golden and render.conform(golden) == ""
    assert render.conform(golden.replace(right, wrong, 1)) != ""

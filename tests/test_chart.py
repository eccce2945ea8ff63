"""The Helm chart: its values, and what Helm made of them, which is looked at without Helm too."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from agent.config import Config, load_config
from agent.serving import is_loopback
from consumers import service
from consumers.cli_rules import RuleForm, rule_text
from deploy import render
from deploy.values_schema import FILE, schema_text

ROOT = Path(__file__).parents[1]
VALUES: dict[str, Any] = yaml.safe_load((render.CHART / "values.yaml").read_text())
CASES = render.cases()
KEPT = sorted(CASES.keys() - render.UNKEPT)
ROLES = {"scorer": "run", "shadow": "shadow", "server": "serve"}


def merged(old: Any, new: Any) -> Any:
    """Values over values as Helm lays them: mappings merge, null takes a key away."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return deepcopy(new)
    both = old | {key: merged(old.get(key), value) for key, value in new.items()}
    return {key: value for key, value in both.items() if value is not None}


def values_of(name: str, **over: Any) -> dict[str, Any]:
    told = merged(VALUES, yaml.safe_load(CASES[name].read_text()))
    found: dict[str, Any] = merged(told, over)
    return found


def complaints(values: Any) -> list[str]:
    """What the schema has against them, each with its place."""
    checker = jsonschema_rs.validator_for(json.loads(FILE.read_text()))
    plain = json.loads(json.dumps(values, default=str))  # Helm reads a time as a text
    return [f"{list(one.instance_path)} {one.message}" for one in checker.iter_errors(plain)]


def objects(name: str, kind: str = "") -> list[dict[str, Any]]:
    """The objects of a golden render."""
    trees = yaml.safe_load_all((render.GOLDEN / f"{name}.yaml").read_text())
    return [tree for tree in trees if tree and kind in ("", tree["kind"])]


def pods(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for tree in objects(name):
        if tree["kind"] in ("Deployment", "Job"):
            yield f"{name} {tree['metadata']['name']}", tree["spec"]["template"]["spec"]


def ours(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The containers that run Vedette."""
    for one in (*pod.get("initContainers", ()), *pod["containers"]):
        if "vedette" in one["image"]:
            yield one


def config_of(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """What a pod reads: the file of the ConfigMap, and the variables of the Secret."""
    for variable in values_of(name)["secret"]["env"]:
        url = variable == "VEDETTE_STORE__URL"
        monkeypatch.setenv(variable, "postgresql://vedette@db/vedette" if url else "secret")
    file = folder / "vedette.yaml"
    file.write_text(objects(name, "ConfigMap")[0]["data"]["vedette.yaml"])
    return load_config(file)


def test_the_schema_knows_every_value_and_the_whole_configuration() -> None:
    schema = json.loads(FILE.read_text())
    assert FILE.read_text() == schema_text(FILE.read_text()), "`make docs` writes it"
    assert schema["properties"].keys() - {"global"} == VALUES.keys()
    for role in ROLES:
        assert VALUES[role].keys() <= schema["properties"][role]["properties"].keys()
    assert complaints(VALUES) == []


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_values_of_a_case_are_valid(name: str) -> None:
    assert complaints(values_of(name)) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"scorrer": {}}, "scorrer"),
        ({"scorer": {"keda": {"enabld": True}}}, "enabld"),
        ({"server": {"keda": {"enabled": True}}}, "keda"),
        ({"config": {"kafka": {"grup": "x"}}}, "grup"),
        ({"config": {"shadow": {"candidates": {"x": {"modell": "y"}}}}}, "modell"),
        ({"scorer": {"replicaCount": "two"}}, "replicaCount"),
        ({"image": {"tag": "latest"}}, "tag"),
        ({"image": {"digest": "sha256:1"}}, "digest"),
        ({"mode": "side-car"}, "mode"),
        ({"terminationGracePeriodSeconds": 20}, "terminationGracePeriodSeconds"),
        ({"networkPolicy": {"kafka": {"port": 9092}}}, "port"),
    ],
)
def test_what_is_mistyped_is_refused_by_its_name(wrong: dict[str, Any], said: str) -> None:
    found = complaints(values_of("default", **wrong))
    assert found and any(said in one for one in found), found


def test_every_key_says_what_it_is_for() -> None:
    lines = (render.CHART / "values.yaml").read_text().splitlines()
    silent = [
        line
        for at, line in enumerate(lines)
        if re.match(r"[a-zA-Z]\w*:", line) and not _explained(lines, at)
    ]
    assert silent == []


def _explained(lines: list[str], at: int) -> bool:
    """Whether a comment stands over the paragraph of this key, or below it."""
    start = at
    while start and lines[start - 1].strip():
        start -= 1
    inside = next((line for line in lines[at + 1 : at + 2]), "")
    return lines[start].startswith("#") or inside.strip().startswith("#")


def test_golden_renders_are_of_this_chart() -> None:
    assert sorted(path.stem for path in render.GOLDEN.glob("*.yaml")) == KEPT
    stale = [
        name
        for name in KEPT
        if (render.GOLDEN / f"{name}.yaml").read_text().splitlines()[0]
        != f"# chart {render.digest(CASES[name])}"
    ]
    assert stale == [], "`make chart` and `python -m deploy.render --write`"


@pytest.mark.parametrize("name", KEPT)
def test_the_configuration_of_a_case_is_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, config = values_of(name), config_of(name, tmp_path, monkeypatch)
    maps = [tree["data"]["vedette.yaml"] for tree in objects(name, "ConfigMap")]
    assert len(set(maps)) == 1, "the hook has another configuration than the pods"
    assert config.server.port == values["ports"]["http"]
    if values["mode"] == "sidecar":
        assert is_loopback(config.server.host) and config.server.ingest == "inbox"
        return
    assert (config.exporter.host, config.exporter.port) == ("0.0.0.0", values["ports"]["metrics"])
    # Off loopback a server without tokens does not start.
    assert not is_loopback(config.server.host) and config.server.tokens
    assert config.store.migrate is not values["migration"]["enabled"]
    opened = {one.role: one.secret_file for one in config.server.tokens.values()}
    where = Path(values["secret"]["mountPath"])
    assert opened["read"] == where / values["server"]["metricsTokenKey"]


@pytest.mark.parametrize("name", KEPT)
def test_every_pod_is_restricted(name: str) -> None:
    for what, pod in pods(name):
        assert pod["automountServiceAccountToken"] is False, what
        for one in ours(pod):
            held = pod.get("securityContext", {}) | one["securityContext"]
            assert held["runAsNonRoot"] is True and held["runAsUser"] == 10001, what
            assert held["seccompProfile"] == {"type": "RuntimeDefault"}, what
            assert held["readOnlyRootFilesystem"] is True, what
            assert held["allowPrivilegeEscalation"] is False, what
            assert held["capabilities"] == {"drop": ["ALL"]}, what
            assert one["resources"]["requests"].keys() == {"cpu", "memory"}, what
            assert one["resources"]["limits"]["memory"], what
            assert re.search(r"(:(?!latest)[\w.-]+|@sha256:\w{64})$", one["image"]), what


@pytest.mark.parametrize("name", KEPT)
def test_what_is_mounted_and_probed_is_there(name: str) -> None:
    for what, pod in pods(name):
        volumes = {one["name"] for one in pod["volumes"]}
        for one in ours(pod):
            mounts = {mount["mountPath"]: mount["name"] for mount in one["volumeMounts"]}
            assert {"/tmp", "/etc/vedette"} <= mounts.keys(), what
            assert set(mounts.values()) <= volumes, what
            names = [variable["name"] for variable in one["env"]]
            assert len(names) == len(set(names)), what
            ports = {port["name"] for port in one.get("ports", ())}
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                if "httpGet" in (probe := one.get(kind, {})):
                    wanted = "/readyz" if kind == "readinessProbe" else "/livez"
                    assert probe["httpGet"]["path"] == wanted and probe["httpGet"]["port"] in ports


@pytest.mark.parametrize("name", KEPT)
def test_roles_run_their_command_and_have_time_to_stop(name: str) -> None:
    for tree in objects(name, "Deployment"):
        pod = tree["spec"]["template"]["spec"]
        role = tree["metadata"].get("labels", {}).get("app.kubernetes.io/component")
        if role is None:
            continue  # the pod of another chart
        assert next(ours(pod))["args"] == [ROLES[role], "-c", "/etc/vedette/vedette.yaml"]
        assert pod["terminationGracePeriodSeconds"] > service._GRACE_S + 5
        chosen = tree["spec"]["selector"]["matchLabels"]
        assert chosen.items() <= tree["spec"]["template"]["metadata"]["labels"].items()
        assert chosen["app.kubernetes.io/component"] == role


def test_a_sidecar_never_takes_its_service_out() -> None:
    (_, pod), *more = pods("sidecar")
    (side,) = pod["initContainers"]
    assert not more and side["restartPolicy"] == "Always"
    # Kubernetes starts the service only once a startup probe of a sidecar succeeds.
    assert not {"readinessProbe", "startupProbe"} & side.keys()
    assert "exec" in side["livenessProbe"], "nothing outside the pod reaches loopback"


def test_a_sidecar_follows_a_log_that_both_can_write() -> None:
    ((_, pod),) = pods("sidecar-logs")
    (side,), (main,) = pod["initContainers"], pod["containers"]
    assert side["args"][-2:] == ["--follow", "/logs/calls.ndjson"]
    shared = {one["name"] for one in main["volumeMounts"]}
    assert [one["mountPath"] for one in side["volumeMounts"] if one["name"] in shared] == ["/logs"]
    assert pod["securityContext"]["fsGroup"] == 10001


def test_the_pod_without_helm_has_the_same_sidecar(tmp_path: Path) -> None:
    plain = list(yaml.safe_load_all((ROOT / "deploy/sidecar/deployment.yaml").read_text()))
    rendered = objects("sidecar")
    assert [tree["spec"] for tree in plain[1:]] == [tree["spec"] for tree in rendered[1:]]
    file = tmp_path / "vedette.yaml"
    found = []
    for tree in (plain[0], rendered[0]):
        file.write_text(tree["data"]["vedette.yaml"])
        found.append(load_config(file))
    assert found[0] == found[1]


def test_hooks_find_what_they_need() -> None:
    for tree in objects("default"):
        if "helm.sh/hook" in tree["metadata"].get("annotations", {}):
            continue
        assert tree["metadata"]["name"] != "vedette-hook"
    (job,) = objects("default", "Job")
    found = {
        tree["metadata"]["name"]: int(tree["metadata"]["annotations"]["helm.sh/hook-weight"])
        for tree in objects("default")
        if "helm.sh/hook" in tree["metadata"].get("annotations", {})
    }
    pod = job["spec"]["template"]["spec"]
    mounted = {one["name"]: one for one in pod["volumes"]}["config"]["configMap"]["name"]
    assert found[mounted] < found[job["metadata"]["name"]]
    assert pod["serviceAccountName"] == "default"
    # A Secret that the release itself makes is not there before it: no hooks.
    for job in objects("external-secrets", "Job"):
        assert "annotations" not in job["metadata"]
        assert re.search(r"-[0-9a-f]{8}$", job["metadata"]["name"])


def test_lag_is_read_of_what_the_configuration_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of("keda", tmp_path, monkeypatch)
    assert config.shadow is not None
    wanted = {
        "vedette-scorer": (config.kafka.group, set(config.kafka.topics)),
        "vedette-shadow": (config.shadow.group, {config.shadow.requests}),
    }
    for tree in objects("keda", "ScaledObject"):
        told = [trigger["metadata"] for trigger in tree["spec"]["triggers"]]
        group, topics = wanted.pop(tree["spec"]["scaleTargetRef"]["name"])
        assert {one["consumerGroup"] for one in told} == {group}
        assert {one["topic"] for one in told} == topics
        assert tree["spec"]["maxReplicaCount"] == values_of("keda")["topics"]["partitions"]
    assert not wanted
    scaled = [tree for tree in objects("keda", "Deployment") if "replicas" not in tree["spec"]]
    assert len(scaled) == 2


def test_rules_and_dashboards_are_those_of_the_repository() -> None:
    files = render.CHART / "files"
    assert (files / "rules.yml").resolve() == ROOT / "deploy" / "rules.yml"
    assert (files / "dashboards").resolve() == ROOT / "deploy" / "dashboards"
    told = yaml.safe_load((files / "rules.yml").read_text())
    assert told == yaml.safe_load(rule_text(load_config(), RuleForm.operator))["spec"]


def test_the_brokers_are_reached_at_their_ports() -> None:
    rules = objects("network-policy", "NetworkPolicy")[0]["spec"]["egress"]
    named = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kafka"}}}
    (kafka,) = [rule for rule in rules if named in rule.get("to", ())]
    assert [one["port"] for one in kafka["ports"]] == [9094, 9095]


def test_helm_is_told_to_wait_longer_than_a_migration_may_take() -> None:
    pages = ROOT / "docs" / "kubernetes.md", render.CHART / "UPGRADING.md"
    told = "".join(map(Path.read_text, pages))
    waits = re.findall(r"^ +helm (?:install|upgrade) v.*?(?:--timeout (\d+)m)?$", told, re.M)
    assert min(60 * int(m or 0) for m in waits) > VALUES["migration"]["activeDeadlineSeconds"]

"""Every alert of the rule file, from its cause to a webhook and back, by real servers.

The causes are made in a real `vedette run` where that is cheap; what would need a defect or a
full disk is told to the metrics of a second process that only exports.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agent.config import Config, load_config
from agent.durations import seconds
from agent.rules import alerts, groups
from agent.scoring import names
from consumers.cli_rules import rule_text
from consumers.exporter import Health, serve
from consumers.gauges import Gauges
from consumers.metrics import Tally
from deploy.local.child import free_port
from deploy.local.database import Database
from tests.conftest import MakeTopic
from tests.live.alerting import Alerting
from tests.live.broker import Broker
from tests.live.test_main_job import page
from tests.live.troubles import LIMIT_S, Traffic
from tests.rules import tool
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
# An hour is 24 s, and five minutes hold four scrapes.
SCALE, SCRAPE_MS, EVALUATE_MS = 150.0, 500, 250
SCRAPE_S = SCRAPE_MS / 1000
# What the road and a machine with other work may add: a batch, a flush, the message itself.
SLACK_S = 8.0
GROUP = ("tally", "m", "production")


def configuration(topic: str, address: str, url: str, port: int, answers: str) -> dict[str, Any]:
    began = time.time() - 5
    nobody = {"url": "http://127.0.0.1:9/v1", "private": True, "model": "m", "rate": 0.0}
    halves = {"primary": "error", "start": began}
    return {
        "kafka": {
            "brokers": [address], "topics": {topic: {}}, "group": topic,
            "session_timeout_s": 6, "heartbeat_s": 0.5,
        },
        "store": {"url": url},
        "panes": {"width_s": 1, "request_timeout_s": 1, "lateness_s": 1},
        "scorers": {name: {"enabled": name == "toxicity"} for name in names()},
        "slo": {"fast": {"metric": "latency", "at_most": LIMIT_S, "target": 0.99}},
        "drift": {"watched_series": 50, "baseline_calls": 200, "baseline_s": 4, "matters": 0.1},
        "experiments": {
            "trial": {"service": "trial", "arms": {"production": 0.5, "canary": 0.5}} | halves,
            "twins": {"service": "twins", "design": "aa", "arms": {"a": 0.5, "b": 0.5}} | halves,
            "split": {"service": "split", "arms": {"production": 0.5, "canary": 0.5}} | halves,
        },
        "shadow": {
            "answers": answers, "candidates": {"next": nobody | {"budget": {"calls": 9}}},
        },
        "exporter": {"port": port, "label_values_max": 30},
    }  # fmt: skip


class Exporting:
    """A process that only exports: what it shows is told to its real tally."""

    def __init__(self, port: int) -> None:
        self.tally, self.health = Tally(), Health()
        self.gauges = Gauges(self.tally)
        self.health.ready(True)
        self.behind, self.refused, self.closes = 0, 0, True
        self._server = serve(self.tally, self.health, port=port)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            self.tally.records("told", {"parsed": 5})
            if self.closes:
                self.tally.closed_through("told", time.time())
            self.tally.lag("told", 0, self.behind)
            self.tally.count("vedette_shadow_unasked_total", ("next", "over_budget"), self.refused)
            self.tally.observe(GROUP, "bleu", np.full(5, 0.5), {})

    def close(self) -> None:
        self._over.set()
        self._thread.join(5)
        self._server.close()


@contextmanager
def worker(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A real `vedette run`."""
    command = [sys.executable, "-c", "from consumers.cli import main; main()", "run"]
    with (folder / "log").open("ab") as log:
        running = subprocess.Popen(
            [*command, "-c", "vedette.yaml"], cwd=folder, stderr=log,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


@contextmanager
def keeping_up(port: int) -> Iterator[None]:
    """Wait until the worker is ready and has read every text once: what it remembers is free."""
    pattern = r"vedette_consumer_lag_records\{.*\} (\S+)"
    calm, deadline = 0, time.monotonic() + 90
    while calm < 8:
        assert time.monotonic() < deadline, "the worker does not keep up"
        time.sleep(0.25)
        found = re.search(pattern, page(port, "/metrics")[1])
        calm = calm + 1 if found and float(found[1]) < 40 else 0
    yield


def shipped(url: str) -> Any:
    """The example for Alertmanager with our receivers, without its pauses."""
    text = (ROOT / "deploy" / "alertmanager.yml").read_text()
    quick = re.sub(r"(group_(?:wait|interval)): \d+[sm]", r"\1: 1s", text)
    return yaml.safe_load(quick.replace("http://127.0.0.1:8080", url))


class Scene:
    """What stands on the stage of the test."""

    def __init__(
        self, config: Config, alerting: Alerting, traffic: Traffic, told: Exporting
    ) -> None:
        self.alerting, self.traffic, self.told = alerting, traffic, told
        self.hold = {a.name: seconds(a.hold) / SCALE for a in alerts(groups(config))}

    def rings(self, name: str, most_s: float, **labels: str) -> float:
        """Wait until the webhook is told that an alert fires; at most two scrapes after it does."""
        told = self.alerting.told
        wait_until(lambda: bool(told(name, "firing", **labels)), most_s, f"{name} {labels} fires")
        first = told(name, "firing", **labels)[0]
        assert first.at - first.since <= 2 * SCRAPE_S + SLACK_S, first
        assert first.annotations["summary"] and "<no value>" not in str(first.annotations)
        return first.at

    def rings_at_once(self, name: str, cause: float, **labels: str) -> None:
        """The same where the cause needs no time of its own: two scrapes and the alert's `for`."""
        most_s = 2 * SCRAPE_S + self.hold[name] + SLACK_S
        assert self.rings(name, most_s + 5, **labels) - cause <= most_s, name

    def ends(self, name: str, most_s: float, **labels: str) -> None:
        """Wait until the webhook is told that it is over."""
        told = self.alerting.told
        wait_until(lambda: bool(told(name, "resolved", **labels)), most_s, f"{name} {labels} ends")


BURNS = (("1h", "5m"), ("6h", "30m"), ("1d", "2h"), ("3d", "6h"))


def trouble(scene: Scene) -> None:
    """All causes at once but those that stop the worker."""
    traffic, tally = scene.traffic, scene.told.tally
    began = time.time()
    traffic.wrong |= {"latency", "toxicity", "trial", "twins", "split", "quiet"}
    traffic.garbage(40)
    traffic.late(40)
    traffic.models(60)
    scene.told.gauges.ledger_gap(3)
    tally.lost("told", 7)
    tally.observe(GROUP, "bleu", [], {"scorer_failed": 50})
    scene.told.behind, scene.told.refused, scene.told.closes = 10_000, 1, False
    tally.show("vedette_shadow_breaker_open_ratio", ("next",), 1.0)
    scene.told.gauges.filled({"dead_letters": 1.0})
    for name in (
        "VedetteLedgerGap",
        "VedetteRecordsLost",
        "VedetteScorerFailure",
        "VedetteLag",
        "VedetteStoreFilling",
        "VedetteShadowBreaker",
        "VedetteShadowBudget",
    ):
        scene.rings_at_once(name, began, job="told")
    for name in ("VedetteDeadLetters", "VedetteLateCalls", "VedetteLabelOverflow"):
        scene.rings_at_once(name, began, job="vedette")
    scene.rings("VedetteNoData", 30, service="quiet")
    scene.rings("VedetteNotClosing", 30, source="told")
    for long, _ in BURNS:
        scene.rings("VedetteErrorBudgetBurn", 30, service="shop", long=long)
    # As it is shipped, Alertmanager tells nobody of the slow burns beside the fast ones.
    slow = {"alertname": "VedetteErrorBudgetBurn", "service": "shop", "severity": "warning"}
    wait_until(lambda: scene.alerting.suppressed(**slow) == 2, 10, "the warnings are inhibited")
    scene.rings("VedetteExperimentHarm", 30, experiment="trial", arm="canary", metric="error")
    scene.rings("VedetteSampleRatio", 30, experiment="split")
    scene.rings("VedetteExperimentInvalid", 30, experiment="twins", reason="self_test")
    # The windows of the experiments are the longest: they may begin to empty.
    traffic.wrong |= {"no experiments"}
    scene.rings("VedetteToxicity", 30, service="shop")
    scene.rings("VedetteDrift", 30, service="shop", metric="slo_fast")
    traffic.wrong -= {"latency", "toxicity"}


def relief(scene: Scene) -> None:
    """Everything is as it should be again."""
    scene.traffic.wrong -= {"quiet"}
    scene.told.gauges.ledger_gap(0)
    scene.told.gauges.filled({"dead_letters": 0.1})
    scene.told.behind, scene.told.refused, scene.told.closes = 0, 0, True
    scene.told.tally.show("vedette_shadow_breaker_open_ratio", ("next",), 0.0)
    told, deadline = scene.alerting.told, time.monotonic() + 300
    # The longest of the short windows holds all that was; good calls make the bad ones few.
    while not told("VedetteErrorBudgetBurn", "resolved", service="shop", long="3d"):
        assert time.monotonic() < deadline, "the slowest burn does not end"
        scene.traffic.flood(4000)
        time.sleep(0.5)


ENDS: tuple[tuple[str, dict[str, str]], ...] = (
    ("VedetteLedgerGap", {}), ("VedetteLag", {"job": "told"}), ("VedetteRecordsLost", {}),
    ("VedetteScorerFailure", {}), ("VedetteDeadLetters", {}), ("VedetteLateCalls", {}),
    ("VedetteLabelOverflow", {}), ("VedetteNotClosing", {}),
    ("VedetteNoData", {"service": "quiet"}),
    ("VedetteDrift", {"metric": "slo_fast"}), ("VedetteExperimentHarm", {"experiment": "trial"}),
    ("VedetteSampleRatio", {}), ("VedetteExperimentInvalid", {}), ("VedetteNotReady", {}),
    ("VedetteShadowBudget", {}), ("VedetteShadowBreaker", {}), ("VedetteStoreFilling", {}),
    ("VedetteToxicity", {}), ("VedetteWorkerDown", {}), ("VedetteDown", {}),
    *(("VedetteErrorBudgetBurn", {"service": "shop", "long": long}) for long, _ in BURNS),
)  # fmt: skip


@pytest.mark.timeout(900)
def test_every_alert_reaches_the_webhook_and_ends_and_a_calm_hour_is_silent(
    broker: Broker, topic: MakeTopic, postgres_server: Database, postgres_url: str, tmp_path: Path
) -> None:
    tool("prometheus")
    tool("prometheus-alertmanager")
    port, told_port = free_port(), free_port()
    name = topic()
    tree = configuration(name, broker.address, postgres_url, port, topic())
    # In their order: the first arm is the control.
    (tmp_path / "vedette.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    config = load_config(tmp_path / "vedette.yaml")
    jobs = {"vedette": port, "told": told_port}
    text = rule_text(config, scale=SCALE)
    with (
        closing(Exporting(told_port)) as told,
        worker(tmp_path, port) as first,
        Traffic(broker.address, name) as traffic,
        keeping_up(port),
        Alerting(tmp_path, text, jobs, shipped, SCRAPE_MS, EVALUATE_MS) as alerting,
    ):
        scene = Scene(config, alerting, traffic, told)
        time.sleep(3600 / SCALE)
        assert [one for one in alerting.hook.heard if one.status == "firing"] == []
        rung = 'count_over_time(ALERTS{alertstate="firing"}[1h])'
        assert alerting.prometheus.ask(rung) == []
        trouble(scene)
        postgres_server.stop()
        wait_until(lambda: page(port, "/readyz")[0] == 503, 20, "the worker is not ready")
        away = time.time()
        scene.rings_at_once("VedetteNotReady", away, job="vedette")
        postgres_server.start()
        relief(scene)
        first.send_signal(signal.SIGTERM)
        wait_until(lambda: page(port, "/readyz")[0] == 0, 30, "the worker has ended")
        gone = time.time()
        scene.rings_at_once("VedetteWorkerDown", gone, job="vedette")
        scene.rings_at_once("VedetteDown", gone, job="vedette")
        wait_until(lambda: alerting.suppressed(alertname="VedetteWorkerDown") == 1, 10, "inhibited")
        with worker(tmp_path, port):
            for what, labels in ENDS:
                scene.ends(what, 180, **labels)
        paths(alerting)
        every = {(a.name, dict(a.labels).get("long")) for a in alerts(groups(config))}
        assert {(what, labels.get("long")) for what, labels in ENDS} == every


def paths(alerting: Alerting) -> None:
    """What the shipped routing made of it: a pager for what is critical, and no warning beside."""
    heard = {
        path: {one.labels["severity"] for one in alerting.hook.heard if one.path == path}
        for path in ("/pager", "/tickets")
    }
    assert heard == {"/pager": {"critical"}, "/tickets": {"warning"}}
    assert alerting.told("VedetteErrorBudgetBurn", "firing", "/pager", service="shop")

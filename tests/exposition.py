"""A filled tally and how to read its page, for the tests of the metrics and of the server."""

import math
import urllib.error
import urllib.request
from typing import Any

import numpy as np
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from agent.catalog import METRICS
from agent.findings import Finding
from agent.sla import Objective
from consumers.budgets import BUDGETS, budget_rows
from consumers.exporter import Server
from consumers.gauges import Gauges
from consumers.metrics import Tally
from watch.pace import Standing

GROUP = ("shop", "wren", "production")
BURNS = Finding(
    "burn rate",
    (("service", "support"), ("objective", "fast"), ("window", "5m/1h")),
    "firing", "critical", 1_767_225_600, 1_767_225_660, "fast burns 15.1 times too fast", n=900,
    statistic=15.1, threshold=14.4, effect=0.05, lower=0.04, upper=0.06,
    facts=(("budget_remaining", 0.7),),
)  # fmt: skip
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "text/plain;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
)


def parse_plain(page: str) -> list[Any]:
    """The metric families of a page in the plain format."""
    return list(text_string_to_metric_families(page))


def parse_openmetrics(page: str) -> list[Any]:
    """The metric families of a page in the OpenMetrics format."""
    return list(openmetrics_parser.text_string_to_metric_families(page))  # type: ignore[no-untyped-call]  # it has no types


def samples(tally: Tally) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = parse_plain(tally.page().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def value(tally: Tally, name: str, **labels: str) -> float:
    return samples(tally)[name, frozenset(labels.items())]


def group(**more: str) -> dict[str, str]:
    return dict(zip(("service", "model", "variant"), GROUP, strict=True)) | more


def filled(groups: int = 3, label_values_max: int = 200) -> Tally:
    tally = Tally({"fast": Objective(metric="latency", at_most=3.3)}, label_values_max)
    draws = np.random.default_rng(1)
    for number in range(groups):
        one = ("shop", f"model-{number}", "production")
        tally.requests(one, "ok", 90)
        tally.requests(one, "timeout", 10)
        for row in METRICS:
            tally.observe(one, row.name, draws.random(100), {"no_text": 1})
        tally.observe(one, "slo_fast", np.array([0.0, 1.0]), {})
    tally.records("calls", {"accepted": 300, "unreadable": 2})
    tally.calls("calls", {"scored": 300})
    tally.dead_letter("encoding", 2)
    tally.lost("calls", 5)
    tally.skipped({("new", "no_prompt"): 3})
    tally.beside("calls", 2, 1)
    tally.count("vedette_unknown_field_calls_total", ("support",))
    tally.fenced()
    tally.lag("calls", 0, 7)
    tally.stage("score", 0.02)
    tally.flush(300)
    tally.closed_through("live", 1_700_000_000.0)
    tally.open_panes(4)
    for name, *labels in (
        ("calls_total", "next", "ok"), ("failures_total", "next", "reset"),
        ("unasked_total", "next", "stopped"), ("undelivered_total", "next"),
    ):  # fmt: skip
        tally.count(f"vedette_shadow_{name}", tuple(labels))
    tally.count("vedette_ingest_calls_total", ("native", "accepted"), 5)
    tally.fold("vedette_http_request_seconds", ("/ingest", "200"), 0.02)
    tally.show("vedette_store_filled_ratio", ("inbox",), 0.25)
    tally.show("vedette_shadow_waiting_asks", ("next",), 3)
    tally.show("vedette_shadow_breaker_open_ratio", ("next",), 1)
    tally.show("vedette_shadow_budget_left_ratio", ("next", "calls"), 0.5)
    bounds = {"estimate": 0.02, "lower": 0.01, "upper": 0.03}
    gauges = Gauges(tally)
    gauges.contrast(("canary", "new", "response_relevance"), bounds, 5.5, "better")
    gauges.events("canary", "new", 300)
    gauges.invalid("canary", ["sign"])
    gauges.ledger_gap(0)
    gauges.tickets({("new", "sent"): 2})
    gauges.drift(("support", "m", "production", "", "response_relevance"), True)
    gauges.findings([BURNS])
    tally.alerts("webhook", 2, 1)
    rates = {"5m": 20.0, "1h": 15.0, "2h": math.nan}
    spent = Standing("support", "works", 0.99, 30.0, 0, 3, 100, -2.0, rates, {})
    tally.show_all(budget_rows([spent]), only=BUDGETS)
    return tally


def get(server: Server, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)

"""The page stays whole, small and right, whatever its labels are like."""

import re
import subprocess
import threading
import time

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agent.catalog import METRICS
from agent.exposed import SERIES, reference_tables
from agent.sla import Objective
from consumers.exporter import Exposition, Health, render, serve
from consumers.gauges import Gauges
from consumers.metrics import Tally
from tests.exposition import (
    GROUP,
    PROMETHEUS,
    filled,
    get,
    group,
    parse_openmetrics,
    parse_plain,
    samples,
    value,
)
from tests.pace import pace
from tests.rules import tool


@pytest.fixture
def health() -> Health:
    return Health()


def test_every_series_of_the_catalogue_is_on_the_page_and_nothing_else() -> None:
    # More models than a label may have, so that the overflow shows.
    tally = filled(groups=5, label_values_max=4)
    page = tally.page().decode()
    assert re.findall(r"^# TYPE (\S+) (\S+)$", page, re.M) == [(s.name, s.kind) for s in SERIES]
    shown = {re.sub(r"_(bucket|sum|count)$", "", key[0]) for key in samples(tally)}
    assert shown == {row.name for row in SERIES}


def test_names_follow_the_rules() -> None:
    for row in SERIES:
        assert re.fullmatch(r"vedette_[a-z][a-z_]*[a-z]", row.name)
        assert row.name.endswith("_total") == (row.kind == "counter")
        assert not re.search(r"_(bucket|sum|count|created)$", row.name)
        assert bool(row.buckets) == (row.kind == "histogram")
        assert not {"le", "id", "unit", "session", "prompt"} & set(row.labels)


def test_every_amount_of_the_catalogue_has_a_series() -> None:
    amounts = {row.name for row in METRICS if row.kind == "amount"}
    assert amounts == {row.metric for row in SERIES if row.metric}


def test_the_table_names_every_metric_and_series() -> None:
    table = reference_tables()
    for name, help_text in [(row.name, row.help) for row in METRICS] + [
        (row.name, row.help) for row in SERIES
    ]:
        assert f"| `{name}` |" in table and help_text in table
    widths = [
        {line.count("|") for line in part.strip().splitlines()} for part in table.split("\n\n")
    ]
    assert [len(width) for width in widths] == [1, 1]


def test_ready_lines_say_what_the_client_library_says() -> None:
    tally = filled()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(tally))
    slow = parse_plain(generate_latest(registry).decode())
    assert list(parse_plain(tally.page().decode())) == list(slow)
    openmetrics = render(tally, "application/openmetrics-text;version=1.0.0;escaping=dots")[0]
    assert b"vedette__requests" in openmetrics
    fast, content_type = render(tally, PROMETHEUS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert fast.endswith(b"# EOF\n") and b"_created" not in fast
    families = {family.name: family.type for family in parse_openmetrics(fast.decode())}
    assert families == {row.name.removesuffix("_total"): row.kind for row in SERIES}


@pytest.mark.parametrize(
    "accept", ["", "text/plain;version=x", "application/openmetrics-text;version=\xe9", "\x00,;="]
)
def test_a_strange_accept_header_gets_the_plain_text(accept: str) -> None:
    assert render(filled(), accept)[1] == "text/plain; version=0.0.4; charset=utf-8"


def test_promtool_finds_nothing_to_say() -> None:
    page = filled().page()
    done = subprocess.run([tool("promtool"), "check", "metrics"], input=page, capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_sums_are_exact_and_buckets_are_cumulative() -> None:
    tally = Tally()
    values = np.random.default_rng(2).beta(5, 2, 100_000)
    for part in np.array_split(values, 1000):
        tally.observe(GROUP, "response_relevance", part, {})
    labels = group(metric="response_relevance")
    mean = value(tally, "vedette_score_ratio_sum", **labels) / 1e5
    assert abs(mean - values.mean()) < 1e-9
    for bound in ("0.25", "0.5", "0.95", "1.0"):
        expected = np.count_nonzero(values <= float(bound))
        assert value(tally, "vedette_score_ratio_bucket", **labels, le=bound) == expected
    assert value(tally, "vedette_score_ratio_bucket", **labels, le="+Inf") == 100_000
    assert value(tally, "vedette_score_ratio_count", **labels) == 100_000


def test_an_objective_is_a_bucket_and_a_value_on_the_bound_is_inside() -> None:
    tally = Tally({"a": Objective(at_most=3.3), "b": Objective(metric="ttft", at_most=1.2)})
    tally.observe(GROUP, "latency", np.array([3.3, 3.31]), {})
    tally.observe(GROUP, "ttft", np.array([1.2]), {})
    assert value(tally, "vedette_request_latency_seconds_bucket", **group(le="3.3")) == 1
    assert value(tally, "vedette_request_ttft_seconds_bucket", **group(le="1.2")) == 1
    page = tally.page().decode()
    assert page.count('le="3.3"') == 1 and page.count('le="1.2"') == 1


@pytest.mark.parametrize(
    ("metric", "values", "passed", "failed"),
    [
        ("response_toxicity", [0.1, 0.8, 0.9], 1, 2),
        ("response_refusal", [0.0, 1.0], 1, 1),
        ("response_json_valid", [1.0, 1.0, 0.0], 2, 1),
        ("error", [1.0, 0.0, 0.0], 2, 1),
        ("slo_fast", [0.0, 0.0, 0.0], 3, 0),
    ],
)
def test_good_and_bad_events_come_as_pairs(
    metric: str, values: list[float], passed: int, failed: int
) -> None:
    tally = Tally()
    tally.observe(GROUP, metric, values, {})
    labels = group(metric=metric)
    assert value(tally, "vedette_evaluations_total", **labels, label="pass") == passed
    assert value(tally, "vedette_evaluations_total", **labels, label="fail") == failed


def test_what_is_no_number_never_reaches_a_sum() -> None:
    tally = Tally()
    bad = np.array([np.nan, np.inf, -0.1, 1.0001, 0.25])
    tally.observe(GROUP, "response_relevance", bad, {"too_short": 2})
    tally.observe(GROUP, "latency", np.array([np.inf, -1.0, 2.0]), {})
    labels = group(metric="response_relevance")
    assert value(tally, "vedette_score_ratio_sum", **labels) == 0.25
    assert value(tally, "vedette_request_latency_seconds_sum", **group()) == 2.0
    relevance = {"metric": "response_relevance"}
    assert value(tally, "vedette_unscored_total", **relevance, reason="invalid") == 4
    assert value(tally, "vedette_unscored_total", **relevance, reason="too_short") == 2


def test_errors_are_counted_beside_requests() -> None:
    tally = Tally()
    tally.requests(GROUP, "ok", 5)
    assert value(tally, "vedette_request_errors_total", **group()) == 0
    tally.requests(GROUP, "error", 2)
    tally.requests(GROUP, "timeout", 1)
    assert value(tally, "vedette_request_errors_total", **group()) == 3
    assert value(tally, "vedette_requests_total", **group(status="ok")) == 5


def test_a_partition_that_went_away_is_forgotten() -> None:
    tally = Tally(label_values_max=2)
    for partition in range(5):
        tally.lag("calls", partition, partition)
    tally.lag("calls", 3, None)
    tally.lag("never", 3, None)
    seen = re.findall(r'vedette_consumer_lag_records{.*partition="(\d)"}', tally.page().decode())
    assert seen == ["0", "1", "2", "4"]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\ud800", "\ufffd"),
        ("a\x00b", "a\ufffdb"),
        ("new\nline", "new\ufffdline"),
        ("\u202eevil", "\ufffdevil"),
        ('quo"te\\', 'quo"te\\'),
        ("Zürich 中", "Zürich 中"),
        ("x" * 1_000_000, "x" * 128),
    ],
)
def test_a_hostile_label_is_written_harmlessly(raw: str, shown: str, health: Health) -> None:
    tally = filled()
    plain = len(tally.page())
    tally.requests(("shop", raw, "production"), "ok", 1)
    server = serve(tally, health, port=0)
    try:
        status, body, _ = get(server, "/metrics")
    finally:
        server.close()
    assert status == 200 and len(body) < plain + 1_000
    models = {s.labels.get("model") for f in parse_plain(body.decode()) for s in f.samples}
    assert shown in models


def test_fifty_thousand_models_leave_a_small_page() -> None:
    tally = Tally()
    for number in range(50_000):
        one = ("shop", f"model-{number}", "production")
        tally.requests(one, "ok", 1)
        tally.observe(one, "latency", np.array([1.0]), {})
    started = time.thread_time()
    page = tally.page()
    assert time.thread_time() - started < 0.1 * pace()
    assert len(page) < 1_000_000
    numbers = samples(tally)
    counted = [n for (name, _), n in numbers.items() if name == "vedette_requests_total"]
    assert sum(counted) == 50_000 and len(counted) == 201
    rest = group(model="other", status="ok")
    assert numbers["vedette_requests_total", frozenset(rest.items())] == 49_800
    assert value(tally, "vedette_label_overflow_total", label="model") >= 49_800


def test_groups_are_capped_as_a_product_too() -> None:
    tally = Tally(label_values_max=100, groups_max=50)
    for number in range(2_000):
        tally.requests((f"s{number % 40}", f"m{number // 40}", "production"), "ok", 1)
    counted = [n for (name, _), n in samples(tally).items() if name == "vedette_requests_total"]
    assert sum(counted) == 2_000 and len(counted) == 51
    assert value(tally, "vedette_label_overflow_total", label="group") == 1_950


def test_a_cap_of_one_still_counts_its_overflow() -> None:
    tally = Tally(label_values_max=1)
    for model in ("a", "b", "c"):
        tally.requests(("s", model, "v"), "ok", 1)
    assert value(tally, "vedette_label_overflow_total", label="model") == 2


def test_a_service_as_a_whole_is_shown_over_any_cap() -> None:
    tally = Tally(label_values_max=1)
    tally.requests(("s", "a", "v"), "ok", 1)
    Gauges(tally).drift(("s", "*", "v", "", "error"), True)
    drifted = {"service": "s", "variant": "v", "segment": "", "metric": "error"}
    assert value(tally, "vedette_drift_firing", model="*", **drifted) == 1


def test_five_thousand_series_are_rendered_in_a_tenth_of_a_second() -> None:
    tally = filled(groups=20)
    assert len(samples(tally)) > 5_000
    took = []
    for _ in range(5):
        started = time.thread_time()
        render(tally, PROMETHEUS)
        took.append(time.thread_time() - started)
    assert min(took) < 0.1 * pace()


def test_writers_and_scrapes_meet_without_loss() -> None:
    tally = Tally()

    def write() -> None:
        for _ in range(500):
            tally.requests(GROUP, "ok", 1)
            tally.observe(GROUP, "latency", np.array([1.0, 2.0]), {})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        numbers = samples(tally)
        key = "vedette_request_latency_seconds_"
        for (name, labels), total in numbers.items():
            if name == key + "sum":
                assert total == 1.5 * numbers[key + "count", labels]
    assert value(tally, "vedette_requests_total", **group(status="ok")) == 2_000
    assert value(tally, "vedette_request_latency_seconds_sum", **group()) == 6_000


def test_who_resigned_shows_no_more_what_only_the_closer_knows() -> None:
    tally = filled()
    before = tally.page().decode()
    assert "vedette_drift_firing{" in before and "vedette_finding_state{" in before
    assert "vedette_experiment_verdict{" in before
    Gauges(tally).resign()
    after = tally.page().decode()
    assert "vedette_drift_firing{" not in after and "vedette_finding_state{" not in after
    assert "vedette_experiment_verdict{" not in after
    assert "vedette_requests_total{" in after

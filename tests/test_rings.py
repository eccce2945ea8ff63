"""What rings on the front page: in which order, and on the page of which metric."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agent.findings import Finding
from agent.panes import HOUR_S, Group
from agent.store import open_store
from tests.alerting import drift, kept
from tests.boards import START, Closed, put
from tests.exposition import BURNS
from tests.serving import served, told

MAIN = Group("support", "wren", "production")


def _of(metric: str, model: str = "*", **changes: Any) -> Finding:
    name = (("service", "support"), ("model", model), ("metric", metric))
    return drift(name=name, summary=f"{metric} of {model}", **changes)


FOUND = (
    BURNS,
    *(replace(_of(f"judge_{at}"), began=START + 60 * (1 + at)) for at in range(8)),
    _of("latency"), _of("latency", "wren"), _of("latency", "finch"),
    _of("response_refusal", "wren"),
    replace(BURNS, name=(("service", "support"), ("objective", "gone"), ("window", "5m/1h")),
            summary="gone burns"),
    replace(BURNS, name=(("service", "other"), *BURNS.name[1:]), summary="of another service"),
)  # fmt: skip


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    config = told(tmp_path)
    slo = {"fast": {"metric": "latency", "at_most": 1.0, "target": 0.9}}
    config = type(config).model_validate(config.model_dump() | {"slo": slo})
    store = open_store(config.store.url.get_secret_value())
    put(store, [Closed(START, MAIN, {"latency": [1.0], "slo_fast": [0.0]})], START + HOUR_S)
    kept(store, *FOUND)
    store.close()
    with served(config) as client:
        yield client


def _rings(client: TestClient, **asked: str) -> set[str]:
    found = client.get("/api/now", params=asked).json()
    assert not found["more_ring"]
    return {one["summary"] for one in found["ringing"]}


def test_what_is_critical_stands_before_what_is_newer(client: TestClient) -> None:
    found = client.get("/api/now").json()
    assert [one["severity"] for one in found["ringing"]] == ["critical"] * 3 + ["warning"] * 3
    began = [one["began"] for one in found["ringing"][3:]]
    assert began == sorted(began, reverse=True) and found["more_ring"] == len(FOUND) - 6


def test_on_a_metrics_page_rings_what_is_about_it(client: TestClient) -> None:
    latency = {"service": "support", "metric": "latency"}
    whole = {BURNS.summary, "latency of *", "latency of wren"}
    assert _rings(client, **latency) == {*whole, "latency of finch"}
    assert _rings(client, **latency, model="wren") == whole
    assert _rings(client, service="support", metric="slo_fast") == {BURNS.summary}
    assert _rings(client, service="support", metric="slo_gone") == {"gone burns"}
    assert _rings(client, service="other") == {"of another service"}

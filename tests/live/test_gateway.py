"""LiteLLM's proxy, where there is one: its calls over HTTP, and to a topic as the page says."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agent.config import load_config
from agent.score import load_panel
from agent.store import Store, reads
from agent.store.tables import calls
from tests.conftest import MakeTopic
from tests.docs import block, keys
from tests.live.broker import Broker
from tests.live.endpoint import MODES, Endpoint, ok, status
from tests.live.gateway import gateway, litellm_command
from tests.live.server_process import serving, stored
from tests.live.test_clients import BEARER, TOKENS, scored
from tests.live.test_kafka_road import configured, running
from tests.waiting import wait_until

PAGE = "connect/litellm.md"


@pytest.fixture(autouse=True)
def _is_there() -> None:
    litellm_command()


def test_calls_of_the_proxy_become_calls(tmp_path: Path) -> None:
    with Endpoint() as upstream, serving(tmp_path, server={"tokens": TOKENS}) as server:
        told = keys(PAGE, "litellm_settings: {callbacks: [vedette]}")
        sink = told["callback_settings"]["vedette"]
        sink["endpoint"] = sink["endpoint"].replace("http://127.0.0.1:8080", server.url)
        sink["headers"] = BEARER["in"]
        folder = tmp_path / "proxy"
        folder.mkdir()
        with gateway(folder, upstream.url, **told) as proxy:
            for _ in range(3):
                assert proxy.ask().status_code == 200
            wait_until(lambda: scored(server) == 3, 30)
    assert {row.model for row in stored(tmp_path, select(calls.c.model))} == {"support"}


def rows(store: Store) -> list[Any]:
    with store.transaction() as tx:
        return list(tx.execute(select(calls)))


def test_the_callback_of_the_page_puts_calls_on_a_topic(
    broker: Broker, topic: MakeTopic, sqlite_url: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    name = topic(partitions=2)
    code = block(PAGE, "import json").replace("localhost:9092", broker.address)
    (tmp_path / "to_kafka.py").write_text(code.replace("llm-calls", name))
    with Endpoint() as upstream:
        monkeypatch.setitem(
            MODES, "once", lambda one: (status(500) if len(upstream.asked) == 1 else ok)(one)
        )
        upstream.mode = "once"
        told = keys(PAGE, "litellm_settings: {callbacks: to_kafka.logger}")
        with gateway(tmp_path, upstream.url, **told) as proxy:
            tried_twice = proxy.ask(user="u-1").headers["x-litellm-call-id"]
            streamed = proxy.ask(stream=True).headers["x-litellm-call-id"]
            upstream.mode = "hang"
            assert proxy.ask(timeout=0.5).status_code == 408
    panel = load_panel(load_config(models=False))
    with running(configured(broker, name), sqlite_url, "one", panel=panel) as (worker,):
        wait_until(lambda: len(rows(worker.store)) == 4)
        found = {row.id: row for row in rows(worker.store)}
        with worker.store.transaction() as tx:
            assert reads.ledger(tx).sums
    answered, half = found[tried_twice], found[f"failed:{tried_twice}"]
    assert (answered.status, answered.unit, half.status) == ("ok", "u-1", "error")
    scores = json.loads(found[streamed].scores)
    assert 0 < scores["ttft"] <= scores["latency"] and scores["response_refusal"] == 0.0
    assert sorted(row.status for row in found.values()) == ["error", "ok", "ok", "timeout"]
    assert {row.model for row in found.values()} == {"support"}

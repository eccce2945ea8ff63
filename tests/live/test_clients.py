"""Real clients send to a real server: OpenTelemetry's SDK, and LiteLLM's proxy if there is one."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind
from sqlalchemy import select

from agent.store.tables import calls
from deploy.local.child import Child, await_ready, free_port
from tests.live.endpoint import Endpoint
from tests.live.server_process import Served, serving, stored
from tests.live.test_kafka_road import wait_until
from tests.telemetry import CHAT, PROMPTS

SECRETS = {"in": "ingest-0123456789abcdef", "out": "read-0123456789abcdef"}
TOKENS = {"sender": {"role": "ingest", "secret": SECRETS["in"]},
          "reader": {"role": "read", "secret": SECRETS["out"]}}  # fmt: skip
_MASTER = f"sk-{'0123456789abcdef' * 2}"  # of the proxy, which starts with none no more
BEARER = {name: {"Authorization": f"Bearer {secret}"} for name, secret in SECRETS.items()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, server={"tokens": TOKENS}) as found:
        yield found


def scored(server: Served) -> int:
    answer = httpx.get(f"{server.url}/api/pipeline", headers=BEARER["out"], timeout=10)
    return int(answer.json()["ends"]["scored"])


def test_spans_and_events_of_the_sdk_become_calls(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"Authorization=Bearer%20{SECRETS['in']}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    resource = Resource.create({"service.name": "bot"})
    traced, logged = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    traced.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    logged.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter()))
    tracer, logger = traced.get_tracer("app"), logged.get_logger("app")
    with tracer.start_as_current_span("chat m", kind=SpanKind.CLIENT) as whole:
        whole.set_attributes({**CHAT, **PROMPTS["attributes"]})
    with tracer.start_as_current_span("chat m", kind=SpanKind.CLIENT) as half:
        half.set_attributes(CHAT)
        now = time.time_ns()
        logger.emit(LogRecord(
            timestamp=now, observed_timestamp=now,
            event_name="gen_ai.client.inference.operation.details",
            attributes={**CHAT, **PROMPTS["structured"]},
        ))  # fmt: skip
    traced.shutdown()
    logged.shutdown()
    wait_until(lambda: scored(server) == 2, 30)
    page = httpx.get(f"{server.url}/calls", headers=BEARER["out"], timeout=10)
    assert "m-8b" in page.text
    rows = stored(tmp_path, select(calls.c.id, calls.c.service, calls.c.model))
    contexts = [span.get_span_context() for span in (whole, half)]
    assert sorted(rows) == sorted(
        (f"{c.trace_id:032x}-{c.span_id:016x}", "bot", "m-8b") for c in contexts
    )


@pytest.fixture
def litellm() -> str:
    """LiteLLM's command, installed beside our environment: what it pins is not what we pin."""
    found = os.environ.get("LITELLM_BIN")
    if not found:
        pytest.skip("LITELLM_BIN names no litellm")
    return found


def test_calls_of_litellms_proxy_become_calls(litellm: str, server: Served, tmp_path: Path) -> None:
    folder, port = tmp_path / "proxy", free_port()
    folder.mkdir()
    with Endpoint() as upstream:
        sink = {
            "callback_type": "generic_api", "endpoint": f"{server.url}/ingest/litellm",
            "log_format": "ndjson", "headers": BEARER["in"],
        }  # fmt: skip
        told = {"model": "hosted_vllm/acme/m-8b", "api_base": upstream.url, "api_key": "none"}
        config = {
            "model_list": [{"model_name": "support", "litellm_params": told}],
            "general_settings": {"master_key": _MASTER},
            "litellm_settings": {"callbacks": ["vedette"]},
            "callback_settings": {"vedette": sink},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        quiet = ["HF_HUB_OFFLINE=1", "LITELLM_LOCAL_MODEL_COST_MAP=True",
                 "DEFAULT_FLUSH_INTERVAL_SECONDS=1"]  # fmt: skip
        command = ["/usr/bin/env", *quiet, litellm, "--config", "config.yaml", "--port", str(port)]
        proxy = Child([*command, "--host", "127.0.0.1"], folder)
        url = f"http://127.0.0.1:{port}"
        await_ready(proxy, lambda: _answers(url), "litellm")
        try:
            master = {"Authorization": f"Bearer {_MASTER}"}
            asked = {"model": "support", "messages": [{"role": "user", "content": "Why?"}]}
            for _ in range(3):
                said = httpx.post(
                    f"{url}/v1/chat/completions", json=asked, headers=master, timeout=30
                )
                assert said.status_code == 200, said.text
            wait_until(lambda: scored(server) == 3, 30)
        finally:
            proxy.end(signal.SIGTERM)
    assert {row.model for row in stored(tmp_path, select(calls.c.model))} == {"support"}


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/liveliness", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False

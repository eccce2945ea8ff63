"""A real client sends to a real server: OpenTelemetry's SDK."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
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
from tests.live.server_process import Served, serving, stored
from tests.telemetry import CHAT, PROMPTS
from tests.waiting import wait_until

SECRETS = {"in": "ingest-0123456789abcdef", "out": "read-0123456789abcdef"}
TOKENS = {"sender": {"role": "ingest", "secret": SECRETS["in"]},
          "reader": {"role": "read", "secret": SECRETS["out"]}}  # fmt: skip
BEARER = {name: {"Authorization": f"Bearer {secret}"} for name, secret in SECRETS.items()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, server={"tokens": TOKENS}) as found:
        yield found


def scored(server: Served) -> int:
    answer = httpx.get(f"{server.url}/api/pipeline", headers=BEARER["out"], timeout=10)
    return int(answer.json()["ends"]["scored"])


def send_two(url: str, headers: str = "") -> list[str]:
    """A call whose texts lie on its span and one whose texts lie in a log event; their ids."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        patch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
        patch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
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
    contexts = [span.get_span_context() for span in (whole, half)]
    return [f"{one.trace_id:032x}-{one.span_id:016x}" for one in contexts]


def test_spans_and_events_of_the_sdk_become_calls(server: Served, tmp_path: Path) -> None:
    sent = send_two(server.url, f"Authorization=Bearer%20{SECRETS['in']}")
    wait_until(lambda: scored(server) == 2, 30)
    page = httpx.get(f"{server.url}/calls", headers=BEARER["out"], timeout=10)
    assert "m-8b" in page.text
    rows = stored(tmp_path, select(calls.c.id, calls.c.service, calls.c.model))
    assert sorted(rows) == sorted((one, "bot", "m-8b") for one in sent)

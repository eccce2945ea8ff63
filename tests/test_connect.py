"""The pages on how to connect: what they show is accepted, and their code does what they say."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient

from agent.config import load_config
from agent.record import Call, Half
from consumers.formats import parse
from tests.docs import block, keys
from tests.serving import served, told
from tests.telemetry import AT, protobuf, span, traces
from tests.test_litellm import payload


def client_stands_in(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes, bytes]]:
    """What confluent-kafka's producer is given, as (topic, value, key)."""
    sent: list[tuple[str, bytes, bytes]] = []
    client: Any = ModuleType("confluent_kafka")
    client.Producer = lambda _: SimpleNamespace(
        produce=lambda topic, value, key: sent.append((topic, value, key)), poll=lambda _: 0
    )
    monkeypatch.setitem(sys.modules, client.__name__, client)
    return sent


def test_the_callback_sends_what_the_proxy_hands_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By keyword, as LiteLLM does: positions hid that it was never called."""
    sent = client_stands_in(monkeypatch)
    base: Any = ModuleType("litellm.integrations.custom_logger")
    base.CustomLogger = object
    for module in (base, ModuleType("litellm"), ModuleType("litellm.integrations")):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    names: dict[str, Any] = {}
    exec(compile(block("connect/litellm.md", "import json"), "litellm.md", "exec"), names)
    handed: dict[str, Any] = {"kwargs": {"standard_logging_object": payload()}}
    handed |= dict.fromkeys(("response_obj", "start_time", "end_time"))
    asyncio.run(names["logger"].async_log_success_event(**handed))
    asyncio.run(names["logger"].async_log_failure_event(**handed))
    assert [(topic, key) for topic, _, key in sent] == [("llm-calls", b"call-1")] * 2
    (call,) = parse(sent[0][1], "auto", load_config(), 4e9)
    assert isinstance(call, Call)


@pytest.mark.parametrize(
    ("page", "topics"),
    [
        ("litellm.md", {"llm-calls": "litellm"}),
        ("otel-collector.md", {"otlp_spans": "otlp", "otlp_logs": "otlp"}),
        ("python.md", {"llm-calls": "native"}),
    ],
)
def test_the_configuration_of_a_page_is_one(page: str, topics: dict[str, str]) -> None:
    found = load_config(**keys(f"connect/{page}", "kafka:"))
    assert {name: topic.format for name, topic in found.kafka.topics.items()} == topics


SERVED = {
    "gen_ai.response.model": "acme/m-8b", "gen_ai.request.id": "cmpl-1",
    "gen_ai.request.temperature": 0.2, "gen_ai.request.top_p": 1.0, "gen_ai.request.n": 1,
    "gen_ai.request.max_tokens": 64, "gen_ai.usage.num_sequences": 1,
    "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 30,
    "gen_ai.latency.time_in_queue": 0.003, "gen_ai.latency.time_to_first_token": 0.04,
    "gen_ai.latency.e2e": 1.5, "gen_ai.latency.time_in_model_decode": 1.4,
}  # fmt: skip


def test_a_span_of_vllm_is_a_call_without_texts() -> None:
    """vLLM 0.33's scope, kind and attributes (vllm/tracing/utils.py)."""
    message = protobuf(traces(span(SERVED, kind=2), scope="vllm.llm_engine"))
    (half,) = parse(message, "otlp", load_config(), AT + 10)
    assert isinstance(half, Half)
    call = half.call
    assert (call.model, call.latency_s, call.ttft_s) == ("acme/m-8b", 1.5, 0.04)
    assert (call.tokens_in, call.tokens_out, call.response) == (7, 30, None)
    assert dict(call.parameters) == {"max_tokens": 64, "temperature": 0.2, "top_p": 1.0}
    (alone,) = parse(message, "otlp", load_config(intake={"join_wait_s": 0}), AT + 10)
    assert isinstance(alone, Call)


def answering() -> FastAPI:
    """An application of the shape of vLLM's, which refuses a temperature above 2."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        asked = await request.json()
        if asked.get("temperature", 0) > 2:
            return JSONResponse({"error": "too warm"}, status_code=400)
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        if not asked.get("stream"):
            said = {"role": "assistant", "content": "Because."}
            choices = [{"index": 0, "message": said, "finish_reason": "stop"}]
            return JSONResponse({"id": "chatcmpl-1", "choices": choices, "usage": usage})
        return StreamingResponse(streamed(usage), media_type="text/event-stream")

    return app


def streamed(usage: dict[str, int]) -> Iterator[str]:
    for delta in ({"role": "assistant", "content": ""}, {"content": "Be"}, {"content": "cause."}):
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield f"data: {json.dumps({'id': 'chatcmpl-2', 'choices': [choice]})}\n\n"
    yield f"data: {json.dumps({'id': 'chatcmpl-2', 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def test_the_middleware_for_vllm_logs_what_its_server_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = client_stands_in(monkeypatch)
    names: dict[str, Any] = {}
    exec(compile(block("connect/vllm.md", "import json"), "vllm.md", "exec"), names)
    app = answering()
    app.add_middleware(names["ToKafka"])
    asked = {"model": "m-8b", "user": "u", "messages": [{"role": "user", "content": "Why?"}]}
    with TestClient(app) as client:
        for more in ({"temperature": 0.2}, {"stream": True}, {"temperature": 3.0}):
            client.post("/v1/chat/completions", json=asked | more)
        client.get("/health")
    now = time.time()
    whole, stream, refused = (parse(value, "native", load_config(), now)[0] for _, value, _ in sent)
    assert isinstance(whole, Call) and isinstance(stream, Call) and isinstance(refused, Call)
    for one in (whole, stream):
        assert (one.prompt, one.response, one.unit) == ("Why?", "Because.", "u")
        assert (one.tokens_in, one.tokens_out, one.status) == (7, 3, "ok")
    assert (whole.id, stream.id) == ("chatcmpl-1", "chatcmpl-2")
    assert dict(whole.parameters) == {"temperature": 0.2}
    assert whole.ttft_s is None and stream.ttft_s is not None and stream.latency_s is not None
    assert 0 < stream.ttft_s <= stream.latency_s < 60
    assert (refused.status, refused.error, refused.response) == ("error", "400", None)


def test_what_the_page_on_python_posts_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call = {"id": "c1", "at": 1_767_225_600, "model": "m-8b", "response": "Open the settings."}
    later = {"feedback_for": "c1", "at": 1_767_225_700, "value": 1}
    names: dict[str, Any] = {"call": call, "later": later}
    with served(told(tmp_path)) as client:
        monkeypatch.setattr(
            httpx, "post",
            lambda url, json, timeout: client.post(httpx.URL(url).path, json=json),
        )  # fmt: skip
        exec(block("connect/python.md", "import httpx"), names)
    assert names["said"].json() == {"accepted": 2, "refused": 0, "rejected": []}

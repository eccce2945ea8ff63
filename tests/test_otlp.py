"""OTLP traces and logs of every emitter in the alias table, in both encodings."""

import base64
from typing import Any

import orjson
import pytest

from agent.config import Config, Intake
from agent.halves import join
from agent.record import Call, Filtered, Half, Item, Message, Reject
from consumers.formats import parse
from tests.telemetry import (
    ASKED,
    AT,
    CHAT,
    CURRENT,
    KEY,
    PROMPTS,
    SAID,
    event,
    logs,
    pairs,
    protobuf,
    span,
    traces,
)  # fmt: skip

CONFIG = Config()


def read(document: dict[str, Any], config: Config = CONFIG) -> list[Item]:
    items = parse(orjson.dumps(document), "auto", config, AT + 10.0)
    assert parse(protobuf(document), "auto", config, AT + 10.0) == items
    return items


def call_of(attributes: dict[str, Any], config: Config = CONFIG, **more: Any) -> Call:
    (item,) = read(traces(span(attributes, **more)), config)
    assert isinstance(item, Call), item
    return item


def half_of(attributes: dict[str, Any], *, scope: str = "x", **more: Any) -> Call:
    (item,) = read(traces(span(attributes, **more), scope=scope))
    assert isinstance(item, Half) and item.side == "span" and item.key == KEY, item
    return item.call


def test_a_span_with_texts_is_a_call() -> None:
    attributes = {
        **CURRENT,
        "gen_ai.system_instructions": '[{"type": "text", "content": "Be terse."}]',
        "gen_ai.input.messages": ASKED,
        "gen_ai.output.messages": SAID,
        "gen_ai.conversation.id": "s-1",
        "user.id": "u-1",
    }
    assert call_of(attributes) == Call(
        id=KEY, at=AT + 0.5, model="m-8b", service="bot", unit="u-1", session="s-1",
        prompt="Hello?", messages=(Message("system", "Be terse."), Message("user", "Hello?")),
        response="Hi.", latency_s=1.5, ttft_s=0.25, tokens_in=3, tokens_out=4, finish="stop",
    )  # fmt: skip


@pytest.mark.parametrize("shape", PROMPTS)
def test_texts_on_the_span_in_every_shape(shape: str) -> None:
    call = call_of({**CHAT, **PROMPTS[shape]})
    assert (call.prompt, call.response, call.flags) == ("Hello?", "Hi.", ())


@pytest.mark.parametrize(
    "happened",
    [
        [("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role": "user", "content": "Hello?"}]'}),
         ("gen_ai.content.completion", {"gen_ai.completion": "Hi."})],
        [("gen_ai.user.message", {"content": "Hello?"}),
         ("gen_ai.choice", {"index": 0, "message": '{"role": "assistant", "content": "Hi."}'})],
        [("gen_ai.client.inference.operation.details",
          {"gen_ai.input.messages": ASKED, "gen_ai.output.messages": SAID})],
    ],
)  # fmt: skip
def test_texts_in_span_events(happened: list[tuple[str, dict[str, Any]]]) -> None:
    events = [
        {"name": name, "timeUnixNano": f"{AT}{600 + i}000000", "attributes": pairs(attributes)}
        for i, (name, attributes) in enumerate(happened)
    ]
    call = call_of(CHAT, events=events)
    assert (call.prompt, call.response) == ("Hello?", "Hi.")


def test_flattened_messages_are_in_the_order_of_their_numbers() -> None:
    rows = {f"gen_ai.prompt.{i}.content": str(i) for i in (10, 2, 0)}
    call = call_of({**CHAT, **rows, "gen_ai.prompt.2.role": "system"})
    assert call.messages == (Message("user", "0"), Message("system", "2"), Message("user", "10"))


def test_a_text_in_brackets_need_not_be_json() -> None:
    call = call_of({**CHAT, "gen_ai.prompt": "[sic] {x}", "gen_ai.completion": "{}"})
    assert (call.prompt, call.response) == ("[sic] {x}", None)


def test_a_span_without_texts_waits_unless_nothing_is_awaited() -> None:
    assert half_of(CURRENT).tokens_in == 3
    config = Config(intake=Intake(join_wait_s=0))
    assert call_of(CURRENT, config).prompt is None


def test_a_tool_call_is_no_text() -> None:
    said = '[{"role": "assistant", "parts": [{"type": "tool_call", "name": "f", "arguments": {}}]}]'
    call = call_of({**CURRENT, "gen_ai.output.messages": said})
    assert (call.response, call.flags) == (None, ("tool_call",))


@pytest.mark.parametrize(
    ("attributes", "scope", "tokens"),
    [
        ({"gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 4,
          "gen_ai.response.model": "m-8b", "gen_ai.latency.time_to_first_token": 0.25}, "vllm.x",
         (3, 4)),
        ({"gen_ai.system": "openai", "gen_ai.request.model": "m-8b",
          "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4}, "x", (3, 4)),
        ({"openinference.span.kind": "LLM", "llm.model_name": "m-8b",
          "llm.token_count.prompt": 3, "llm.token_count.completion": 4}, "x", (3, 4)),
        ({"llm.request.type": "chat", "gen_ai.request.model": "m-8b"}, "x", (None, None)),
        ({"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"model": "m-8b"}'},
         "x", (None, None)),
    ],
)  # fmt: skip
def test_model_spans_of_other_emitters(attributes: Any, scope: str, tokens: Any) -> None:
    call = half_of(attributes, scope=scope)
    assert (call.model, call.tokens_in, call.tokens_out) == ("m-8b", *tokens)
    assert call.ttft_s == attributes.get("gen_ai.latency.time_to_first_token")


@pytest.mark.parametrize("name", ["gen_ai.content.completion.chunk", "First Token Stream Event"])
def test_the_first_chunk_gives_the_time_to_the_first_token(name: str) -> None:
    events = [{"name": name, "timeUnixNano": f"{AT}{after}000000"} for after in (900, 750, 950)]
    assert half_of(CHAT, events=events).ttft_s == 0.25


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"},
        {"gen_ai.operation.name": "execute_tool"},
        {"openinference.span.kind": "EMBEDDING"},
        {"llm.request.type": "embedding", "gen_ai.request.model": "e"},
    ],
)
def test_what_is_no_chat_is_filtered_and_what_is_no_model_is_not_found(attributes: Any) -> None:
    other = span({"http.request.method": "POST"}, name="POST /support", kind=2)
    assert read(traces(span(attributes), other)) == [Filtered("not_chat")]


def test_of_a_request_traced_twice_the_clients_span_counts() -> None:
    served = {"gen_ai.response.model": "m", "gen_ai.usage.completion_tokens": 4}
    server = span(served, spanId="00000000000000AA", kind=2)
    assert [type(item) for item in read(traces(server, span(CURRENT)))] == [Filtered, Half]
    elsewhere = span(served, traceId="0" * 31 + "1", kind=2)
    assert [type(item) for item in read(traces(elsewhere, span(CURRENT)))] == [Half, Half]


def test_an_error_keeps_its_type_and_nothing_else() -> None:
    said = {"exception.type": "openai.APIError", "exception.message": "secret",
            "exception.stacktrace": "secret"}  # fmt: skip
    events = [{"name": "exception", "timeUnixNano": f"{AT}600000000", "attributes": pairs(said)}]
    failed: dict[str, Any] = {"status": {"code": 2, "message": "secret"}, "events": events}
    call = half_of(CHAT, **failed)
    assert (call.status, call.error) == ("error", "openai.APIError") and "secret" not in repr(call)
    assert half_of({**CHAT, "error.type": "InternalServerError"}).status == "error"
    assert half_of({**CHAT, "error.type": "openai.APITimeoutError"}, **failed).status == "timeout"
    assert half_of(CHAT, status={"code": 2}).error == "error"
    assert half_of(CHAT, status={"code": 1}, events=events).status == "ok"


def test_where_a_call_belongs() -> None:
    config = Config(segments=("tier",), intake=Intake(join_wait_s=0))
    attributes = {**CHAT, "session.id": "s", "enduser.id": "u", "tier": "gold", "secret": "x"}
    flag = {"feature_flag.key": "k", "feature_flag.result.variant": "treatment"}
    events = [{"name": "feature_flag.evaluation", "timeUnixNano": f"{AT}600000000",
               "attributes": pairs(flag)}]  # fmt: skip
    document = traces(span(attributes, events=events), **{"deployment.environment.name": "prod"})
    (call,) = read(document, config)
    assert isinstance(call, Call)
    assert (call.session, call.unit, call.variant) == ("s", "u", "treatment")
    assert call.segment == (("deployment.environment.name", "prod"), ("tier", "gold"))
    assert half_of({**CHAT, "vedette.variant": "b"}, events=events).variant == "b"
    for variant in ("shadow:c", "probe:c"):
        assert half_of({**CHAT, "variant": variant}).origin == "shadow"


def test_our_own_shadow_request_is_not_counted_again() -> None:
    assert read(traces(span({**CHAT, "vedette.shadow": "1"}))) == [Filtered("own_shadow")]


WHOLE = "gen_ai.client.inference.operation.details"


def test_one_structured_event_joins_its_span() -> None:
    attributes = {**CURRENT, **PROMPTS["structured"]}
    (log,) = read(logs(event(WHOLE, attributes=pairs(attributes)), event("other", "x")))
    (waiting,) = read(traces(span(CURRENT)))
    assert isinstance(log, Half) and isinstance(waiting, Half)
    assert (log.side, log.key) == ("log", KEY)
    assert join(waiting, log) == call_of({**CURRENT, **PROMPTS["structured"]})


def test_an_event_for_each_message_in_the_order_of_their_times() -> None:
    choice = {"index": 0, "finish_reason": "stop",
              "message": {"role": "assistant", "content": "Hi."}}  # fmt: skip
    second = {"index": 1, "finish_reason": "length", "message": {"content": "Second"}}
    document = logs(
        event("gen_ai.choice", second, 300),
        event("gen_ai.choice", choice, 310),
        event("gen_ai.user.message", {"content": "Hello?"}, 20),
        event("gen_ai.system.message", {"content": "Be terse."}, 10),
        event("gen_ai.assistant.message", {"tool_calls": [{"id": "t"}]}, 30),
        event("", {"content": "18C"}, 40, attributes=pairs({"event.name": "gen_ai.tool.message"})),
    )
    (log,) = read(document)
    assert isinstance(log, Half) and log.call.model == ""
    assert [turn.role for turn in log.call.messages] == ["system", "user", "assistant", "tool"]
    assert (log.call.prompt, log.call.response, log.call.finish) == ("Hello?", "Hi.", "stop")
    assert log.call.at == pytest.approx(AT + 0.51, abs=1e-6)


def test_log_events_of_embeddings_are_filtered() -> None:
    attributes = pairs({"gen_ai.operation.name": "embeddings"})
    assert read(logs(event(WHOLE, attributes=attributes))) == [Filtered("not_chat")]


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"traceId": "0" * 32}, "bad_id"),
        ({"spanId": "00"}, "bad_id"),
        ({"startTimeUnixNano": "0"}, "bad_time"),
        ({"endTimeUnixNano": "1"}, "bad_time"),
        ({"startTimeUnixNano": f"{AT + 999}000000000", "endTimeUnixNano": "0"}, "future"),
        ({"attributes": pairs({**CHAT, "gen_ai.usage.input_tokens": -1})}, "bad_number"),
        ({"attributes": pairs({**CHAT, "gen_ai.usage.input_tokens": "x"})}, "bad_number"),
        ({"attributes": pairs({"gen_ai.operation.name": "chat"})}, "bad_model"),
    ],
)
def test_a_bad_span_is_rejected_beside_its_neighbours(broken: Any, expected: str) -> None:
    bad = {**span(CHAT, spanId="00000000000000bb"), **broken}
    items = read(traces(bad, span(CHAT)))
    assert isinstance(items[0], Reject) and isinstance(items[1], Half)
    assert (items[0].reason, items[0].scope) == (expected, "call")


def parse_json(document: Any) -> list[Item]:
    return parse(orjson.dumps(document), "otlp", CONFIG, AT + 10.0)


def test_json_of_careless_emitters() -> None:
    document = traces(span({**CHAT, "n": 1}, kind="SPAN_KIND_CLIENT", unknown={"x": 1}))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["startTimeUnixNano"] = AT * 10**9
    (item,) = parse_json(document)
    assert isinstance(item, Half) and item.call.at == AT
    assert parse_json({"resourceSpans": None}) == []
    base64_id = traces(span(CHAT, traceId=base64.b64encode(b"x" * 16).decode()))
    assert parse_json(base64_id) == [Reject("bad_id", "trace or span id")]


@pytest.mark.parametrize(
    "document",
    [{"resourceSpans": {}}, {"resourceSpans": [1]}, {"resourceSpans": [{"scopeSpans": "x"}]}],
)
def test_json_of_another_shape_is_rejected_whole(document: Any) -> None:
    (item,) = parse_json(document)
    assert isinstance(item, Reject) and (item.reason, item.scope) == ("bad_otlp", "record")


def test_a_message_of_neither_kind_is_rejected_whole() -> None:
    message = protobuf(traces(span(CHAT)))
    for value in (message[:-3], message[:40] + b"\xff" * 20, b"\n\x02\x12\x00\x01"):
        (item,) = parse(value, "otlp", CONFIG, AT + 10.0)
        assert isinstance(item, Reject) and (item.reason, item.scope) == ("protobuf", "record")

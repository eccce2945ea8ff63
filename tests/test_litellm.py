"""LiteLLM's StandardLoggingPayload: built here, and the captured ones where they are at hand."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from agent.config import Config, Intake
from agent.record import Call, Filtered, Message, Reject
from consumers.formats import parse

SAMPLES = Path(__file__).parents[2] / "shared" / "samples" / "litellm"
SILENT = Config(intake=Intake(silent_models=("cand",)))


def chat(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, **message}
    return {"object": "chat.completion", "choices": [{"finish_reason": finish, "message": message}]}


def payload(**more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "litellm_call_id": "call-1",
        "trace_id": "trace-1",
        "session_id": "",
        "call_type": "acompletion",
        "stream": None,
        "status": "success",
        "custom_llm_provider": "hosted_vllm",
        "startTime": 1000.0,
        "completionStartTime": 1002.0,
        "endTime": 1002.0,
        "response_time": 2.0,
        "model": "hosted_vllm/acme/m-8b",
        "model_group": "",
        "metadata": {},
        "request_tags": [],
        "end_user": None,
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "response_cost": 0.5,
        "messages": [{"role": "user", "content": "Hello?"}],
        "response": chat("Hi."),
        "error_information": {"error_code": "", "error_class": "", "traceback": ""},
        **more,
    }


def one(config: Config = SILENT, **more: Any) -> Any:
    (item,) = parse(orjson.dumps(payload(**more)), "auto", config, 2000.0)
    return item


def test_a_chat() -> None:
    assert one(Config(service="support")) == Call(
        id="call-1", at=1000.0, model="acme/m-8b", service="support", prompt="Hello?",
        messages=(Message("user", "Hello?"),), response="Hi.", latency_s=2.0, tokens_in=3,
        tokens_out=4, cost_usd=0.5, finish="stop",
    )  # fmt: skip


def test_the_duration_of_a_stream_is_not_its_response_time() -> None:
    call = one(stream=True, completionStartTime=1000.25, response_time=0.25)
    assert (call.latency_s, call.ttft_s) == (2.0, 0.25)
    assert one(completionStartTime=1000.25).ttft_s is None


def test_the_model_is_the_name_that_was_asked_for() -> None:
    assert one(model_group="support-llm").model == "support-llm"
    assert one(custom_llm_provider=None).model == "hosted_vllm/acme/m-8b"
    assert one(model="") == Reject("bad_model", "model")


def test_a_failed_call_says_nothing_of_tokens_and_keeps_no_message() -> None:
    said = {
        "error_code": "429", "error_class": "RateLimitError", "traceback": "File /secret/path",
        "error_message": "secret", "normalized_error": "429_RATE_LIMIT_EXCEEDED",
    }  # fmt: skip
    call = one(
        status="failure", error_information=said, error_str="secret", response={}, prompt_tokens=0,
        completion_tokens=0, response_cost=0.0, stream=True,
    )  # fmt: skip
    assert (call.status, call.error) == ("error", "429_RATE_LIMIT_EXCEEDED")
    assert (call.tokens_in, call.tokens_out, call.cost_usd, call.ttft_s) == (None,) * 4
    assert call.response is None and "secret" not in repr(call)


@pytest.mark.parametrize(
    "said",
    [
        {"error_class": "Timeout", "error_code": "408"},
        {"error_class": "APITimeoutError", "error_code": ""},
        {"error_code": "504", "error_class": "X"},
    ],
)
def test_a_time_out_is_no_plain_error(said: dict[str, str]) -> None:
    assert one(status="failure", error_information=said, response={}).status == "timeout"
    assert one(status="failure", error_information=None, response={}).error == "error"


def test_a_tool_call_is_no_text() -> None:
    call = one(response=chat("", "tool_calls", tool_calls=[{"id": "t"}]))
    assert (call.response, call.finish, call.flags) == (None, "tool_calls", ("tool_call",))
    assert one(response=chat("")).response == ""


@pytest.mark.parametrize(
    "response",
    [
        chat("Hi."),
        "Hi.",
        {"object": "text_completion", "choices": [{"text": "Hi.", "finish_reason": "stop"}]},
        {"content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "Hi."}]},
        {"output": [{"type": "reasoning"}, {"type": "message",
                     "content": [{"type": "output_text", "text": "Hi."}]}]},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi."}]}}]},
    ],
)  # fmt: skip
def test_every_shape_of_answer_gives_its_text(response: Any) -> None:
    call = one(response=response)
    assert (call.response, call.flags) == ("Hi.", ())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("Hello?", "Hello?"),
        ([{"role": "user", "content": [{"type": "input_text", "text": "Hello?"}]}], "Hello?"),
        ({"role": "user", "content": "Hello?"}, "Hello?"),
        (["Hello?"], "Hello?"),
        (None, None),
        ([], None),
    ],
)
def test_every_shape_of_prompt_gives_its_text(asked: Any, expected: str | None) -> None:
    assert one(messages=asked).prompt == expected


def test_an_image_is_dropped_and_flagged() -> None:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {}}]
    call = one(messages=[{"role": "user", "content": parts}])
    assert (call.prompt, call.flags) == ("What is it?", ("parts_dropped",))


def test_redacted_texts_are_absent() -> None:
    text = "redacted-by-litellm"
    call = one(messages=[{"role": "user", "content": text}], response={"text": text})
    told = ("prompt_redacted", "redacted")
    assert (call.prompt, call.response, call.flags) == (None, None, told)


@pytest.mark.parametrize("kind", ["aembedding", "embedding", "image_generation", "arerank"])
def test_what_is_no_chat_is_filtered(kind: str) -> None:
    assert one(call_type=kind) == Filtered("not_chat")


@pytest.mark.parametrize("kind", ["completion", "aresponses", "anthropic_messages", "", None])
def test_every_kind_of_chat_is_a_call(kind: str | None) -> None:
    assert isinstance(one(call_type=kind), Call)


def test_the_variant_comes_from_a_tag_then_a_header_then_the_metadata() -> None:
    metadata = {
        "requester_custom_headers": {"X-Experiment-Variant": "header"},
        "requester_metadata": {"variant": "metadata"},
    }
    assert one(request_tags=["prod", "variant:tag"], metadata=metadata).variant == "tag"
    assert one(metadata=metadata).variant == "header"
    assert one(metadata={"requester_metadata": {"variant": "metadata"}}).variant == "metadata"
    assert (one().variant, one().origin) == ("production", "production")
    for aside in ("shadow:c", "probe:c"):
        assert one(request_tags=[f"variant:{aside}"]).origin == "shadow"


def test_unit_session_and_declared_segments() -> None:
    config = Config(segments=("tier", "experiment"))
    call = one(
        config, end_user="u-1", session_id="s-1", request_tags=["tier:gold", "User-Agent: curl"],
        metadata={"requester_metadata": {"experiment": "v7", "other": "x"}},
    )  # fmt: skip
    assert (call.unit, call.session) == ("u-1", "s-1")
    assert call.segment == (("experiment", "v7"), ("tier", "gold"))
    assert one(metadata={"user_api_key_end_user_id": "u-2"}).unit == "u-2"
    assert one(model_parameters={"user": "u-3"}).unit == "u-3"


def test_a_silent_twin_is_a_shadow_and_meets_its_pair_by_trace() -> None:
    twin, call = one(model_group="cand", litellm_call_id="call-2"), one()
    assert (twin.variant, twin.origin, twin.id) == ("shadow:cand", "shadow", "call-2")
    assert twin.pair == call.pair == "trace-1" and call.origin == "production"
    assert one(trace_id="a\x00").pair is None
    assert one(Config(), model_group="cand").origin == "production"
    assert one(Config()).pair is None


def test_our_own_shadow_request_is_not_counted_again() -> None:
    metadata = {"requester_custom_headers": {"x-vedette-shadow": "1"}}
    assert one(metadata=metadata) == Filtered("own_shadow")


def test_bad_times_and_numbers_reject_the_call() -> None:
    assert one(endTime=999.0) == Reject("bad_time")
    assert one(startTime=None) == Reject("bad_time")
    assert one(startTime=2301.0, endTime=2302.0) == Reject("future")
    assert one(prompt_tokens=-1) == Reject("bad_number")
    assert one(litellm_call_id="", id=None) == Reject("bad_id")
    assert one(litellm_call_id="").id == "chatcmpl-1"


def test_an_attempt_that_failed_does_not_take_the_id_of_the_answer() -> None:
    assert one(status="failure", response={}).id == "failed:call-1"
    assert len(one(status="failure", litellm_call_id="x" * 128).id) == 128


@pytest.mark.parametrize("topic_format", ["auto", "litellm"])
def test_a_batch_as_an_array_or_as_ndjson_keeps_its_good_calls(topic_format: Any) -> None:
    rows = [payload(), payload(startTime="x"), payload(litellm_call_id="call-3")]
    lines = b"\n".join(map(orjson.dumps, rows)) + b"\n"
    for value in (orjson.dumps(rows), lines):
        items = parse(value, topic_format, SILENT, 2000.0)
        assert [type(item) for item in items] == [Call, Reject, Call]
    torn = orjson.dumps(rows[0]) + b"\n{torn\n" + orjson.dumps(rows[2])
    middle = parse(torn, topic_format, SILENT, 2000.0)[1]
    assert isinstance(middle, Reject) and (middle.reason, middle.scope) == ("json", "call")


def _sample(name: str) -> Call:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip("the captured payloads lie beside the repository, in shared/samples")
    config = Config(intake=Intake(silent_models=("support-llm-candidate",)))
    (call,) = parse(path.read_bytes(), "auto", config, 1_795_470_000.0)
    assert isinstance(call, Call), call
    assert "raceback" not in repr(call)
    return call


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("01_chat.success", {"variant": "control", "unit": "end-user-7", "latency_s": 0.458362}),
        ("02_chat_stream.success", {"latency_s": 0.965345, "ttft_s": 0.301523}),
        ("05_rate_limit.failure", {"status": "error", "error": "429_RATE_LIMIT_EXCEEDED"}),
        ("08_tool_call.success", {"response": None, "flags": ("tool_call",), "tokens_out": 20}),
        ("11_router_vllm.success", {"model": "support-llm", "unit": "u-1", "ttft_s": None}),
        ("12_router_vllm_stream.success", {"latency_s": 0.304381, "ttft_s": 0.293064}),
        ("13_router_vllm_fail.failure", {"error": "503_PROVIDER_OVERLOADED", "tokens_in": None}),
        ("15_silent_primary.success", {"origin": "production", "pair": "trace-abc"}),
        ("15_silent_shadow.success", {"variant": "shadow:support-llm-candidate",
                                      "origin": "shadow", "pair": "trace-abc"}),
        ("proxy_record_01.success", {"variant": "treatment", "unit": "end-user-9"}),
    ],
)  # fmt: skip
def test_the_captured_payloads(name: str, expected: dict[str, Any]) -> None:
    call = _sample(f"{name}.json")
    for field, value in expected.items():
        found = getattr(call, field)
        assert found == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value)

"""The native record, the choice of the format, and the joining of halves."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from agent.config import Config, Limits
from agent.halves import join, merge_logs
from agent.record import Call, Feedback, Half, Item, Message, Reject
from consumers.formats import FORMATS, parse
from consumers.formats.fields import REASONS

CONFIG = Config(service="support")
ARRIVAL = 1_700_000_100.0


def record(**more: Any) -> dict[str, Any]:
    return {"id": "call-1", "at": 1_700_000_000.0, "model": "m-8b", **more}


def read(document: Any, config: Config = CONFIG) -> list[Item]:
    return parse(orjson.dumps(document), "native", config, ARRIVAL)


def one(document: Any, config: Config = CONFIG) -> Call:
    (item,) = read(document, config)
    assert isinstance(item, Call), item
    return item


def reason(document: Any) -> str:
    (item,) = read(document)
    assert isinstance(item, Reject) and item.scope == "call", item
    return item.reason


def test_a_full_record_fills_every_field() -> None:
    call = one(
        record(
            at="2023-11-14T22:13:20.5Z", service="bot", variant="treatment", unit=" u-1 ",
            session="s-1", segment={"tier": "gold", "country": "fr"}, prompt="Hello?",
            response="Hi.", contexts=["one", "two"], reference="Hi!", latency_s=1.5, ttft_s=0.25,
            tokens_in=3, tokens_out=2.0, cost_usd=0.001, status="error", error="Overloaded",
            finish="stop", origin="dataset", pair="call-0", feedback=-1, unknown={"kept": "out"},
        )
    )  # fmt: skip
    assert call == Call(
        id="call-1", at=1_700_000_000.5, model="m-8b", service="bot", variant="treatment",
        unit="u-1", session="s-1", segment=(("country", "fr"), ("tier", "gold")), prompt="Hello?",
        response="Hi.", contexts=("one", "two"), reference="Hi!", latency_s=1.5, ttft_s=0.25,
        tokens_in=3, tokens_out=2, cost_usd=0.001, status="error", error="Overloaded",
        finish="stop", origin="dataset", pair="call-0", feedback=-1.0, flags=("unknown_fields",),
    )  # fmt: skip
    assert type(call) is Call and hash(call) == hash(replace(call))
    with pytest.raises(AttributeError):
        setattr(call, "model", "other")  # noqa: B010  # an assignment would not type-check


def test_three_fields_are_enough_and_null_is_absent() -> None:
    assert one(record()) == Call("call-1", 1_700_000_000.0, "m-8b", service="support")
    assert one(record(prompt=None, latency_s=None, variant="", service="")) == one(record())


def test_a_field_that_nobody_reads_is_kept_out_and_flagged_among_absent_ones() -> None:
    assert one(record(respones="Hi.", prompt=None)) == replace(
        one(record()), flags=("unknown_fields",)
    )


@pytest.mark.parametrize("left_out", ["id", "at", "model"])
def test_a_required_field_is_missed_by_its_own_reason(left_out: str) -> None:
    document = record()
    del document[left_out]
    assert reason(document) == {"id": "bad_id", "at": "bad_time", "model": "bad_model"}[left_out]


def test_the_prompt_is_what_the_user_wrote_last() -> None:
    turns = [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": [{"type": "text", "text": "Second"}, "line"]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "t"}]},
    ]
    call = one(record(prompt=turns))
    assert call.prompt == "Second\nline"
    assert call.messages[0] == Message("system", "Be terse.")
    assert [turn.role for turn in call.messages] == [
        "system", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert call.flags == ("parts_dropped",)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("id", 7, "bad_id"),
        ("id", "", "bad_id"),
        ("id", "x" * 129, "bad_id"),
        ("id", "a\nb", "bad_id"),
        ("pair", "a\x00", "bad_id"),
        ("at", "1700000000", "bad_time"),
        ("at", "2023-11-14T22:13:20", "bad_time"),
        ("at", "2023-02-30T00:00:00Z", "bad_time"),
        ("at", True, "bad_time"),
        ("at", -1, "bad_time"),
        ("at", 4_102_444_801, "bad_time"),
        ("at", ARRIVAL + 301, "future"),
        ("model", "", "bad_model"),
        ("model", 5, "bad_text"),
        ("latency_s", -0.1, "bad_number"),
        ("latency_s", "1.5", "bad_number"),
        ("latency_s", True, "bad_number"),
        ("cost_usd", 2**53 + 2, "bad_number"),
        ("tokens_in", 1.5, "bad_number"),
        ("tokens_in", 1_000_000_001, "bad_number"),
        ("feedback", 1.01, "bad_number"),
        ("prompt", 42, "bad_text"),
        ("prompt", [42], "bad_text"),
        ("prompt", [{"content": "no role"}], "bad_text"),
        ("response", ["a"], "bad_text"),
        ("contexts", "a", "bad_text"),
        ("segment", {"a": 1}, "bad_text"),
        ("status", "failed", "bad_value"),
        ("origin", "staging", "bad_value"),
    ],
)
def test_a_bad_field_rejects_the_call_and_names_the_field(
    field: str, value: Any, expected: str
) -> None:
    (item,) = read(record(**{field: value}))
    assert item == Reject(expected, field, "call")
    assert expected in REASONS


@pytest.mark.parametrize(
    "at",
    [1_700_000_000, "2023-11-14T22:13:20Z", "2023-11-14t23:13:20.000000000+01:00"],
)
def test_the_same_instant_however_it_is_written(at: Any) -> None:
    assert one(record(at=at)).at == 1_700_000_000.0


def test_texts_are_capped_and_cleaned_and_say_so() -> None:
    config = Config(limits=Limits(text_chars=100))
    call = one(record(prompt="x" * 101, response="a\x00b", model="m" * 200), config)
    assert call.prompt == "x" * 100
    assert call.response == "a\ufffdb"
    assert call.model == "m" * 128
    assert call.flags == ("prompt_truncated", "sanitised", "truncated")


def test_a_redactors_placeholder_is_no_text() -> None:
    call = one(record(prompt="redacted-by-litellm", response="REDACTED"))
    assert (call.prompt, call.response, call.flags) == (None, None, ("prompt_redacted", "redacted"))


def test_a_segment_holds_sixteen_pairs() -> None:
    call = one(record(segment={f"k{i:02}": "v" for i in range(20)}))
    assert len(call.segment) == 16 and call.segment[-1][0] == "k15" and call.flags == ("truncated",)


def test_two_spellings_of_a_unit_are_one() -> None:
    assert one(record(unit="Zoe\u0308")).unit == one(record(unit="Zo\u00eb")).unit == "Zo\u00eb"
    assert one(record(unit="  ")).unit is None


@pytest.mark.parametrize("variant", ["shadow:cand", "probe:cand"])
def test_what_no_user_saw_is_never_production(variant: str) -> None:
    assert one(record(variant=variant)).origin == "shadow"
    assert one(record(variant=variant, origin="production")).origin == "shadow"
    assert one(record(variant=variant, origin="dataset")).origin == "dataset"


def test_feedback_is_its_own_record() -> None:
    document = {"feedback_for": "call-1", "at": 1_700_000_000, "value": 1}
    assert read(document) == [Feedback("call-1", 1_700_000_000.0, 1.0)]
    assert reason({**document, "value": 2}) == "bad_number"
    assert reason({**document, "feedback_for": ""}) == "bad_id"


def test_an_array_is_a_batch_and_two_documents_are_not() -> None:
    good = record(id="call-2")
    assert [type(item) for item in read([record(), record(at="x"), 5, good])] == [
        Call, Reject, Reject, Call,
    ]  # fmt: skip
    two = orjson.dumps(record()) + b"\n" + orjson.dumps(good)
    assert parse(two, "native", CONFIG, ARRIVAL)[0] == Reject(
        "json", "unexpected content after document at 49", "record"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"id": "a", "at": 1, "model": "m"}', "native"),
        (b' [{"startTime": 1, "call_type": "acompletion"}]', "litellm"),
        (b'{"litellm_call_id": "a", "model_group": ""}\n{"call_type": "x"}', "litellm"),
        (b'\n {"resourceSpans": []}', "otlp"),
        (b'{"resourceLogs": []}', "otlp"),
        (b"\n\x10\n\x00\x12\x0c", "otlp"),
    ],
)
def test_the_format_is_sniffed(value: bytes, expected: str) -> None:
    found = parse(value, "auto", CONFIG, ARRIVAL)
    assert [form for form in FORMATS if parse(value, form, CONFIG, ARRIVAL) == found] == [expected]


def test_the_topics_format_wins_over_the_look() -> None:
    value = orjson.dumps(record())
    assert parse(value, "litellm", CONFIG, ARRIVAL)[0] == Reject("bad_time", "", "call")
    assert parse(value, "otlp", CONFIG, ARRIVAL) == [
        Reject("bad_otlp", "neither resourceSpans nor resourceLogs", "record")
    ]
    assert set(FORMATS) == {"native", "litellm", "otlp"}


def half(side: Any, at: float = 5.0, **more: Any) -> Half:
    return Half("t-s", side, Call(**{"id": "t-s", "at": at, "model": "", **more}))


def test_what_the_span_says_wins_and_the_log_fills_the_rest() -> None:
    span = half("span", model="m", latency_s=1.0, tokens_in=0, finish="stop", flags=("b",))
    log = half(
        "log", 9.0, model="other", service="bot", prompt="Hi", messages=(Message("user", "Hi"),),
        response="Ho", tokens_in=7, tokens_out=4, finish="length", flags=("a",),
    )  # fmt: skip
    assert join(span, log) == Call(
        id="t-s", at=5.0, model="m", service="bot", prompt="Hi", messages=(Message("user", "Hi"),),
        response="Ho", latency_s=1.0, tokens_in=0, tokens_out=4, finish="stop", flags=("a", "b"),
    )  # fmt: skip


def test_log_events_of_two_records_merge_in_either_order() -> None:
    first = half("log", 1.0, prompt="A", messages=(Message("user", "A"),))
    then = half(
        "log", 2.0, prompt="B", response="R", finish="stop",
        messages=(Message("assistant", "x"), Message("user", "B")),
    )  # fmt: skip
    merged = merge_logs(first, then)
    assert merged == merge_logs(then, first)
    assert [turn.content for turn in merged.call.messages] == ["A", "x", "B"]
    assert (merged.call.at, merged.call.prompt, merged.call.response) == (1.0, "B", "R")


def test_log_events_delivered_twice_are_not_doubled() -> None:
    log = half("log", 1.0, prompt="A", messages=(Message("user", "A"),))
    redacted = half("log", 1.0, prompt="[x]", messages=(Message("user", "[x]"),))
    assert len(merge_logs(log, log).call.messages) == 1
    assert len(merge_logs(redacted, log).call.messages) == 1

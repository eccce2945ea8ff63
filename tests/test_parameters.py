"""Parameters of a request by every format, and what makes it one that cannot be asked again."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from agent.config import Config, Limits
from agent.intake import pack_half, unpack_half
from agent.record import Call, Half, Message
from consumers.formats import parse
from consumers.formats.parameters import BYTES
from tests.road import native
from tests.telemetry import ASKED, CHAT, SAID, span, traces
from tests.test_litellm import payload

FUNCTION = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
TOLD = {"temperature": 0.2, "seed": 7, "stop": ["\n"], "max_tokens": 64, "tools": [FUNCTION]}
SECRET = {"user": "ann", "metadata": {"a": 1}, "extra_headers": {"x": "y"}, "stream": True}


def one(document: Any, config: Config | None = None) -> Call:
    (item,) = parse(orjson.dumps(document), "auto", config or Config(), 2e9)
    call = item.call if isinstance(item, Half) else item
    assert isinstance(call, Call), call
    return call


def asked(parameters: Any) -> Call:
    """A native record with parameters."""
    return one(native(1, parameters=parameters))


def spoken(**attributes: Any) -> Call:
    """An OTLP span with texts and these attributes."""
    whole = {**CHAT, "gen_ai.input.messages": ASKED, "gen_ai.output.messages": SAID}
    return one(traces(span(whole | attributes)))


def test_parameters_are_the_same_from_every_format() -> None:
    expected = tuple(sorted(TOLD.items()))
    assert asked(TOLD | SECRET).parameters == expected
    assert one(payload(model_parameters=TOLD | SECRET)).parameters == expected
    plain = {name: value for name, value in TOLD.items() if name != "tools"}
    told = {f"gen_ai.request.{name}": value for name, value in plain.items() if name != "stop"}
    found = spoken(**told, **{"gen_ai.request.stop_sequences": ["\n"]})
    assert found.parameters == tuple(sorted(plain.items()))
    whole = spoken(**{"llm.invocation_parameters": orjson.dumps(TOLD | SECRET).decode()})
    assert whole.parameters == expected
    assert not any(call.flags for call in (asked(TOLD), found, whole))


def test_a_call_without_parameters_says_none() -> None:
    for call in (one(native(1)), one(payload()), spoken()):
        assert (call.parameters, call.flags) == ((), ())


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search"}]},
        {"tools": [FUNCTION, {"type": "code_interpreter", "container": {}}]},
        {"tools": [{"name": "look_up", "input_schema": {}}]},
        {"tools": {"look_up": {}}},
        {"web_search_options": {"search_context_size": "low"}},
        {"previous_response_id": "r-1"},
        {"instructions": "Be terse."},
        {"system": "Be terse."},
    ],
)
def test_what_is_held_elsewhere_flags_the_call(more: dict[str, Any]) -> None:
    assert asked(TOLD | more).flags == ("tools_dropped",)
    assert one(payload(model_parameters=more)).flags == ("tools_dropped",)


@pytest.mark.parametrize("key", ["gen_ai.tool.definitions", "llm.tools.0.tool.json_schema"])
def test_tools_that_a_span_leaves_unread_flag_the_call(key: str) -> None:
    assert spoken(**{key: "[...]"}).flags == ("tools_dropped",)


@pytest.mark.parametrize(
    "given", ["warm", [1], {"stop": ["x" * BYTES]}, {"stop": {"a": "x" * BYTES}}]
)
def test_parameters_that_cannot_be_kept_cost_the_call_nothing(given: Any) -> None:
    call = asked(given)
    assert (call.id, call.parameters, call.flags) == ("call-1", (), ("parameters_dropped",))


def test_parameters_nested_too_deeply_cost_their_span_nothing() -> None:
    deep = '{"stop":' + "[" * 400 + "]" * 400 + "}"
    call = spoken(**{"llm.invocation_parameters": deep})
    assert (call.parameters, call.flags) == ((), ("parameters_dropped",))


def test_only_what_the_prompt_lost_is_said_of_the_prompt() -> None:
    small = Config(limits=Limits(text_chars=100))
    long, marker = "x" * 101, "redacted"
    assert one(native(1, response=long), small).flags == ("truncated",)
    assert one(native(1, response=marker)).flags == ("redacted",)
    cut = ("prompt_truncated", "truncated")
    assert one(native(1, prompt=long), small).flags == cut
    turns = [{"role": "user", "content": long}]
    segment = {f"k{n}": "v" for n in range(20)}  # cut off too, and read before the prompt
    assert one(native(1, prompt=turns, segment=segment), small).flags == cut
    assert one(native(1, prompt="Why?", segment=segment, response=marker)).flags == (
        "redacted", "truncated",
    )  # fmt: skip
    assert one(payload(messages=turns), small).flags == cut
    assert one(payload(response={"text": marker})).flags == ("redacted",)


def test_parameters_wait_in_the_store_redacted_and_come_back() -> None:
    mail = (("stop", ["ann@example.org"]), ("tools", [{"a": {"b": "ann@example.org"}}]))
    call = replace(one(native(1)), parameters=(("seed", 7), *mail))

    class Row:
        body = pack_half(Half("k", "span", call), {}, {})
        topic, partition, offset, arrival = "t", 0, 0, 0.0

    assert b"example.org" not in Row.body
    assert unpack_half(Row).half.call.flags == ("prompt_redacted",)
    assert unpack_half(Row).half.call.parameters == (
        ("seed", 7), ("stop", ["[EMAIL]"]), ("tools", [{"a": {"b": "[EMAIL]"}}]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"prompt": "Write to ann@example.org."}, ("prompt_redacted",)),
        ({"messages": (Message("system", "Ask ann@example.org."),)}, ("prompt_redacted",)),
        ({"prompt": "Why?", "response": "Ask ann@example.org."}, ()),
    ],
)
def test_a_prompt_that_was_redacted_while_it_waited_is_not_asked_again(
    changes: dict[str, Any], flags: tuple[str, ...]
) -> None:
    call = replace(one(native(1)), parameters=(("stop", ["x"]),), **changes)

    class Row:
        body = pack_half(Half("k", "log", call), {}, {})
        topic, partition, offset, arrival = "t", 0, 0, 0.0

    assert unpack_half(Row).half.call.flags == flags


def test_a_half_that_the_release_before_stored_is_read() -> None:
    held = orjson.loads(pack_half(Half("k", "span", one(native(1))), {}, {}))
    del held["call"]["parameters"]

    class Row:
        body = orjson.dumps(held)
        topic, partition, offset, arrival = "t", 0, 0, 0.0

    assert unpack_half(Row).half.call == one(native(1))

"""Hostile inputs at the parser: each is answered as the list of them requires, and none raises."""

import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.broker import Format
from agent.config import Config, Limits
from agent.record import Call, Item, Reject
from consumers.formats import parse
from consumers.formats.fields import REASONS
from tests.pace import pace
from tests.telemetry import CHAT, PROMPTS, event, logs, protobuf, span, traces
from tests.test_litellm import payload

CONFIG = Config()
ARRIVAL = 1_700_000_100.0
NATIVE = b'{"id": "a", "at": 1700000000, "model": "m", "prompt": "Hello?", "tokens_in": 3}'


def swap(old: bytes, new: bytes) -> bytes:
    assert old in NATIVE
    return NATIVE.replace(old, new)


def read(value: bytes, topic_format: Format = "auto", config: Config = CONFIG) -> list[Item]:
    return parse(value, topic_format, config, ARRIVAL)


def one(value: bytes) -> Call:
    (item,) = read(value)
    assert isinstance(item, Call), item
    return item


REJECTED = [
    ("1 brackets", b"[" * 100_000, "too_deep"),
    ("1 brackets in a field", swap(b'"Hello?"', b"[" * 65 + b"]" * 65), "too_deep"),
    ("1 closed brackets", b"[" * 1000 + b"]" * 1000, "too_deep"),
    ("2 an unknown field", swap(b'"tokens_in": 3', b'"x":' + b'{"a":' * 100_000), "too_deep"),
    ("2 a shallower one", swap(b"3}", b'3, "x": ' + b'{"a":' * 64 + b"1" + b"}" * 65), "too_deep"),
    ("3 no UTF-8", b"\xff\xfe", "encoding"),
    ("3 no UTF-8 in a text", swap(b"Hello", b"He\xfflo"), "encoding"),
    ("4 overlong", swap(b"Hello", b"He\xc0\x80lo"), "encoding"),
    ("6 NUL in the id", swap(b'"a"', b'"a\\u0000"'), "bad_id"),
    ("6 a control in the id", swap(b'"a"', b'"a\\u001b[0m"'), "bad_id"),
    ("7 lone surrogate in the id", swap(b'"a"', b'"a\\ud800"'), "bad_id"),
    ("8 raw surrogate", swap(b"Hello", b"He\xed\xa0\x80lo"), "encoding"),
    ("11 NaN", swap(b": 3", b": NaN"), "non_finite"),
    ("11 -Infinity", swap(b": 3", b": -Infinity"), "non_finite"),
    ("11 behind other letters", swap(b'Hello?", "tokens_in": 3', 'é😀é": NaN'.encode()), "json"),
    (
        "11 behind a text",
        swap(b'Hello?", "tokens_in": 3', 'é😀é", "x": NaN'.encode()),
        "non_finite",
    ),
    ("11 1e400", swap(b": 3", b": 1e400"), "non_finite"),
    ("12 5,000 digits", swap(b": 3", b": " + b"9" * 5000), "non_finite"),
    ("12 30 digits", swap(b": 3", b": " + b"9" * 30), "bad_number"),
    ("12 2^63", swap(b": 3", b": 9223372036854775808"), "bad_number"),
    ("14 byte order mark", b"\xef\xbb\xbf" + NATIVE, "encoding"),
    ("14 UTF-16", NATIVE.decode().encode("utf-16"), "encoding"),
    ("14 UTF-16 without a mark", NATIVE.decode().encode("utf-16-le"), "encoding"),
    ("15 second document", NATIVE + b"\n" + NATIVE, "json"),
    ("15 second document on the line", NATIVE + NATIVE, "json"),
    ("15 empty", b"", "empty"),
    ("15 white space", b" \n", "empty"),
    ("15 null", b"null", "not_an_object"),
    ("15 a number", b"42", "not_an_object"),
    ("15 a text", b'"text"', "not_an_object"),
    ("15 torn", NATIVE[:-9], "json"),
    ("21 an id of 3 kB", swap(b'"a"', b'"' + b"x" * 3000 + b'"'), "bad_id"),
    ("22 64 MB", b'{"prompt": "' + b"x" * (64 << 20) + b'"}', "too_large"),
    ("23 9e14", swap(b"1700000000", b"9e14"), "bad_time"),
    ("23 -1", swap(b"1700000000", b"-1"), "bad_time"),
    ("23 a word", swap(b"1700000000", b'"x"'), "bad_time"),
    ("23 a number as a text", swap(b"1700000000", b'"1700000000"'), "bad_time"),
    ("23 year 294,707,238", swap(b"1700000000", b"9300000000000000"), "bad_time"),
    ("23 year 9999", swap(b"1700000000", b'"9999-01-01T00:00:00Z"'), "bad_time"),
    ("23 NaN", swap(b"1700000000", b"NaN"), "non_finite"),
    ("23 later than it arrived", swap(b"1700000000", b"1700000401"), "future"),
    ("a list", swap(b"1700000000", b"[]"), "bad_time"),
]


@pytest.mark.parametrize(("value", "reason"), [row[1:] for row in REJECTED],
                         ids=[row[0] for row in REJECTED])  # fmt: skip
def test_a_record_that_cannot_be_is_rejected_with_its_reason(value: bytes, reason: str) -> None:
    started = time.thread_time()
    (item,) = read(value)
    assert time.thread_time() - started < 0.5 * pace()
    assert isinstance(item, Reject) and item.reason == reason, item
    assert len(item.detail) <= 120 and "Hello" not in item.detail


def test_5_nul_in_a_text_is_replaced_and_flagged() -> None:
    call = one(swap(b"Hello", b"He\\u0000lo"))
    assert (call.prompt, call.flags) == ("He\ufffdlo?", ("sanitised",))


@pytest.mark.parametrize("escape", [b"\\ud800", b"\\uDFFF", b"\\udc00\\ud800", b"\\ud83dx"])
def test_7_and_9_lone_surrogates_are_replaced_and_flagged(escape: bytes) -> None:
    call = one(swap(b"Hello", b"He" + escape).replace(b'"m"', b'"m' + escape + b'"'))
    assert call.prompt and "\ufffd" in call.prompt and call.flags == ("sanitised",)
    (call.prompt + call.model).encode()


def test_7_a_repair_changes_nothing_else() -> None:
    call = one(swap(b"Hello", b"\\ud83d\\ude00 \\\\ud800 \\n \\ud800"))
    assert call.prompt == "\U0001f600 \\ud800 \n \ufffd?"


def test_10_a_long_name_is_cut() -> None:
    call = one(swap(b'"m"', b'"' + b"m" * (1 << 20) + b'"'))
    assert (call.model, call.flags) == ("m" * 128, ("truncated",))
    assert one(swap(b'"m"', b'"a\\n\\"\\u0000"')).model == 'a\n"\ufffd'


def test_13_of_a_doubled_key_the_last_counts_everywhere() -> None:
    assert one(swap(b'{"id": "a"', b'{"id": "a", "id": "b"')).id == "b"


def test_16_many_keys_are_cheap_or_refused_by_size() -> None:
    value = NATIVE[:-1] + b"".join(b',"k%06d":%d' % (i, i) for i in range(200_000)) + b"}"
    started = time.thread_time()
    assert isinstance(read(value)[0], Call)
    assert time.thread_time() - started < 0.5 * pace()
    (item,) = read(value, config=Config(limits=Limits(record_bytes=1 << 20)))
    assert isinstance(item, Reject) and item.reason == "too_large"


def test_19_and_20_headers_inside_a_payload_are_read_by_name_only() -> None:
    headers = {f"x-h{i}": "v" for i in range(10_000)}
    headers |= {"x-variant": "v" * 900_000, "__connect.errors.topic": "t", "x-replay-count": "9"}
    metadata = {"requester_custom_headers": headers}
    value = orjson.dumps(payload(metadata=metadata))
    call = one(value)
    assert call.variant == "v" * 128 and "connect" not in repr(call)


def test_25_one_bad_call_among_500() -> None:
    rows = [swap(b'"a"', b'"a%d"' % i) for i in range(500)]
    rows[250] = rows[250].replace(b"1700000000", b'"x"')
    items = read(b"[" + b",".join(rows) + b"]")
    assert sum(isinstance(item, Call) for item in items) == 499
    assert items[250] == Reject("bad_time", "at", "call")


LITERAL = [
    ("27 bidi, zero width, tags", "\u202e\u2066 \u200b\U000e0041 end"),
    ("32 SQL", "'; drop table calls; -- $1 %s :name"),
    ("33 paths", "../../etc/passwd file:///etc/passwd http://169.254.169.254/latest"),
    ("30 terminal", "\x1b[2J\r\n%s%n ${jndi:ldap://x}"),
]


@pytest.mark.parametrize("text", [row[1] for row in LITERAL], ids=[row[0] for row in LITERAL])
def test_27_32_33_texts_are_kept_as_they_came(text: str) -> None:
    names = ("model", "service", "variant", "session", "error", "finish")
    fields = dict.fromkeys((*names, "prompt", "response", "reference"), text)
    value = {"id": "a", "at": 1_700_000_000, "contexts": [text], "segment": {"k": text}, **fields}
    call = one(orjson.dumps(value))
    assert {getattr(call, name) for name in fields} == {text}
    assert call.contexts == (text,) and call.segment == (("k", text),) and call.flags == ()


def test_27_the_id_may_hold_what_is_no_control() -> None:
    assert one(swap(b'"a"', "'é\u202e $1'".replace("'", '"').encode())).id == "é\u202e $1"


def test_34_the_same_id_is_read_as_often_as_it_comes() -> None:
    rows = [one(swap(b"Hello?", b"%d" % i)) for i in range(1000)]
    assert {call.id for call in rows} == {"a"} and len({call.prompt for call in rows}) == 1000


def test_a_deep_value_in_an_otlp_message_is_refused() -> None:
    def nested(levels: int) -> dict[str, Any]:
        deep: Any = "x"
        for _ in range(levels):
            deep = [deep]
        return traces(span({**CHAT, "gen_ai.input.messages": deep}))

    (item,) = read(orjson.dumps(nested(70)), "otlp")
    assert isinstance(item, Reject) and item.reason == "too_deep"
    (item,) = read(protobuf(nested(40)) + b"\n", "otlp")
    assert isinstance(item, Reject) and item.reason == "protobuf"
    # A schema of a tool nests this deep, at three brackets a level.
    assert isinstance(read(orjson.dumps(nested(40)))[0], Call)


def test_a_conversation_of_a_million_turns_keeps_the_newest() -> None:
    turns = b'[{"role":"user","content":"x"},' + b"{}," * 1_000_000 + b'{"role":"user"}]'
    (item,) = read(swap(b'"Hello?"', turns), "native")
    assert isinstance(item, Reject) and item.reason == "bad_text"
    long = payload(messages=[{"role": "user", "content": str(i)} for i in range(5000)])
    call = one(orjson.dumps(long))
    assert (len(call.messages), call.prompt) == (1000, "4999")
    assert call.flags == ("prompt_truncated", "truncated")


VALID = [
    NATIVE,
    b"[" + NATIVE + b"," + NATIVE + b"]",
    orjson.dumps(payload()),
    orjson.dumps(payload()) + b"\n" + orjson.dumps(payload()),
    orjson.dumps(traces(span({**CHAT, **PROMPTS["openinference parts"]}))),
    protobuf(traces(span({**CHAT, **PROMPTS["structured"]}), span(CHAT))),
    protobuf(logs(event("gen_ai.choice", {"index": 0, "message": {"content": "Hi."}}))),
]
FORMATS: list[Format] = ["auto", "native", "litellm", "otlp"]


def check(items: list[Item]) -> None:
    for item in items:
        if isinstance(item, Reject):
            assert item.reason in REASONS and item.reason != "internal", item
        elif isinstance(item, Call):
            repr(item).encode()
            assert item.id and item.model and 0 <= item.at <= ARRIVAL + 300


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(FORMATS))
def test_random_bytes_never_raise(value: bytes, topic_format: Format) -> None:
    check(read(value, topic_format))
    check(read(b"\n" + value, topic_format))


DEPTHS = [300, pytest.param(1500, marks=pytest.mark.prove)]


def flipped(value: bytes, flips: list[tuple[int, int]], cut: int, topic_format: Format) -> None:
    data = bytearray(value[: len(value) - cut] if cut % 5 == 0 else value)
    for at, byte in flips:
        data[at % len(data)] = byte
    check(read(bytes(data), topic_format))


@pytest.mark.parametrize("examples", DEPTHS)
def test_flipped_bytes_never_raise(examples: int) -> None:
    prove = given(
        st.sampled_from(VALID),
        st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
        st.integers(0, 50),
        st.sampled_from(FORMATS),
    )(flipped)
    settings(max_examples=examples, deadline=None)(prove)()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def changed(data: st.DataObject, topic_format: Format) -> None:
    whole: dict[str, Any] = {
        "native": {**orjson.loads(NATIVE), "prompt": [{"role": "user", "content": "x"}],
                   "segment": {}, "contexts": [], "unit": "u"},
        "litellm": payload(),
        "otlp": traces(span({**CHAT, **PROMPTS["openinference"]}, events=[{"name": "x"}])),
    }[topic_format]  # fmt: skip
    node: Any = whole
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], (dict, list)) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(JSON)
    check(read(orjson.dumps(whole, option=orjson.OPT_NON_STR_KEYS), topic_format))


@pytest.mark.parametrize("examples", DEPTHS)
def test_a_field_of_any_type_never_raises(examples: int) -> None:
    kinds = st.sampled_from(["native", "litellm", "otlp"])
    settings(max_examples=examples, deadline=None)(given(st.data(), kinds)(changed))()

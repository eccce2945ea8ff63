"""Asks as bytes, answers as records, and the breaker."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import load_config
from agent.errors import BadRecord
from agent.record import Answer, Ask, Call, Message
from agent.shadows import Breaker as Settings
from agent.shadows import Candidate
from consumers.formats import parse
from shadow.answers import record_of
from shadow.asks import from_bytes, to_bytes
from shadow.breaker import Breaker
from shadow.candidates import answer_tokens, worst_case
from tests.conftest import Clock
from tests.shadows import NOW, ask, candidate

WHOLE = Ask(
    bytes(range(16)),
    "next",
    Call(
        "c1", NOW, "wren", service="shop", unit="u", session="s", segment=(("tenant", "acme"),),
        prompt="Why?", messages=(Message("system", "Be brief."), Message("user", "Why?")),
        contexts=("a", "b"), reference="Because.",
        parameters=(("temperature", 0.2), ("stop", ["x"]), ("logit_bias", {"5": 1})),
    ),
)  # fmt: skip


def test_what_is_written_is_read() -> None:
    assert from_bytes(to_bytes(WHOLE)) == WHOLE
    bare = Ask(bytes(16), "next", Call("c", 0.0, "m", prompt=""))
    assert from_bytes(to_bytes(bare)) == bare


def test_nothing_of_production_s_answer_is_in_it() -> None:
    told = ask(response="SECRET", error="SECRET", feedback=1.0, latency_s=1.0)
    assert b"SECRET" not in to_bytes(told) and b"latency" not in to_bytes(told)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, 10**40, "\ud800"])
def test_what_json_lacks_is_refused(value: object) -> None:
    try:
        again = from_bytes(to_bytes(ask(parameters=(("seed", value),))))
    except BadRecord as error:
        assert error.reason == "encoding"
    else:
        assert again.call.parameters == (("seed", None),)  # NaN is written as null


BAD = [
    (None, "empty"), (b"", "empty"), (b"{", "json"), (b"\xff", "json"), (b"[]", "not_an_object"),
    (b"[" * 5000, "json"), (b"null", "not_an_object"), (b"{}", "not_an_object"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "reason"), BAD)
def test_bad_bytes_are_a_bad_record(value: bytes | None, reason: str) -> None:
    with pytest.raises(BadRecord) as refused:
        from_bytes(value)
    assert refused.value.reason == reason


STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = [*json.loads(to_bytes(WHOLE))["call"], "ticket", "candidate", "call"]


@given(st.sampled_from(KEYS), STRANGE)
def test_whatever_stands_in_a_field_is_read_or_refused(key: str, value: object) -> None:
    body = json.loads(to_bytes(WHOLE))
    (body if key in body else body["call"])[key] = value
    try:
        found = from_bytes(json.dumps(body).encode())
    except BadRecord:
        return
    assert len(found.ticket) == 16 and isinstance(found.call.id, str)


@given(st.binary(max_size=40), st.integers(0, 400))
def test_flipped_bytes_are_read_or_refused(noise: bytes, at: int) -> None:
    value = to_bytes(WHOLE)
    try:
        from_bytes(value[:at] + noise + value[at + len(noise) :])
    except BadRecord as error:
        assert error.reason


def recorded(one: Ask, told: Candidate, answer: Answer, began: float) -> bytes:
    record = record_of(one, told, answer, began)
    assert record is not None
    return record


def test_an_answer_is_a_call_that_the_scorers_read() -> None:
    answer = Answer("ok", "Because.", None, "stop", 1.5, 0.2, 7, 3)
    one = candidate(price={"input": 2.0, "output": 10.0})
    (call,) = parse(recorded(WHOLE, one, answer, NOW + 5), "auto", load_config(), NOW + 9)
    assert isinstance(call, Call)
    assert call.id == "shadow-000102030405060708090a0b0c0d0e0f"
    assert (call.variant, call.origin, call.pair) == ("shadow:next", "shadow", "c1")
    assert (call.model, call.service, call.at) == ("next-1", "shop", NOW + 5)
    assert (call.response, call.status, call.finish) == ("Because.", "ok", "stop")
    assert (call.latency_s, call.ttft_s, call.tokens_in, call.tokens_out) == (1.5, 0.2, 7, 3)
    assert call.cost_usd == pytest.approx((7 * 2 + 3 * 10) / 1e6)
    same = ("unit", "session", "segment", "prompt", "messages", "contexts", "reference")
    assert {name: getattr(call, name) for name in same} == {
        name: getattr(WHOLE.call, name) for name in same
    }


@pytest.mark.parametrize("status", ["error", "timeout"])
def test_a_failure_is_a_call_that_failed(status: str) -> None:
    answer = Answer(status, error="reset", latency_s=0.1)  # type: ignore[arg-type]  # one of two
    (call,) = parse(recorded(ask(), candidate(), answer, NOW), "auto", load_config(), NOW + 1)
    assert isinstance(call, Call)
    assert (call.status, call.error, call.response) == (status, "reset", None)


def test_the_worst_case_is_never_below_what_a_call_can_cost() -> None:
    one = candidate(answer_tokens=100, price={"input": 1.0, "output": 2.0})
    need = worst_case(ask(prompt="\u00e9" * 50).call, one)
    assert need.calls == 1 and need.tokens >= 100 + 100  # two bytes a letter
    assert need.microusd >= 100 * 1 + 100 * 2
    for value, wanted in ((7, 7), (0, 100), (-1, 100), (10**12, 100), ("9", 100), (True, 100)):
        assert answer_tokens(ask(parameters=(("max_tokens", value),)).call, 100) == wanted


def test_records_are_json_whatever_a_candidate_says() -> None:
    said = Answer("ok", "\0\u202e\U000e0041" * 10, finish="x", tokens_out=10**9)
    assert orjson.loads(recorded(ask(), candidate(), said, NOW))["response"] == said.text


def tried(breaker: Breaker, ok: bool) -> bool:
    turn = breaker.begin()
    if turn is not None:
        breaker.end(turn, ok)
    return turn is not None


def test_failures_in_a_row_open_it_and_one_call_tries(clock: Clock) -> None:
    breaker = Breaker(Settings(failures=3, open_s=10, most_s=35), clock)
    assert [tried(breaker, ok) for ok in (False, False, True, False, False)] == [True] * 5
    assert breaker.state == "closed"
    assert tried(breaker, False)
    for wait_s in (10, 20, 35, 35):
        clock.advance(wait_s - 0.1)
        assert breaker.state == "open" and breaker.begin() is None
        clock.advance(0.1)
        assert breaker.state == "half_open"
        turn = breaker.begin()
        assert turn is not None and breaker.begin() is None, "more than one call tries"
        breaker.end(turn, False)
    clock.advance(35)
    assert tried(breaker, True) and breaker.state == "closed"
    assert [tried(breaker, False) for _ in range(4)] == [True] * 3 + [False]
    clock.advance(10)
    assert breaker.state == "half_open", "the wait did not begin anew"


def test_calls_of_another_turn_say_nothing(clock: Clock) -> None:
    breaker = Breaker(Settings(failures=2, open_s=10), clock)
    old = [breaker.begin() for _ in range(6)]
    for turn in old[:2]:
        assert turn is not None
        breaker.end(turn, False)
    assert breaker.state == "open"
    for turn, ok in zip(old[2:], (True, False, False, True), strict=True):
        assert turn is not None
        breaker.end(turn, ok)
    assert breaker.state == "open"
    clock.advance(10)
    turn = breaker.begin()
    assert turn is not None
    breaker.withdraw(turn)
    assert tried(breaker, True) and breaker.state == "closed"

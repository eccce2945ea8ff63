"""The endpoint's client against every way in which an endpoint can misbehave."""

import asyncio
import codecs
import logging
import resource
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BadConfig
from agent.record import Answer, Call, Message
from agent.shadows import Candidate
from shadow.addresses import is_public
from shadow.client import Endpoint
from shadow.replies import read_events
from tests.live import endpoint
from tests.shadows import candidate

KEY = "sk-canary-4711"
TURNS = (Message("system", "Be brief."), Message("user", "Why?"))
CALL = Call(
    "c1", 0.0, "wren", prompt="Why?", messages=TURNS,
    parameters=(("temperature", 0.2), ("seed", 7), ("max_tokens", 50), ("n", 9), ("user", "ann"),
                ("stream", False), ("model", "other"), ("tools", [{}]), ("metadata", {"a": 1})),
)  # fmt: skip


def ask(one: Candidate, call: Call = CALL) -> Answer:
    async def go() -> Answer:
        model = Endpoint("shadow.candidates.next", one)
        try:
            return await model.ask(call)
        finally:
            await model.close()

    return asyncio.run(go())


def asked(mode: str, stream: bool, **more: Any) -> tuple[Answer, endpoint.Endpoint]:
    with endpoint.Endpoint(mode) as fake:
        # Only what never ends is given up soon: a busy machine may stand still for a while.
        told = {"timeout_s": 1.5 if mode in ("hang", "endless") else 60.0}
        told |= {"stream": stream, "answer_bytes": 1 << 16} | more
        return ask(candidate(fake.url, **told)), fake


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_is_read_and_the_question_is_production_s(stream: bool) -> None:
    answer, fake = asked("ok", stream, key=KEY)
    assert (answer.status, answer.text, answer.finish) == ("ok", "Because it is.", "stop")
    assert (answer.tokens_in, answer.tokens_out, answer.error) == (7, 3, None)
    assert (answer.ttft_s is not None) == stream
    ((headers, body),) = fake.asked
    wanted = {
        "model": "next-1", "temperature": 0.2, "seed": 7, "max_tokens": 50, "stream": stream,
        "messages": [{"role": turn.role, "content": turn.content} for turn in TURNS],
    }  # fmt: skip
    assert body == wanted | ({"stream_options": {"include_usage": True}} if stream else {})
    told = {name.lower(): value for name, value in headers.items()}
    assert (told["x-vedette-shadow"], told["accept-encoding"]) == ("1", "identity")
    assert told["user-agent"].startswith("vedette/")
    assert told["authorization"] == f"Bearer {KEY}"
    assert told["host"] == f"127.0.0.1:{fake.port}"


def test_one_length_is_sent_and_it_is_the_reserved_one() -> None:
    both = (("max_completion_tokens", 9), ("max_tokens", 100_000))
    with endpoint.Endpoint() as fake:
        ask(candidate(fake.url), replace(CALL, parameters=both))
    ((_, body),) = fake.asked
    assert body["max_completion_tokens"] == 9 and "max_tokens" not in body


def test_the_first_token_of_a_slow_stream_comes_before_its_end() -> None:
    answer, _ = asked("slow", True)
    assert answer.ttft_s is not None and answer.latency_s is not None
    assert endpoint.SLOW_S < answer.ttft_s < answer.latency_s - endpoint.SLOW_S


@pytest.mark.parametrize("cut", [1, 2, 3, 40])
def test_a_mark_of_the_byte_order_costs_no_event(cut: int) -> None:
    body = codecs.BOM_UTF8 + b"".join(endpoint.stream()) + b"data: [DONE]\n\n"

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:cut]
        yield body[cut:]

    first = codecs.BOM_UTF8 + endpoint.event({"content": "One. "})
    reply = asyncio.run(read_events(chunks(), 1 << 16, lambda: 0.0))
    assert reply.text == "Because it is."

    async def said() -> AsyncIterator[bytes]:
        yield first + body[len(codecs.BOM_UTF8) :]

    assert asyncio.run(read_events(said(), 1 << 16, lambda: 0.0)).text == "One. Because it is."


FAILURES = {
    "hang": "timeout", "reset": "reset", "429": "rate_limited", "500": "server_error",
    "401": "refused", "redirect": "redirect", "wrong_type": "wrong_type", "gzip_bomb": "encoded",
    "bad_json": "bad_json", "deep_json": "bad_json", "tool_calls": "no_text",
    "gigabyte": "too_large", "long_line": "too_large",
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("mode", "word"), FAILURES.items())
def test_a_failure_is_an_answer_with_one_word(mode: str, word: str, stream: bool) -> None:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer, fake = asked(mode, stream, answer_bytes=1 << 20 if mode == "tool_calls" else 1 << 16)
    assert (answer.status, answer.error) == ("timeout" if word == "timeout" else "error", word)
    assert answer.text is None
    assert len(fake.asked) == 1, "a failed call was tried again"
    assert time.monotonic() - began < 30
    # A gigabyte or an unpacked bomb would be far more.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.mark.parametrize("stream", [True, False])
def test_what_never_ends_is_cut_off_in_time(stream: bool) -> None:
    began = time.monotonic()
    answer, _ = asked("endless", stream)
    assert answer.error in ("too_large", "timeout")
    assert time.monotonic() - began < 30


def test_an_answer_that_breaks_off_is_none() -> None:
    assert asked("cut", True)[0].error == "cut"
    assert asked("cut", False)[0].error == "bad_json"


@pytest.mark.parametrize("stream", [True, False])
def test_huge_usage_is_no_number_of_tokens(stream: bool) -> None:
    answer, _ = asked("huge", stream)
    assert (answer.status, answer.tokens_in, answer.tokens_out) == ("ok", None, 10**9)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "169.254.169.254", "[::1]"])
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    with endpoint.Endpoint() as fake:
        one = candidate(f"https://{host}:{fake.port}/v1", private=False)
        assert ask(one).error == "private_address"
        assert fake.asked == []


def test_what_hides_in_an_address_is_seen() -> None:
    public = ("8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808")
    private = ("10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
               "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
               "::", "fec0::1", "::7f00:1", "64:ff9b:1::7f00:1", "::ffff:0:7f00:1",
               "no address")  # fmt: skip
    assert [one for one in public if not is_public(one)] == []
    assert [one for one in private if is_public(one)] == []


def test_the_checked_address_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is resolved once: a second answer of the resolver is never asked for."""
    answers = [["127.0.0.1"], ["127.0.0.9"]]

    async def once(host: str, port: int, private: bool) -> list[str]:
        assert host == "candidate.example"
        return answers.pop(0)

    monkeypatch.setattr("shadow.client.resolve", once)
    with endpoint.Endpoint() as fake:
        answer = ask(candidate(f"http://candidate.example:{fake.port}/v1"))
        assert answer.status == "ok" and len(answers) == 1
        told = {name.lower(): value for name, value in fake.asked[0][0].items()}
        assert told["host"] == f"candidate.example:{fake.port}"


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert asked("ok", True)[0].status == "ok"


def test_nobody_there_and_no_such_name() -> None:
    assert ask(candidate("http://127.0.0.1:9/v1")).error == "connect"
    assert ask(candidate("http://no-such-host.invalid/v1", timeout_s=60.0)).error == "no_address"


def test_the_key_is_read_from_a_file_and_never_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    with caplog.at_level(logging.DEBUG), endpoint.Endpoint() as fake:
        for mode in ("ok", "500", "reset", "bad_json"):
            fake.mode = mode
            ask(candidate(fake.url, key_file=str(file)))
        assert {one["authorization"] for one, _ in fake.asked} == {f"Bearer {KEY}"}
    assert KEY not in caplog.text
    assert KEY not in repr(candidate(key=KEY))


@pytest.mark.parametrize("content", ["", "two words", "two\nlines", "k\xe9y"])
def test_a_key_that_is_none_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    for path in (file, tmp_path / "absent"):
        with pytest.raises(BadConfig, match=r"shadow\.candidates\.next\.key_file") as refused:
            Endpoint("shadow.candidates.next", candidate(key_file=str(path)))
        assert content == "" or content not in str(refused.value)

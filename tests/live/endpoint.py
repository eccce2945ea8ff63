"""A fake OpenAI-compatible endpoint on loopback that answers, or misbehaves in a named way."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

EVENTS, JSON = "text/event-stream", "application/json"
WORDS = ("Because ", "it ", "is.")
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
HUGE = {"prompt_tokens": 10**30, "completion_tokens": 10**9}
SLOW_S = 0.4


class Endpoint:
    """Answers `POST /v1/chat/completions` as `mode` says; the mode may change at any time.

    What was asked is kept in `asked` as (headers, body), and `most` is how many ran at once.
    """

    def __init__(self, mode: str = "ok") -> None:
        self.mode = mode
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        # What the mode "say" answers to a body.
        self.say: Callable[[dict[str, Any]], str] = lambda _: "".join(WORDS)
        # From so many questions on it answers 500.
        self.dies_at: int | None = None
        self.now = self.most = 0
        self.lock, self.over = threading.Lock(), threading.Event()
        self._http = _Http(("127.0.0.1", 0), _Answer)
        self._http.endpoint = self
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def asked_with(self, key: str) -> list[dict[str, Any]]:
        """The bodies of those who showed this key."""
        return [body for head, body in self.asked if f"Bearer {key}" in head.values()]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    endpoint: Endpoint

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what many modes are for."""


class _Answer(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        end = self.server.endpoint
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with end.lock:
            end.now += 1
            end.most = max(end.most, end.now)
            end.asked.append((dict(self.headers.items()), body))
            dead = end.dies_at is not None and len(end.asked) >= end.dies_at
            mode = "500" if dead else end.mode
        self.body, self.streamed, self.runs = body, body["stream"], True
        try:
            MODES[mode](self)
        finally:
            self.ends()

    def ends(self) -> None:
        """It runs no more: before its last words, for who has heard them may ask again."""
        with self.server.endpoint.lock:
            self.server.endpoint.now -= self.runs
            self.runs = False

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def head(self, status: int = 200, kind: str | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind or (EVENTS if self.streamed else JSON))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def until_over(self, chunk: Callable[[], bytes], seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.server.endpoint.over.is_set():
            self.write(chunk())


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices} | more).encode() + b"\n\n"


def whole(usage: dict[str, int] = USAGE, said: str = "".join(WORDS)) -> bytes:
    message = {"role": "assistant", "content": said}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return json.dumps({"choices": choices, "usage": usage}).encode()


def stream(usage: dict[str, int] = USAGE) -> Iterator[bytes]:
    yield event({"role": "assistant", "content": ""})
    yield from (event({"content": word}) for word in WORDS)
    yield event({}, "stop")
    yield b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def ok(one: _Answer, usage: dict[str, int] = USAGE, pause_s: float = 0.0) -> None:
    one.head()
    *parts, last = stream(usage) if one.streamed else [whole(usage)]
    for part in parts:
        time.sleep(pause_s)
        one.write(part)
    time.sleep(pause_s)
    one.ends()
    one.write(last)


def say(one: _Answer) -> None:
    said = one.server.endpoint.say(one.body)
    one.head()
    if not one.streamed:
        one.ends()
        return one.write(whole(said=said))
    one.write(event({"role": "assistant", "content": ""}) + event({"content": said}))
    one.ends()
    one.write(event({}, "stop") + b"data: [DONE]\n\n")


def slow(one: _Answer) -> None:
    ok(one, pause_s=SLOW_S)


def huge(one: _Answer) -> None:
    ok(one, HUGE)


def hang(one: _Answer) -> None:
    one.server.endpoint.over.wait(60)


def reset(one: _Answer) -> None:
    one.connection.close()
    one.close_connection = True


def cut(one: _Answer) -> None:
    one.head()
    one.write(event({"content": "Beca"}) if one.streamed else whole()[:20])


def endless(one: _Answer) -> None:
    """Events for ever that hold next to nothing, or a body that never ends."""
    one.head()
    filler = event({"content": ""}) * 100 if one.streamed else b" " * 1000
    one.until_over(lambda: filler)


def long_line(one: _Answer) -> None:
    one.head()
    one.write(b"data: ")
    one.until_over(lambda: b"x" * 65536)


def gigabyte(one: _Answer) -> None:
    one.head(content_length=str(1 << 30))
    part = event({"content": "x" * 65536}) if one.streamed else b"x" * 65536
    one.until_over(lambda: part)


def gzip_bomb(one: _Answer) -> None:
    bomb = gzip.compress(b" " * (64 << 20), 1)
    one.head(content_encoding="gzip", content_length=str(len(bomb)))
    one.write(bomb)


def bad_json(one: _Answer) -> None:
    one.head()
    one.write(b"data: {not json\n\ndata: [DONE]\n\n" if one.streamed else b"{not json")


def deep_json(one: _Answer) -> None:
    one.head()
    one.write((b"data: " if one.streamed else b"") + b"[" * 20_000 + b"\n\n")


def wrong_type(one: _Answer) -> None:
    one.head(kind="text/html")
    one.write(b"<html>")


def tool_calls(one: _Answer) -> None:
    one.head()
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    if one.streamed:
        one.write(event({"content": None, "tool_calls": [call]}) * 10_000)
        one.write(event({}, "tool_calls") + b"data: [DONE]\n\n")
        return
    message = {"content": None, "tool_calls": [call] * 10_000}
    choices = [{"message": message, "finish_reason": "tool_calls"}]
    one.write(json.dumps({"choices": choices}).encode())


def status(code: int, **headers: str) -> Callable[[_Answer], None]:
    def answer(one: _Answer) -> None:
        one.head(code, **headers)
        one.write(b"{}")

    return answer


MODES: dict[str, Callable[[_Answer], None]] = {
    "ok": ok, "say": say, "slow": slow, "huge": huge, "hang": hang, "reset": reset, "cut": cut,
    "endless": endless, "long_line": long_line, "gigabyte": gigabyte, "gzip_bomb": gzip_bomb,
    "bad_json": bad_json, "deep_json": deep_json, "wrong_type": wrong_type,
    "tool_calls": tool_calls, "401": status(401), "429": status(429, retry_after="0"),
    "500": status(500), "redirect": status(302, location="http://169.254.169.254/latest/"),
}  # fmt: skip

"""The simulator's own candidate behind an OpenAI-compatible address, for `vedette shadow`."""

import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from agent.errors import BadConfig
from agent.record import Answer
from consumers.simulate import Scenario, fair_answers, simulate
from consumers.understudy import CHARS_A_TOKEN, KNOWN, answered

_PATH, _BODY_BYTES, _WAIT_S = "/v1/chat/completions", 1 << 20, 10.0


class Stage:
    """Answers what the simulated service was asked, as long after it as the understudy takes.

    A question that nobody asked the service is refused with 404. Raises BadConfig for an address
    that cannot be listened on.
    """

    def __init__(self, host: str, port: int) -> None:
        self._fair: dict[str, tuple[str, str]] = {}
        self._over = threading.Event()
        try:
            self._http = _Http((host, port), _Answer)
        except OSError as error:
            problem = error.strerror or type(error).__name__
            raise BadConfig("--answer", f"cannot listen on {host}:{port}: {problem}") from None
        self._http.stage, self.port = self, int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, name="stage", daemon=True)
        self._thread.start()

    def learn(self, scenario: Scenario) -> None:
        """Answer the calls of a scenario, and of the newest before it."""
        fair = fair_answers(scenario)
        for record in simulate(scenario):
            if record.kind in ("call", "late"):
                call = orjson.loads(record.value)
                self._fair[_question(call["prompt"])] = call["id"], fair[call["id"]]
        self._fair = dict(list(self._fair.items())[-KNOWN:])

    def say(self, question: str) -> Answer | None:
        """The answer, once it would be whole; None to a question that it does not know."""
        known = self._fair.get(question)
        if known is None:
            return None
        answer = answered(known[0], question, known[1], len(question) // CHARS_A_TOKEN)
        self._over.wait(answer.latency_s)
        return answer

    def close(self) -> None:
        """Answer nobody any more."""
        self._over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def _question(prompt: Any) -> str:
    """The last turn of a prompt, which is a text or a list of turns."""
    return str(prompt if isinstance(prompt, str) else prompt[-1]["content"])


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    stage: Stage

    def server_bind(self) -> None:
        # HTTPServer looks its own name up here, which waits for a resolver that may be away.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Answer(BaseHTTPRequestHandler):
    server: _Http
    server_version = "vedette"
    sys_version = ""
    timeout = _WAIT_S

    def do_GET(self) -> None:
        alive = self.path == "/livez"
        self._send(200 if alive else 404, "text/plain", b"ok\n" if alive else b"not found\n")

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if self.path != _PATH or not length.isdigit() or int(length) > _BODY_BYTES:
            return self._refuse(404 if self.path != _PATH else 413, "no such address, or too long")
        try:
            body = orjson.loads(self.rfile.read(int(length)))
            question, stream = _question(body["messages"]), body.get("stream") is True
        except (ValueError, TypeError, KeyError, IndexError):
            return self._refuse(400, "no chat completion is asked for")
        answer = self.server.stage.say(question)
        if answer is None:
            return self._refuse(404, "the simulated service was not asked that")
        told = b"".join(_events(answer)) if stream else _whole(answer)
        self._send(200, "text/event-stream" if stream else "application/json", told)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _refuse(self, status: int, why: str) -> None:
        self._send(status, "application/json", orjson.dumps({"error": {"message": why}}))

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _usage(answer: Answer) -> dict[str, int]:
    return {"prompt_tokens": answer.tokens_in or 0, "completion_tokens": answer.tokens_out or 0}


def _whole(answer: Answer) -> bytes:
    message = {"role": "assistant", "content": answer.text}
    choices = [{"index": 0, "message": message, "finish_reason": answer.finish}]
    return orjson.dumps({"choices": choices, "usage": _usage(answer)})


def _events(answer: Answer) -> Iterator[bytes]:
    parts: tuple[dict[str, Any], ...] = (
        {"choices": [{"index": 0, "delta": {"content": answer.text}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish}]},
        {"choices": [], "usage": _usage(answer)},
    )
    yield from (b"data: " + orjson.dumps(part) + b"\n\n" for part in parts)
    yield b"data: [DONE]\n\n"

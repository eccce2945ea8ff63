"""What tests of alerts share: findings, and a webhook on this machine."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agent.config import Config, load_config
from agent.findings import Finding, State
from agent.store import Store
from agent.store.findings import put_findings

START = 1_767_225_600
NAME = (
    *(("service", "support"), ("model", "m-small"), ("variant", "production")),
    *(("metric", "response_relevance"), ("version", "told 1")),
)
DRIFT = Finding(
    "drift", NAME, "firing", "warning", START, START + 60, "relevance fell from .71 to .56", n=312,
    statistic=17.25, threshold=16.5, effect=-0.15, lower=-0.19, upper=-0.11,
    facts=(("side", "below"), ("onset", START - 40), ("baseline_mean", 0.71)),
)  # fmt: skip


def drift(state: State = "firing", **changes: Any) -> Finding:
    return replace(DRIFT, state=state, **changes)


def kept(store: Store, *found: Finding, now: float = START, source: str = "live") -> None:
    with store.transaction() as tx:
        put_findings(tx, source, found, now)


def alerting(**alerts: Any) -> Config:
    return load_config(models=False, alerts={"timeout_s": 20, "resend_s": 60} | alerts)


class Hook:
    """A webhook: what it was posted, and how it answers."""

    def __init__(self) -> None:
        self.posts: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.status, self.wait_s = 200, 0.0
        hook = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                time.sleep(hook.wait_s)
                hook.headers.append(dict(self.headers))
                hook.posts.append(json.loads(body))
                self.send_response(hook.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}/api/v2/alerts"


@contextmanager
def hooked() -> Iterator[Hook]:
    hook = Hook()
    thread = threading.Thread(target=hook.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hook
    finally:
        hook.server.shutdown()
        thread.join()
        hook.server.server_close()

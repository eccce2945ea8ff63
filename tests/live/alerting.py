"""A real Prometheus and Alertmanagers that tell a webhook of ours."""

import json
import signal
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml

from deploy.local.child import Child, await_ready, free_port


@dataclass(frozen=True, slots=True)
class Told:
    """One alert in one message: when it came, where to, and since when it is so (epoch seconds)."""

    at: float
    path: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    since: float


class Webhook(AbstractContextManager["Webhook"]):
    """Takes what Alertmanager sends, in the order in which it comes."""

    def __init__(self) -> None:
        self.heard: list[Told] = []
        heard = self.heard

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at, body = time.time(), self.rfile.read(int(self.headers["Content-Length"]))
                for one in json.loads(body)["alerts"]:
                    since = datetime.fromisoformat(one["startsAt"]).timestamp()
                    words = one["labels"], one["annotations"]
                    heard.append(Told(at, self.path, one["status"], *words, since))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


# Every alert at once and alone: no grouping, nothing is held back.
PLAIN = {
    "route": {"receiver": "all", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"},
    "receivers": [{"name": "all"}],
}


def alertmanager(folder: Path, tree: Mapping[str, Any]) -> tuple[Child, int]:
    """Start one on a configuration; gives it and its port."""
    folder.mkdir()
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(dict(tree)))
    port = free_port()
    command = (
        "prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=data",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    )  # fmt: skip
    server = Child(command, folder)
    await_ready(server, lambda: answers(port), "Alertmanager did not start")
    return server, port


class Prometheus:
    """One server that scrapes jobs, each at one port, and tells Alertmanagers at theirs."""

    def __init__(
        self, folder: Path, rules: str, jobs: Mapping[str, int], tells: list[int],
        scrape_ms: int, evaluate_ms: int,
    ) -> None:  # fmt: skip
        folder.mkdir()
        (folder / "rules.yml").write_text(rules)
        every = f"{scrape_ms}ms"
        tree = {
            "global": {
                "scrape_interval": every, "scrape_timeout": every,
                "evaluation_interval": f"{evaluate_ms}ms",
            },
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": _at(*tells)}]},
            "scrape_configs": [
                {"job_name": job, "static_configs": _at(port)} for job, port in jobs.items()
            ],
        }  # fmt: skip
        (folder / "prometheus.yml").write_text(yaml.safe_dump(tree))
        self.port = free_port()
        command = (
            "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )  # fmt: skip
        self.server = Child(command, folder)
        await_ready(self.server, lambda: answers(self.port), "Prometheus did not start")

    def ask(self, query: str) -> list[dict[str, str]]:
        """The label sets that a query finds now."""
        where = f"http://127.0.0.1:{self.port}/api/v1/query?"
        told = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(where + told, timeout=10) as answer:
            return [row["metric"] for row in json.load(answer)["data"]["result"]]


def _at(*ports: int) -> list[dict[str, list[str]]]:
    return [{"targets": [f"127.0.0.1:{port}" for port in ports]}]


def answers(port: int) -> bool:
    """Whether the server there is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Alerting(AbstractContextManager["Alerting"]):
    """All of it; `shipped` is a second Alertmanager with a configuration as it is shipped."""

    def __init__(
        self, folder: Path, rules: str, jobs: Mapping[str, int], shipped: Callable[[str], Any],
        scrape_ms: int, evaluate_ms: int,
    ) -> None:  # fmt: skip
        with ExitStack() as held:
            self.hook = held.enter_context(Webhook())
            receiver = {"name": "all", "webhook_configs": [{"url": f"{self.hook.url}/all"}]}
            trees = {"plain": PLAIN | {"receivers": [receiver]}, "shipped": shipped(self.hook.url)}
            ports = []
            for name, tree in trees.items():
                server, port = alertmanager(folder / name, tree)
                held.callback(server.end, signal.SIGKILL)
                ports.append(port)
            where = folder / "prometheus"
            self._shipped = ports[1]
            self.prometheus = Prometheus(where, rules, jobs, ports, scrape_ms, evaluate_ms)
            held.callback(self.prometheus.server.end, signal.SIGKILL)
            self._held = held.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def suppressed(self, **labels: str) -> int:
        """How many alerts the shipped configuration holds back because of another one."""
        where = f"http://127.0.0.1:{self._shipped}/api/v2/alerts?active=false&silenced=false"
        with urllib.request.urlopen(where, timeout=10) as answer:
            held = [one for one in json.load(answer) if one["status"]["inhibitedBy"]]
        return sum(labels.items() <= one["labels"].items() for one in held)

    def told(self, name: str, status: str, path: str = "/all", **labels: str) -> list[Told]:
        """What was heard of an alert, first to last."""
        return [
            one for one in list(self.hook.heard)
            if (one.labels["alertname"], one.status, one.path) == (name, status, path)
            and labels.items() <= one.labels.items()
        ]  # fmt: skip

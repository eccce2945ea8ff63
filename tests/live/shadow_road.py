"""The whole road of a candidate: calls in, a real worker, a real dispatcher, a fake endpoint."""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from kafka import KafkaProducer

from agent.store import Store, tickets
from agent.store.tickets import OUT
from deploy.local.child import free_port
from tests.conftest import MakeTopic
from tests.live.asking import next_one
from tests.live.broker import Broker
from tests.live.test_main_job import MAIN, page, vedette
from tests.shadows import states
from tests.waiting import wait_until

REFUSAL = "I'm sorry, but I can't help with that."
# The road is that of every call, so pairs are made soon after the last ticket is settled.
PANES = {"width_s": 1, "request_timeout_s": 0, "lateness_s": 5}


class ShadowRoad:
    """`vedette run` and `vedette shadow` on topics of their own, every call being asked again.

    Where sessions are short, who takes over from a killed process need not wait for it.
    """

    def __init__(
        self, folder: Path, broker: Broker, topic: MakeTopic, url: str, endpoint: str,
        wait_s: float = 600.0, more: dict[str, Any] | None = None, session_s: float = 10.0,
        **candidate: Any,
    ) -> None:  # fmt: skip
        folder.mkdir(exist_ok=True)
        self.folder, self._address = folder, broker.address
        self.calls, requests = topic(partitions=2), topic(partitions=2)
        self.ports = {"run": free_port(), "shadow": free_port()}
        shadow = {
            "requests": requests, "answers": topic(), "group": requests, "wait_s": wait_s,
            "candidates": {"next": next_one(endpoint, **{"rate": 1.0} | candidate)},
        }  # fmt: skip
        kafka = {
            "brokers": [broker.address], "topics": {self.calls: {}}, "group": self.calls,
            "session_timeout_s": session_s, "heartbeat_s": session_s / 5,
        }  # fmt: skip
        tree = {"kafka": kafka, "store": {"url": url}, "shadow": shadow, "panes": PANES}
        tree |= {"models": False, "limits": {"attempts": 1000}}
        (folder / "vedette.yaml").write_text(yaml.safe_dump(tree | (more or {})))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.sent, self.last_at = 0, 0.0
        self.response: Callable[[int], str] = lambda _: REFUSAL

    def start(self, word: str) -> subprocess.Popen[bytes]:
        """Start `vedette run` or `vedette shadow`."""
        port = str(self.ports[word])
        self.processes[word] = vedette(self.folder, word, VEDETTE_EXPORTER__PORT=port)
        return self.processes[word]

    def kill(self, word: str) -> None:
        """kill -9."""
        self.processes[word].kill()
        self.processes[word].wait()

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as held:
            for word in self.ports:
                self.start(word)
                held.callback(self.kill, word)
            yield

    def send(self, n: int, pause_s: float = 0.0, over: threading.Event | None = None) -> None:
        """Calls of production, refused or as `response` says; up to `n` of them, until `over`."""
        producer = KafkaProducer(bootstrap_servers=self._address, linger_ms=5)
        for number in range(self.sent, self.sent + n):
            if over is not None and over.wait(pause_s):
                break
            self.last_at = time.time()
            call = {
                "id": f"c{number}", "at": self.last_at, "model": "wren", "service": "shop",
                "prompt": f"Why {number}?", "response": self.response(number), "latency_s": 0.4,
                "status": "ok",
            }  # fmt: skip
            producer.send(self.calls, json.dumps(call).encode(), key=str(number).encode())
            self.sent += 1
        producer.flush(20)
        producer.close()

    @contextmanager
    def traffic(self, a_second: float) -> Iterator[None]:
        """Calls of production at a pace, from a thread of their own."""
        over = threading.Event()
        told = {"n": 10**6, "pause_s": 1.0 / a_second, "over": over}
        thread = threading.Thread(target=self.send, kwargs=told)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(30)

    def until(self, true: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until it is true, as long as both processes live."""

        def seen() -> bool:
            assert all(one.poll() is None for one in self.processes.values()), self.log()
            return true()

        wait_until(seen, seconds)

    def is_paired(self, store: Store) -> bool:
        """Whether pairs are made past the last call that was sent."""
        with store.transaction() as tx:
            return tickets.paired_times(tx).get("live", 0.0) > self.last_at

    def says(self, word: str, name: str, **labels: str) -> float:
        """A number of the page of one of the two, 0 where it is not there."""
        inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
        lines = page(self.ports[word], "/metrics")[1].splitlines()
        found = (line for line in lines if line.startswith(f"{name}{{{inner}}} "))
        return float(next(found, "0").rsplit(" ", 1)[-1])

    def told(self, *words: str) -> Any:
        """What `vedette` says with these words and `--json`."""
        command = [sys.executable, "-c", MAIN, *words, "--json", "-c", "vedette.yaml"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=60, check=True)
        return json.loads(done.stdout)

    def log(self) -> str:
        return (self.folder / "log").read_text()[-3000:]


def settled(store: Store, n: int) -> bool:
    """Whether `n` tickets are there and none is out."""
    found = states(store)
    return sum(found.values()) == n and not any(state in found for state in OUT)


def by_state(store: Store) -> dict[str, int]:
    """The tickets by state, without the why."""
    rows = itertools.groupby(sorted(states(store).items()), lambda one: one[0].partition(":")[0])
    return {state: sum(n for _, n in group) for state, group in rows}

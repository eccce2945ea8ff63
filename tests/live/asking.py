"""`vedette shadow` as a process on topics of its own, for the tests that need a real broker."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from agent.record import Ask
from agent.store import Store
from deploy.local.child import free_port
from shadow.asks import to_bytes
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.test_main_job import MAIN, page, vedette
from tests.shadows import ask, owe


class Asking:
    """`vedette shadow` processes on topics of their own."""

    def __init__(
        self, folder: Path, broker: Broker, topic: MakeTopic, url: str,
        beside: "Asking | None" = None, kafka: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None, **candidates: Any,
    ) -> None:  # fmt: skip
        """`beside` is another one with the same topics and group; `kafka` is another way in."""
        folder.mkdir(exist_ok=True)
        self.folder, self.port, self._broker = folder, free_port(), broker
        topics = beside.topics if beside else (topic(partitions=2), topic())
        self.topics: tuple[str, str] = topics
        tree = {
            "kafka": kafka or {"brokers": [broker.address]},
            "store": {"url": url},
            "exporter": {"port": self.port},
            "limits": limits or {},
            "shadow": {
                "requests": topics[0], "answers": topics[1], "group": topics[0],
                "candidates": candidates,
            },
        }  # fmt: skip
        (folder / "vedette.yaml").write_text(yaml.safe_dump(tree))
        self.process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        self.process = process = vedette(self.folder, "shadow")
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def send(self, *asks: Ask, at: float | None = None) -> None:
        producer = KafkaProducer(bootstrap_servers=self._broker.address)
        for one in asks:
            stamp = int((at or time.time()) * 1000)
            producer.send(self.topics[0], to_bytes(one), key=one.ticket, timestamp_ms=stamp)
        producer.flush(20)
        producer.close()

    def answers(self) -> list[dict[str, Any]]:
        """The records on the answers topic."""
        part = TopicPartition(self.topics[1], 0)
        consumer = KafkaConsumer(bootstrap_servers=self._broker.address)
        consumer.assign([part])
        consumer.seek_to_beginning(part)
        (end,) = consumer.end_offsets([part]).values()
        found: list[dict[str, Any]] = []
        while len(found) < end:
            found += [json.loads(one.value) for rows in consumer.poll(500).values() for one in rows]
        consumer.close()
        return found

    def says(self, name: str, **labels: str) -> float:
        """A number of its page, 0 where it is not there."""
        inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
        text = page(self.port, "/metrics")[1]
        lines = [line for line in text.splitlines() if line.startswith(f"{name}{{{inner}}} ")]
        return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0

    def log(self) -> str:
        return (self.folder / "log").read_text()


def next_one(url: str, **more: Any) -> dict[str, Any]:
    told = {"url": url, "model": "next-1", "private": True, "budget": {"calls": 5000}}
    return told | {"timeout_s": 20.0, "concurrency": 8} | more


def asks_of(store: Store, n: int, name: str = "next", first: int = 0, **more: Any) -> list[Ask]:
    numbers = range(first, first + n)
    made = [ask(name, number, prompt=f"Why {number}?") for number in numbers]
    owe(store, *made, now=time.time(), **more)
    return made


def said(run: Asking, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-c", MAIN, "shadow", *words, "--json", "-c", "vedette.yaml"]
    done = subprocess.run(command, cwd=run.folder, capture_output=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6

"""Workers of an earlier commit and of this one on one topic and one database, there and back.

docs/operations/upgrade.md promises that one version back goes on: every step of a rolling upgrade,
and of the rollback, is taken here under traffic.
"""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaProducer
from sqlalchemy import Table, func, select

from agent.store import Store, open_store, reads
from agent.store.migrations import MIGRATIONS
from agent.store.tables import META, calls, dead_letters, open_panes, panes
from deploy.local.child import free_port
from deploy.local.database import Database
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.test_kafka_road import received
from tests.live.test_main_job import MAIN, scraped
from tests.road import native
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
_SCHEMA = """
import json, agent.store.migrations as m
print(json.dumps({t.name: {c.name: [str(c.type), c.nullable] for c in t.columns}
                  for t in m.META.sorted_tables}))
"""


def git(*words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.skip("an upgrade starts at an earlier commit, and the history is not here")
    return done.stdout


def revision(name: str) -> str:
    """A commit; `migrations` is the newest one whose migrations are not today's."""
    if name != "migrations":
        return git("rev-parse", name).decode().strip()
    today = [one.__name__ for one in MIGRATIONS]
    for commit in git("log", "--format=%H", "--", "agent/store/migrations.py").decode().split():
        there = git("show", f"{commit}:agent/store/migrations.py").decode()
        if re.findall(r"^def (m\d\d\d_\w+)", there, re.M) != today:
            return commit
    pytest.skip("the history has no commit with other migrations")


@pytest.fixture(params=["HEAD~1", "migrations"])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The tree of an earlier commit, out of git into a folder."""
    tree = tmp_path / "earlier"
    packed = git("archive", revision(request.param))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(tree, filter="data")
    return tree


def python(tree: Path, *words: str, **options: Any) -> subprocess.Popen[bytes]:
    """Python on a tree's code."""
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *words], env=environment, **options)


def test_what_an_earlier_version_writes_still_fits_the_tables(
    earlier: Path, tmp_path: Path
) -> None:
    asked = python(earlier, "-c", _SCHEMA, stdout=subprocess.PIPE, cwd=tmp_path)
    before = json.loads(asked.communicate(timeout=60)[0])
    now: dict[str, Table] = dict(META.tables)
    assert before.keys() <= now.keys(), "a table is gone: contract one version later"
    for name, columns in before.items():
        there = {c.name: [str(c.type), c.nullable] for c in now[name].columns}
        assert columns.items() <= there.items(), f"a column of {name} is gone or another"
        for column in now[name].columns:
            free = column.nullable or column.server_default is not None
            assert column.name in columns or free, f"{name}.{column.name} wants a default"


class Traffic(threading.Thread):
    """Fifty calls a second to both partitions until it is told to stop."""

    def __init__(self, broker: Broker, topic: str) -> None:
        super().__init__(daemon=True)
        self._over, self.sent = threading.Event(), 0
        self._producer = KafkaProducer(bootstrap_servers=broker.address, acks="all")
        self._topic = topic

    def run(self) -> None:
        while not self._over.wait(0.02):
            record = native(self.sent, at=time.time() - 2, segment={"tenant": "acme"})
            stamp = int((record["at"] + record["latency_s"]) * 1000)
            self._producer.send(
                self._topic, json.dumps(record).encode(), partition=self.sent % 2,
                timestamp_ms=stamp,
            )  # fmt: skip
            self.sent += 1

    def end(self) -> int:
        """How many were sent, all of them acknowledged."""
        self._over.set()
        self.join()
        self._producer.flush()
        self._producer.close()
        return self.sent


class Worker:
    """`vedette run` of a tree."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.port = free_port()
        words = ("-c", MAIN, "run", "-c", str(folder / "vedette.yaml"))
        os.environ["VEDETTE_EXPORTER__PORT"] = str(self.port)
        with (folder / "log").open("ab") as log:
            self._process = python(tree, *words, cwd=folder, stderr=log)
        del os.environ["VEDETTE_EXPORTER__PORT"]

    def counts(self) -> bool:
        """Whether it has scored a call."""
        assert self._process.poll() is None, "a worker has ended"
        return scraped([self.port])[1] > 0

    def stop(self) -> None:
        self._process.terminate()
        assert self._process.wait(40) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def fleet(trees: tuple[Path, Path], folder: Path) -> Iterator[list[Worker]]:
    workers = [Worker(tree, folder) for tree in trees]
    try:
        yield workers
        while workers:
            workers.pop().stop()
    finally:
        for worker in workers:
            worker.kill()


def replaced(workers: list[Worker], at: int, tree: Path, folder: Path) -> None:
    """One worker is stopped and another takes its place, until it has scored a call."""
    workers[at].stop()
    workers[at] = new = Worker(tree, folder)
    wait_until(new.counts, 120)


def configure(folder: Path, broker: Broker, topic: str, url: str) -> None:
    kafka = {"brokers": [broker.address], "topics": {topic: {}}, "group": topic}
    arms = {f"model-{n}": {"share": 1 / 3, "variant": "production", "model": f"model-{n}"}
            for n in range(3)}  # fmt: skip
    tree = {
        "kafka": kafka | {"session_timeout_s": 10, "heartbeat_s": 0.5, "metadata_max_age_s": 1},
        "store": {"url": url, "text_days": 1},
        # Panes close, and the watch and the experiment move on, while versions change.
        "panes": {"request_timeout_s": 1, "lateness_s": 5}, "segments": ["tenant"],
        "drift": {}, "slo": {"fast": {"at_most": 1.0, "target": 0.9}},
        "experiments": {"x": {"arms": arms, "primary": "slo_fast", "start": 0.0}},
        "models": False,
    }  # fmt: skip
    (folder / "vedette.yaml").write_text(yaml.safe_dump(tree))


def everything_is_there_once(store: Store, sent: int) -> None:
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        assert ledger.sums
        assert (ledger.received, ledger.terms["scored"]) == (sent, sent)
        assert tx.scalar(select(func.count()).select_from(calls)) == sent
        assert tx.scalar(select(func.count()).select_from(dead_letters)) == 0
        fine = select(func.sum(panes.c.calls)).where(panes.c.level_s == 10, panes.c.segment == "")
        waiting = select(func.sum(open_panes.c.calls)).where(open_panes.c.segment == "")
        assert (tx.scalar(fine) or 0) + (tx.scalar(waiting) or 0) == sent


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_an_upgrade_and_its_rollback_lose_nothing_while_calls_come_in(
    broker: Broker, topic: MakeTopic, postgres_server: Database, tmp_path: Path, earlier: Path
) -> None:
    name, url = topic(partitions=2), postgres_server.create_database()
    configure(tmp_path, broker, name, url)
    traffic = Traffic(broker, name)
    traffic.start()
    with fleet((earlier, earlier), tmp_path) as workers:
        wait_until(lambda: any(worker.counts() for worker in workers), 120)
        for tree in (ROOT, earlier, ROOT):
            for at in (0, 1):
                replaced(workers, at, tree, tmp_path)
        sent = traffic.end()
        with closing(open_store(url, writer=False)) as store:
            wait_until(lambda: received(store) == sent, 120)
            everything_is_there_once(store, sent)
    # What the Kafka client calls an error when it is closed while it looks for brokers is none.
    said = (tmp_path / "log").read_text().replace("ERROR Metadata refresh: failed Cancelled", "")
    assert not re.search(r"Traceback|ERROR|CRITICAL", said), said[-3000:]
    postgres_server.drop_database(url)

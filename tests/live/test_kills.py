"""kill -9 at named points and at random moments: nothing lost, doubled or summed wrong."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import func, select

from agent.panes import HOUR_S
from agent.store import Store, open_store, reads
from agent.store.tables import calls, dead_letters
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.database import Database
from tests.live.killer import MARK
from tests.live.test_kafka_road import produce, wait_until

ROOT = Path(__file__).parents[2]
STEPS = ("plan", "score", "begin", "seen", "fold", "write", "advance", "commit", "committed")


class Fleet:
    """Worker processes on one topic and one store."""

    def __init__(self, folder: Path, broker: Broker, topic: str, url: str) -> None:
        self.path = folder / "vedette.yaml"
        kafka = {
            "brokers": [broker.address],
            "topics": {topic: {}},
            "group": f"{topic}-{folder.name}",
            "session_timeout_s": 1.5,
            "heartbeat_s": 0.3,
            "poll_records": 100,
        }
        self.path.write_text(yaml.safe_dump({"kafka": kafka, "store": {"url": url}}))
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, step: str = "never", nth: int = 1) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.live.crashing", str(self.path), step, str(nth)]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        self.running.append(process)
        return process

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            process.wait(20)


@pytest.fixture
def fleets() -> Iterator[list[Fleet]]:
    made: list[Fleet] = []
    yield made
    for fleet in made:
        fleet.close()


def settled(store: Store, n: int) -> bool:
    with store.transaction() as tx:
        rows = reads.pane_rows(tx, 0, 4e9, HOUR_S)
        return reads.ledger(tx).received >= n and sum(r.calls.total() for *_, r in rows) >= n


def account(store: Store) -> tuple[list[tuple[int, tuple[str, ...], bytes]], int, bool]:
    with store.transaction() as tx:
        rows = reads.pane_rows(tx, 0, 4e9, HOUR_S)
        stored = tx.scalar(select(func.count()).select_from(calls)) or 0
        ledger = reads.ledger(tx)
    return [(pane, group, row.to_bytes()) for pane, _, group, row in rows], stored, ledger.sums


def campaign(fleet: Fleet, store: Store, n: int, kills: int, seed: int) -> int:
    """Two workers, killed in turn by their own hand or by ours, until all is counted."""
    draws = random.Random(seed)
    done = 0
    workers: list[subprocess.Popen[bytes]] = []
    while done < kills:
        while len(workers) < 2:
            step = STEPS[done % len(STEPS)]
            workers.append(fleet.start(step, draws.randint(1, 3)))
        time.sleep(draws.uniform(0.5, 3.0))
        if done % 3 == 2:
            draws.choice(workers).kill()
        for worker in [w for w in workers if w.poll() is not None]:
            workers.remove(worker)
            done += 1
        if settled(store, n):
            break
    fleet.close()
    workers = []

    def kept_alive() -> bool:
        workers[:] = [worker for worker in workers if worker.poll() is None]
        workers.extend(fleet.start() for _ in range(2 - len(workers)))
        return settled(store, n)

    wait_until(kept_alive, 120)
    return done


def compared(
    tmp_path: Path, broker: Broker, topic: str, urls: tuple[str, str], n: int, kills: int,
    fleets: list[Fleet],
) -> int:  # fmt: skip
    stores = [open_store(url) for url in urls]
    for name in ("calm", "storm"):
        (tmp_path / name).mkdir()
    calm, storm = (
        Fleet(tmp_path / name, broker, topic, url)
        for name, url in zip(("calm", "storm"), urls, strict=True)
    )
    fleets += [calm, storm]
    calm.start()
    wait_until(lambda: settled(stores[0], n), 60)
    calm.close()
    died = campaign(storm, stores[1], n, kills, seed=kills)
    storm.close()
    quiet, loud = account(stores[0]), account(stores[1])
    assert loud == quiet
    assert quiet[1:] == (n, True)
    for store in stores:
        store.close()
    return died


# Among the long ones until its end is understood: once, with three other suites on the machine, the
# workers had not settled after 90 s.
@pytest.mark.prove
def test_ten_kills_leave_no_trace(
    broker: Broker, topic: MakeTopic, postgres_server: Database, tmp_path: Path, fleets: list[Fleet]
) -> None:
    urls = (postgres_server.create_database(), postgres_server.create_database())
    name = topic(partitions=4)
    produce(broker, name, range(6000))
    assert compared(tmp_path, broker, name, urls, 6000, 10, fleets) >= 5


def test_a_record_that_kills_the_process_is_set_aside_and_its_neighbours_flow(
    broker: Broker, topic: MakeTopic, sqlite_url: str, tmp_path: Path, fleets: list[Fleet]
) -> None:
    name = topic()
    produce(broker, name, range(40))
    produce(broker, name, range(40, 41), response=MARK)
    produce(broker, name, range(41, 80))
    fleet = Fleet(tmp_path, broker, name, sqlite_url)
    fleets.append(fleet)
    crashes = 0
    for _ in range(6):
        worker = fleet.start()
        try:
            worker.wait(8)
            crashes += 1
        except subprocess.TimeoutExpired:
            break
    fleet.close()
    store = open_store(sqlite_url)
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        letters = tx.execute(select(dead_letters)).all()
    assert crashes == 3
    assert [(row.offset, row.reason) for row in letters] == [(40, "killed_the_process")]
    assert ledger.terms["scored"] == 79
    assert ledger.terms["failed"] == 1
    assert ledger.sums
    store.close()

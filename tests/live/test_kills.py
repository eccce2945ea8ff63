"""kill -9 at named points and at random moments: nothing lost, doubled or summed wrong."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from sqlalchemy import func, select

from agent.panes import HOUR_S
from agent.store import Store, open_store, reads
from agent.store.tables import calls, dead_letters
from deploy.local.database import Database
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.killer import HANG, MARK
from tests.live.test_kafka_road import produce
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
STEPS = ("plan", "score", "begin", "seen", "fold", "write", "advance", "commit", "committed")


class Fleet:
    """Worker processes on one topic and one store."""

    def __init__(
        self, folder: Path, broker: Broker, topic: str, url: str, attempts: int = 3,
        stall_s: float = 120.0,
    ) -> None:  # fmt: skip
        folder.mkdir(exist_ok=True)
        self._folder, self._path = folder, folder / "vedette.yaml"
        kafka = {
            "brokers": [broker.address],
            "topics": {topic: {}},
            "group": f"{topic}-{folder.name}",
            "session_timeout_s": 1.5,
            "heartbeat_s": 0.3,
            "poll_records": 50,
        }
        limits = {"attempts": attempts, "stall_s": stall_s}
        tree = {"kafka": kafka, "store": {"url": url}, "limits": limits}
        self._path.write_text(yaml.safe_dump(tree))
        self.running: list[subprocess.Popen[bytes]] = []
        self._started = 0

    def start(self, step: str = "never", nth: int = 1) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.live.crashing", str(self._path), step, str(nth)]
        self._started += 1
        with (self._folder / f"worker-{self._started:03}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, stderr=log)
        self.running.append(process)
        return process

    def reap(self) -> int:
        """Forget the workers that have died; how many."""
        dead = [worker for worker in self.running if worker.poll() is not None]
        self.running = [worker for worker in self.running if worker.poll() is None]
        return len(dead)

    def close(self) -> None:
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(20)
        self.running = []

    def log(self) -> str:
        """The last words of each worker, for a failure's message."""
        files = sorted(self._folder.glob("worker-*.log"))
        return "\n".join(f"{f.name}: {f.read_text()[-300:]}" for f in files if f.stat().st_size)


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


def campaign(fleet: Fleet, workers: int, kills: int) -> int:
    """Workers that die at a named step, and every third at a moment of ours; how many died."""
    draws = random.Random(kills)
    died = planned = 0
    due: dict[int, float] = {}
    while died < kills:
        while len(fleet.running) < workers:
            planned += 1
            ours = planned % 3 == 0
            worker = fleet.start(
                "never" if ours else STEPS[planned % len(STEPS)], draws.randint(1, 3)
            )
            # One whose named step never comes, since others took the work, is killed too.
            due[worker.pid] = time.monotonic() + (draws.uniform(0.2, 2.5) if ours else 15)
        for worker in fleet.running:
            if time.monotonic() > due[worker.pid]:
                worker.kill()
                worker.wait()
        died += fleet.reap()
        time.sleep(0.02)
    return died


def weather(fleet: Fleet, store: Store, workers: int, n: int, kills: int) -> int:
    """The campaign, then workers that live until all is counted; how many died."""
    died = campaign(fleet, workers, kills)
    with store.transaction() as tx:
        assert reads.ledger(tx).received < n, "all was read before the last kill"

    def kept_alive() -> bool:
        fleet.reap()
        while len(fleet.running) < workers:
            fleet.start()
        return settled(store, n)

    try:
        wait_until(kept_alive, 240 + n / 100)
    except AssertionError:
        pytest.fail(f"not settled: {account(store)[1:]}\n{fleet.log()}")
    fleet.close()
    return died


@pytest.fixture(params=["postgresql", "sqlite"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[int, list[str]]:
    """How many workers, and the addresses of two stores: two on PostgreSQL, one on SQLite."""
    if request.param == "sqlite":
        return 1, [f"sqlite:///{tmp_path / name}.db" for name in ("calm", "storm")]
    server: Database = request.getfixturevalue("postgres_server")
    return 2, [server.create_database(), server.create_database()]


@pytest.mark.parametrize(
    ("n", "kills"), [(2000, 5), pytest.param(20_000, 100, marks=pytest.mark.prove)]
)
@pytest.mark.timeout(1500)
def test_kills_leave_no_trace(
    broker: Broker, topic: MakeTopic, setting: tuple[int, list[str]], tmp_path: Path,
    fleets: list[Fleet], n: int, kills: int,
) -> None:  # fmt: skip
    workers, urls = setting
    name = topic(partitions=4)
    produce(broker, name, range(n))
    ends = []
    for role, url, kills_here in (("calm", urls[0], 0), ("stormy", urls[1], kills)):
        # A kill of ours counts as an attempt at the record in hand: three must not set it aside.
        fleet = Fleet(tmp_path / role, broker, name, url, attempts=1000)
        fleets.append(fleet)
        open_store(url).close()
        with closing(open_store(url, writer=False)) as store:
            assert weather(fleet, store, workers, n, kills_here) >= kills_here
            ends.append(account(store))
    assert ends[0] == ends[1]
    assert ends[0][1:] == (n, True)


@pytest.mark.parametrize(("mark", "code"), [(MARK, -9), (HANG, 70)])
def test_a_record_that_ends_the_process_is_set_aside_and_its_neighbours_flow(
    broker: Broker, topic: MakeTopic, sqlite_url: str, tmp_path: Path, fleets: list[Fleet],
    mark: str, code: int,
) -> None:  # fmt: skip
    name = topic()
    produce(broker, name, range(40))
    produce(broker, name, range(40, 41), response=mark)
    produce(broker, name, range(41, 80))
    fleet = Fleet(tmp_path, broker, name, sqlite_url, stall_s=8.0)
    fleets.append(fleet)
    open_store(sqlite_url).close()
    with closing(open_store(sqlite_url, writer=False)) as store:

        def done() -> bool:
            with store.transaction() as tx:
                terms = reads.ledger(tx).terms
            return terms["scored"] + terms["failed"] == 80

        crashes = 0
        while not done():
            worker = fleet.start()
            wait_until(lambda: bool(fleet.reap()) or done())
            crashes += worker.poll() == code
        fleet.close()
        with store.transaction() as tx:
            ledger = reads.ledger(tx)
            letters = tx.execute(select(dead_letters)).all()
    assert crashes == 3
    assert [(row.offset, row.reason) for row in letters] == [(40, "killed_the_process")]
    assert ledger.terms["scored"] == 79
    assert ledger.terms["failed"] == 1
    assert ledger.sums

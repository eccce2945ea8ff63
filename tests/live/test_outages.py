"""A broker or a database that goes away: the worker waits, says so, and resumes by itself."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import func, make_url, select

from agent.store import Store, letters, open_store, reads
from agent.store.tables import calls
from deploy.local.child import free_port
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.proxy import Mode, Proxy
from tests.live.test_kafka_road import produce, received
from tests.live.test_main_job import page, vedette
from tests.waiting import wait_until

N = 300


class Service:
    """One `vedette run` and the port of its endpoint."""

    def __init__(self, folder: Path, topic: str, brokers: str, url: str, **more: Any) -> None:
        self.port = free_port()
        kafka = {
            "brokers": [brokers],
            "topics": {topic: {}},
            "group": topic,
            "session_timeout_s": 6,
            "heartbeat_s": 0.5,
        } | more
        tree = {
            "kafka": kafka,
            "store": {"url": url},
            "models": False,
            "exporter": {"port": self.port},
        }
        folder.mkdir(exist_ok=True)
        self.folder = folder
        (folder / "vedette.yaml").write_text(yaml.safe_dump(tree))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        self.process = vedette(self.folder, "run")
        return self.process

    def says(self, path: str) -> tuple[int, str]:
        return page(self.port, path)

    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def serving(service: Service) -> Iterator[Service]:
    process = service.start()
    try:
        yield service
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def ended(service: Service, seconds: float = 20) -> int:
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)
    return service.process.wait(seconds)


def has_more(store: Store, than: int) -> bool:
    return received(store) > than


def everything_is_counted_once(store: Store, n: int) -> None:
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        stored, dead = tx.scalar(select(func.count()).select_from(calls)), letters.by_reason(tx)
    assert ({end: k for end, k in ledger.terms.items() if k}, dead) == ({"scored": n}, [])
    assert stored == n
    assert ledger.sums


AWAY = [
    pytest.param(5.0, id="5s"),
    pytest.param(30.0, id="30s", marks=pytest.mark.prove),
]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("away_s", AWAY)
@pytest.mark.parametrize("mode", ["refuse", "blackhole"])
@pytest.mark.parametrize("dependency", ["broker", "database"])
def test_what_is_away_is_waited_for(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path,
    dependency: str, mode: Mode, away_s: float,
) -> None:  # fmt: skip
    name = topic(partitions=2)
    produce(broker, name, range(N))
    url = make_url(postgres_url)
    assert url.port is not None
    kafka = dependency == "broker"
    with Proxy(broker.faulty_port if kafka else url.port, broker.proxy_port if kafka else 0) as way:
        brokers = broker.proxied_address if kafka else broker.address
        through = url if kafka else url.set(port=way.port)
        where = through.render_as_string(hide_password=False)
        with serving(Service(tmp_path / "run", name, brokers, where)) as service:
            wait_until(lambda: received(store) == N)
            wait_until(lambda: service.says("/readyz")[0] == 200)
            way.set(mode)
            began = time.monotonic()
            produce(broker, name, range(N, 2 * N))
            wait_until(lambda: service.says("/readyz")[0] == 503, 45)
            assert dependency in service.says("/readyz")[1]
            while time.monotonic() < began + away_s:
                assert service.says("/livez")[0] == 200
                assert service.says("/metrics")[0] == 200
                time.sleep(0.2)
            assert service.says("/readyz")[0] == 503
            way.set("pass")
            wait_until(lambda: received(store) == 2 * N)
            wait_until(lambda: service.says("/readyz")[0] == 200, 30)
            assert ended(service) == 0, service.log()
    told = service.log().splitlines()
    assert sum(f"WARNING not ready: {dependency}" in line for line in told) in range(1, 5), told
    assert len(told) < 20 and "ERROR" not in service.log(), service.log()
    everything_is_counted_once(store, 2 * N)


def test_a_database_that_is_away_at_the_start_is_waited_for(
    broker: Broker, topic: MakeTopic, postgres_url: str, tmp_path: Path
) -> None:
    name, url = topic(), make_url(postgres_url)
    produce(broker, name, range(N))
    assert url.port is not None
    with Proxy(url.port) as way:
        way.set("refuse")
        where = url.set(port=way.port).render_as_string(hide_password=False)
        with serving(Service(tmp_path / "run", name, broker.address, where)) as service:
            wait_until(lambda: "database" in service.says("/readyz")[1])
            assert service.says("/livez")[0] == 200
            way.set("pass")
            with closing(open_store(postgres_url)) as store:
                wait_until(lambda: received(store) == N)
                wait_until(lambda: service.says("/readyz")[0] == 200)
                assert ended(service) == 0, service.log()
                everything_is_counted_once(store, N)


def test_sigterm_leaves_no_work_half_done(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    """Stopped in the middle of a backlog, again and again, it ends in time and goes on after."""
    n, name = 800, topic(partitions=3)
    produce(broker, name, range(n))
    service = Service(tmp_path / "run", name, broker.address, postgres_url, poll_records=100)
    before, stops = 0, 0
    while before < n:
        with serving(service):
            wait_until(partial(has_more, store, before))
            assert ended(service) == 0, service.log()
        stops += 1
        with store.transaction() as tx:
            ledger = reads.ledger(tx)
            assert tx.scalar(select(func.count()).select_from(calls)) == ledger.terms["scored"]
            assert sum(row["next"] for row in reads.partitions(tx)) >= ledger.received
        assert ledger.sums
        before = ledger.received
    assert stops > 1
    everything_is_counted_once(store, n)

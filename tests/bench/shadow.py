"""What asking a candidate costs the scoring worker: its speed and its lag with it and without.

Real broker, PostgreSQL, `vedette run` and `vedette shadow`; the candidate is asked 2 calls of 100
and never answers. Runs with and without it alternate.
"""

import os
import statistics
import time
import uuid
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from kafka import KafkaAdminClient, KafkaProducer
from sqlalchemy import func, select

from agent.store import Store, open_store
from agent.store.tables import calls
from consumers.bench import make_records
from deploy.local.database import Database
from tests.live.broker import Broker
from tests.live.endpoint import Endpoint
from tests.live.shadow_road import ShadowRoad
from tests.live.test_main_job import page
from tests.waiting import wait_until

ROUNDS, BACKLOG, CHARS, RATE = 7, 15_000, 300, 0.02
WARM = 500  # first: who publishes asks connects at the first one
# A tenth of what two cores do, so that no queue grows when other work comes between.
PACE, PACED_S, TICK_S = 200, 6, 0.05


class Run(NamedTuple):
    """A backlog of calls: calls a second, and processor time a call; then a steady pace: the time
    from a call's record to the start of the transaction that stores it."""

    calls_per_s: float
    cpu_us: float
    lag_p50_ms: float
    lag_p99_ms: float


def measure(broker: Broker, database: Database, endpoint: Endpoint, shadow: bool) -> Run:
    """One run on topics, a database and processes of its own."""

    def topic(partitions: int = 1, **_: str) -> str:
        name = f"vedette-bench-{uuid.uuid4().hex[:8]}"
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        wanted = {"num_partitions": partitions, "replication_factor": 1}
        admin.create_topics({name: wanted}, wait_for_metadata=True)
        admin.close()
        return name

    more = {} if shadow else {"shadow": None}
    url = database.create_database()
    with ExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory()))
        where = folder / "a", broker, topic, url, endpoint.url
        road = ShadowRoad(*where, 600.0, more, rate=RATE, timeout_s=60.0, concurrency=4)
        for word in ("shadow", "run") if shadow else ("run",):
            road.start(word)
            held.callback(road.kill, word)
            wait_until(partial(_is_ready, road.ports[word]))
        store = open_store(url, writer=False)
        held.callback(store.close)
        time.sleep(3.0)  # the group is joined
        run = _run(road, store, broker.address)
    database.drop_database(url)
    return run


def _run(road: ShadowRoad, store: Store, address: str) -> Run:
    producer = KafkaProducer(bootstrap_servers=address, linger_ms=5)
    records = make_records(WARM + BACKLOG + PACE * PACED_S, CHARS)
    at = iter(records)

    def send(n: int) -> None:
        for value in islice(at, n):
            producer.send(road.calls, value, key=value[:20])
        producer.flush()

    send(WARM)
    _stored(store, WARM)
    pid = road.processes["run"].pid
    cpu_s, began = _cpu_s(pid), time.time()
    send(BACKLOG)
    ended = _stored(store, WARM + BACKLOG)
    cpu_us = (_cpu_s(pid) - cpu_s) * 1e6 / BACKLOG
    for tick in range(int(PACED_S / TICK_S)):
        time.sleep(max(0.0, ended + tick * TICK_S - time.time()))
        send(int(PACE * TICK_S))
    producer.close()
    _stored(store, len(records))
    lag = calls.c.stored_at - calls.c.arrival
    with store.transaction() as tx:
        lags = sorted(tx.scalars(select(lag).where(calls.c.arrival > ended)))
    p50, p99 = (1e3 * lags[int(q * len(lags))] for q in (0.5, 0.99))
    return Run(BACKLOG / (ended - began), cpu_us, p50, p99)


def _stored(store: Store, n: int) -> float:
    """Wait until so many calls of production are stored; when that was, to a 50 ms."""
    mine = select(func.count()).where(calls.c.origin == "production")
    until = time.monotonic() + 300.0
    while time.monotonic() < until:
        with store.transaction() as tx:
            if tx.scalar(mine) == n:
                return time.time()
        time.sleep(0.05)
    raise SystemExit("the worker did not store everything in five minutes")


def _is_ready(port: int) -> bool:
    return page(port, "/readyz")[0] == 200


def _cpu_s(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print the medians with and without, and their ratio."""
    found: dict[bool, list[Run]] = {False: [], True: []}
    before = os.getloadavg()[0]
    with Broker() as broker, Database() as database, Endpoint("hang") as endpoint:
        for at in range(ROUNDS):
            for shadow in (False, True) if at % 2 else (True, False):
                found[shadow].append(measure(broker, database, endpoint, shadow))
    print(f"{ROUNDS} runs of each; load before {before:.1f}, after {os.getloadavg()[0]:.1f}")
    for at, what in enumerate(("calls/s", "us of processor a call", "ms lag p50", "ms lag p99")):
        off, on = ([run[at] for run in found[shadow]] for shadow in (False, True))
        ratios = [b / a for a, b in zip(off, on, strict=True)]
        medians = statistics.median(off), statistics.median(on)
        print(
            f"{medians[0]:8.0f} without {medians[1]:8.0f} with, ratio {medians[1] / medians[0]:.3f}"
            f" ({min(ratios):.2f} to {max(ratios):.2f} by round)  {what}"
        )


if __name__ == "__main__":
    main()

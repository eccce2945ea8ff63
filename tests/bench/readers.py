"""What 50 readers of the pages cost who scores in the same server, in calls a second.

Rounds are pairs, without readers and with them, so that what else the machine does meets both. How
much of a core the readers take in the process that scores is told as well: it hardly depends on
what else the machine does, but leaves out where two processes want one core.

2026-11-26: 6,000 calls lasted four seconds, most of which the pages of a start took: 38 % slower.
"""

import argparse
import os
import statistics
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from agent.store import Store, open_store
from consumers.bench import make_records
from consumers.demo import yesterday
from consumers.inbox import Inbox
from consumers.simulate import bad_day, simulate
from tests.bench.pages import PAGES, filled, serving

READERS, REFRESH_S, BAR = 50, 5.0, 0.05
# Calls that are scored in one run, by the rule scorers alone and with the shipped models.
SCORED = {False: 30_000, True: 4_000}
# A start makes every page once, which is no reader's fault.
START_S = 6.0


def read_all(port: int, stop: threading.Event, seed: int) -> None:
    """One reader, as page.js asks: every few seconds, with the tag of what it shows."""
    tag, path = "", PAGES[seed % len(PAGES)]
    stop.wait(REFRESH_S * seed / READERS)
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        while not stop.is_set():
            headers = {"If-None-Match": tag, "Accept-Encoding": "gzip"}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            tag = answer.headers.get("ETag", "")
            stop.wait(REFRESH_S)


@dataclass(frozen=True, slots=True)
class Pace:
    """Calls that are scored a second, and what one takes of the processor in this process."""

    per_s: float
    cpu_ms: float


def scored(folder: Path, models: bool, readers: int) -> Pace:
    """How fast the worker of a server scores with so many readers."""
    with serving(folder, models) as (port, pid):
        stop = threading.Event()
        threads = [threading.Thread(target=read_all, args=(port, stop, n)) for n in range(readers)]
        for thread in threads:
            thread.start()
        store = open_store(f"sqlite:///{folder}/v.db", writer=False)
        try:
            while not _ends(store):
                time.sleep(0.05)
            time.sleep(START_S)
            first = last = _ends(store), time.perf_counter(), _cpu_s(pid)
            while last[0] < SCORED[models]:
                time.sleep(0.05)
                last = _ends(store), time.perf_counter(), _cpu_s(pid)
        finally:
            stop.set()
            store.close()
            for thread in threads:
                thread.join()
    calls, seconds, cpu_s = (end - start for start, end in zip(first, last, strict=True))
    return Pace(calls / seconds, 1e3 * cpu_s / calls)


def _cpu_s(pid: int) -> float:
    """Of a process that runs, without those that it started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _records(models: bool, now: float) -> list[bytes]:
    """Of a few texts for rules, and each with texts of its own where models remember them."""
    if not models:
        return make_records(SCORED[models], 400)
    day = bad_day(yesterday(now), SCORED[models] + 200, 5)  # some are not readable
    return [record.value for record in simulate(day)]


def _ends(store: Store) -> int:
    with store.reading() as tx:
        query = "SELECT coalesce(sum(scored), 0) FROM offsets WHERE topic = 'inbox'"
        return int(tx.exec_driver_sql(query).scalar() or 0)


def measure(folder: Path, models: bool, rounds: int) -> list[tuple[Pace, Pace]]:
    """Of each round the pace without readers and with them."""
    return [
        (measure_one(folder, models, 0), measure_one(folder, models, READERS))
        for _ in range(rounds)
    ]


def measure_one(folder: Path, models: bool, readers: int) -> Pace:
    """The pace over records that nobody has seen yet."""
    store = open_store(f"sqlite:///{folder}/v.db")
    with store.transaction() as tx:
        for table in ("inbox", "offsets", "open_panes", "seen"):
            tx.exec_driver_sql(f"DELETE FROM {table}")
        tx.exec_driver_sql("DELETE FROM calls WHERE topic = 'inbox'")
    now = time.time()
    Inbox(store).append([(now, value) for value in _records(models, now)])
    store.close()
    return scored(folder, models, readers)


def main() -> None:
    """Print the tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--scorers", choices=("rules", "models"), nargs="+")
    told = asked.parse_args()
    with filled() as folder:
        for name in told.scorers or ("rules", "models"):
            found = measure(folder, name == "models", told.rounds)
            print(f"{name}, bar {BAR:.0%}")
            alone, beside = zip(*found, strict=True)
            slower = [1 - b.per_s / a.per_s for a, b in found]
            taken = [(b.cpu_ms - a.cpu_ms) * b.per_s / 1e3 for a, b in found]
            print(f"  calls a second alone: {' '.join(f'{one.per_s:.1f}' for one in alone)}")
            print(f"  with {READERS} readers: {' '.join(f'{one.per_s:.1f}' for one in beside)}")
            print(f"  slower by {statistics.median(slower):.1%} in the median of the rounds")
            print(f"  of a core, in its process: {' '.join(f'{one:.1%}' for one in taken)}")


if __name__ == "__main__":
    main()

"""How many native calls a server without a broker takes in a second: python -m tests.bench.ingest.

The client is a process of its own; the server scores what it takes in meanwhile, on the same cores,
and a call counts once its answer says that it is on the disk.
"""

import argparse
import http.client
import multiprocessing
import threading
import time
from contextlib import closing
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from sqlalchemy import func, select

from agent.store import open_store, reads
from agent.store.tables import inbox
from consumers.bench import make_records
from tests.live.server_process import Served

CONNECTIONS, CALLS, CHARS = 8, 100, 1000


def post(address: str, bodies: list[bytes], told: list[float]) -> None:
    """Post one body after another on one connection; how long each answer took."""
    with closing(http.client.HTTPConnection(address, timeout=60)) as client:
        for body in bodies:
            began = time.perf_counter()
            client.request("POST", "/ingest", body)
            answer = client.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            told.append(time.perf_counter() - began)


def send(address: str, calls: int, array: bool, said: "multiprocessing.Queue[object]") -> None:
    """Post so many calls on all connections; says how long it took and each answer's time."""
    records = make_records(calls, CHARS)
    head, mark, tail = (b"[", b",", b"]") if array else (b"", b"\n", b"")
    bodies = [head + mark.join(records[i : i + CALLS]) + tail for i in range(0, calls, CALLS)]
    told: list[float] = []
    threads = [
        threading.Thread(target=post, args=(address, bodies[i::CONNECTIONS], told))
        for i in range(CONNECTIONS)
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said.put((time.perf_counter() - began, told))


def measure(calls: int, array: bool, folder: Path) -> str:
    """One run, as a line."""
    server = Served(folder)
    try:
        context = multiprocessing.get_context("spawn")
        said = context.Queue()
        address = urlsplit(server.url).netloc
        client = context.Process(target=send, args=(address, calls, array, said))
        client.start()
        took_s, answers_s = said.get(timeout=600)
        client.join()
    finally:
        server.stop()
    with closing(open_store(f"sqlite:///{folder / 'v.db'}")) as store, store.reading() as tx:
        scored = reads.ledger(tx).terms["scored"]
        waits = tx.scalar(select(func.count()).select_from(inbox)) or 0
    assert scored + waits == calls == len(answers_s) * CALLS
    cuts = quantiles(answers_s, n=100)
    return (
        f"{calls / took_s:8,.0f} calls/s  {'array ' if array else 'NDJSON'}  answers of {CALLS}"
        f" calls p50 {cuts[49] * 1e3:.0f} ms, p99 {cuts[98] * 1e3:.0f} ms; scored meanwhile and"
        f" until its end {scored:,}, {waits:,} wait"
    )


def main() -> None:
    """Print both runs."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--calls", type=int, default=60_000)
    calls = asked.parse_args().calls // CALLS * CALLS
    for array in (False, True):
        with TemporaryDirectory() as folder:
            print(measure(calls, array, Path(folder)))


if __name__ == "__main__":
    main()

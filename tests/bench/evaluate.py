"""How fast a server scores on request: python -m tests.bench.evaluate.

All models on; each text is new unless it says "again". What waits is scored together, so that many
clients of one item each cost less than one after the other.
"""

import argparse
import http.client
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from consumers.bench import make_records
from tests.live.server_process import Served

CHARS = 400


def post(address: str, bodies: Sequence[Sequence[dict[str, Any]]]) -> list[float]:
    """Post one list of items after another on one connection; how long each answer took."""
    took: list[float] = []
    with closing(http.client.HTTPConnection(address, timeout=300)) as client:
        for items in bodies:
            began = time.perf_counter()
            client.request("POST", "/evaluate", json.dumps({"items": items}))
            answer = client.getresponse()
            body = answer.read()
            assert answer.status == 200 and len(json.loads(body)) == len(items), body[:200]
            took.append(time.perf_counter() - began)
    return took


def measure(address: str, name: str, items: list[dict[str, Any]], clients: int, each: int) -> str:
    """One way to ask, as a line."""
    bodies = [items[i : i + each] for i in range(0, len(items), each)]
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        parts = threads.map(post, [address] * clients, [bodies[i::clients] for i in range(clients)])
        took = [one for part in parts for one in part]
    whole_s = time.perf_counter() - began
    p50 = quantiles(took, n=2)[0] if len(took) > 1 else took[0]
    return f"{len(items) / whole_s:8,.1f} items/s  {name}: answers p50 {p50 * 1e3:,.0f} ms"


def main() -> None:
    """Print every way."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--items", type=int, default=256)
    n = asked.parse_args().items
    rows = [json.loads(value) for value in make_records(3 * n, CHARS)]
    items = [{name: f"{i}. {row[name]}" for name in ("prompt", "response")}
             for i, row in enumerate(rows)]  # fmt: skip
    with TemporaryDirectory() as folder:
        limits = {"requests_per_s": 1e6, "burst": 10**6}
        server = Served(Path(folder), models=True, server=limits)
        try:
            address = urlsplit(server.url).netloc
            print(measure(address, "one client, 1 item a request", items[:n], 1, 1))
            print(measure(address, "16 clients, 1 item a request", items[n : 2 * n], 16, 1))
            print(measure(address, f"one client, {n} items a request", items[2 * n :], 1, n))
            print(measure(address, "one client, 1 item a request, again", items[:n], 1, 1))
        finally:
            server.stop()


if __name__ == "__main__":
    main()

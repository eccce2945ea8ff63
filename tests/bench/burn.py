"""What burn rates cost over one closed pane of 20 services with 5 objectives, and to begin with."""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sqlalchemy import insert

from agent.config import load_config
from agent.panes import HOUR_S, MINUTE_S, Row
from agent.store import open_store, tables
from agent.store.writes import upsert
from tests.bench.readout import CALLS, NAMES, START, close
from watch.burn import keep_burn, read_ring, ring_of
from watch.pace import standings

SERVICES, DAYS, ROUNDS = 20, 30, 9
LIMITS = {f"at_{limit}": {"at_most": limit, "target": 0.999} for limit in (1, 2, 4, 8, 16)}
CONFIG = load_config(slo=LIMITS)


def rows_of(
    rng: np.random.Generator, pane: int, level_s: int, blobs: list[bytes]
) -> list[dict[str, Any]]:
    """One row a service."""
    return [
        {
            "level_s": level_s, "pane": pane, "source": "live", "service": f"service-{service}",
            "model": "m", "variant": "production", "segment": "", "late": 0, "calls": CALLS,
            "closed_at": 0.0, "summaries": blobs[int(rng.integers(len(blobs)))],
        }
        for service in range(SERVICES)
    ]  # fmt: skip


def blobs_of(rng: np.random.Generator, count: int = 200) -> list[bytes]:
    """Rows of 30 metrics and the flags, of which one in two thousand calls breaches each."""
    made = []
    for _ in range(count):
        row = Row()
        row.calls.add("ok", CALLS)
        for name in (*NAMES, *(f"slo_{name}" for name in LIMITS)):
            keys = rng.integers(0, 2**63, CALLS).astype(np.uint64)
            flag = name.startswith("slo_")
            values = (rng.random(CALLS) < 0.0005) if flag else rng.beta(5, 2, CALLS)
            row.bounded(name, 0, 1).update(values, keys)
        made.append(row.to_bytes())
    return made


def measure() -> tuple[float, float, float, float]:
    """In time of the processor: milliseconds of a look at one minute, of the gauges after it and
    of a pane that ends no minute; seconds to begin on 30 days."""
    rng, took, shown = np.random.default_rng(0), list[float](), list[float]()
    blobs, end = blobs_of(rng), START + DAYS * 24 * HOUR_S
    rows = [one for pane in range(START, end, HOUR_S) for one in rows_of(rng, pane, HOUR_S, blobs)]
    for pane in range(end - 48 * HOUR_S, end + (ROUNDS + 1) * MINUTE_S, MINUTE_S):
        rows += rows_of(rng, pane, MINUTE_S, blobs)
    with TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'burn.db'}")
        with store.transaction() as tx:
            tx.execute(insert(tables.closing).values(source="live", closed_through=float(end)))
            upsert(tx, tables.panes, rows)
        began = time.process_time()
        with store.transaction() as tx:
            read_ring(tx, CONFIG, "live")
        begun_s, ring = time.process_time() - began, ring_of(CONFIG)
        while True:
            with store.transaction() as tx:
                if keep_burn(tx, "live", 0.0, ring) is None:
                    break
        for at in range(1, ROUNDS + 1):
            close(store, end + at * MINUTE_S)
            began = time.process_time()
            with store.transaction() as tx:
                keep_burn(tx, "live", 0.0, ring)
            took.append(1e3 * (time.process_time() - began))
            began = time.process_time()
            standings(ring)
            shown.append(1e3 * (time.process_time() - began))
        close(store, end + ROUNDS * MINUTE_S + 10)
        began = time.process_time()
        with store.transaction() as tx:
            keep_burn(tx, "live", 0.0, ring)
        between = 1e3 * (time.process_time() - began)
        store.close()
    return median(took), median(shown), between, begun_s


def main() -> None:
    """Print them."""
    minute, gauges, pane, begun_s = measure()
    print(f"{minute:7.1f} ms  20 services x 5 objectives, the pane that ends a minute")
    print(f"{gauges:7.1f} ms  their gauges")
    print(f"{pane:7.1f} ms  a pane that ends none")
    print(f"{begun_s:7.2f} s   to begin on 30 days")


if __name__ == "__main__":
    main()

"""How long the watch takes over one closed pane of 1,000 series, from the store and back."""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from sqlalchemy import insert

from agent.config import load_config
from agent.panes import Row
from agent.store import open_store, tables
from agent.store.writes import upsert
from tests.bench.readout import CALLS, NAMES, START, close
from watch.keeping import keep_watch

# So many models of one service; with the service as a whole about 1,000 series of 30 metrics.
MODELS, LEARNING, ROUNDS = 32, 25, 9
CONFIG = load_config(drift={"baseline_calls": LEARNING * CALLS, "baseline_s": 0.0})


def measure_ms() -> tuple[float, float]:
    """Milliseconds a pane while all series learn, and while all are watched."""
    rng, took = np.random.default_rng(0), []
    with TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'watch.db'}")
        with store.transaction() as tx:
            tx.execute(insert(tables.closing).values(source="live", closed_through=0.0))
        for at in range(LEARNING + ROUNDS + 1):
            rows = []
            for model in range(MODELS):
                row = Row()
                row.calls.add("ok", CALLS)
                for name in NAMES:
                    keys = rng.integers(0, 2**63, CALLS).astype(np.uint64)
                    row.bounded(name, 0, 1).update(rng.beta(5, 2, CALLS), keys)
                group = {"service": "s", "model": f"m{model}", "variant": "production"}
                where = {"level_s": 10, "pane": START + 10 * at, "source": "live", "segment": ""}
                held = {"late": 0, "calls": CALLS, "closed_at": 0.0, "summaries": row.to_bytes()}
                rows.append(group | where | held)
            with store.transaction() as tx:
                upsert(tx, tables.panes, rows)
            close(store, START + 10 * (at + 1))
            began = time.perf_counter()
            with store.transaction() as tx:
                keep_watch(tx, CONFIG, "live", 0.0)
            took.append(1e3 * (time.perf_counter() - began))
        store.close()
    return median(took[1:LEARNING]), median(took[-ROUNDS:])


def main() -> None:
    """Print both."""
    learning, watched = measure_ms()
    print(f"{learning:7.0f} ms  1,000 series, one pane, learning")
    print(f"{watched:7.0f} ms  1,000 series, one pane, watched")


if __name__ == "__main__":
    main()

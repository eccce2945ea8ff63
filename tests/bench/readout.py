"""How long a readout takes: 1,000 stored panes of two arms and 30 metrics, and 30 days."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sqlalchemy import insert, update

from abtest.keeping import keep_experiments, lines_of
from agent.catalog import METRICS
from agent.config import load_config
from agent.panes import Row
from agent.store import Store, open_store, tables
from agent.store.writes import upsert

START, CALLS, ROUNDS = 1_767_225_600, 50, 7
NAMES = [row.name for row in METRICS if row.kind != "amount" and row.name != "feedback"][:30]
CONFIG = load_config(
    experiments={
        "x": {
            "arms": {"production": 0.5, "canary": 0.5},
            "primary": "response_relevance",
            "guardrails": {"response_toxicity": 0.01, "error": 0.02},
            "start": START,
        }
    }
)


def pane_rows(count: int, level_s: int, seed: int = 0) -> list[dict[str, Any]]:
    """Closed panes of both arms, every metric drawn alike."""
    rng, rows = np.random.default_rng(seed), []
    for at in range(count):
        for arm in ("production", "canary"):
            row = Row()
            row.calls.add("ok", CALLS)
            for name in NAMES:
                keys = rng.integers(0, 2**63, CALLS).astype(np.uint64)
                row.bounded(name, 0, 1).update(rng.beta(5, 2, CALLS), keys)
            where = {"level_s": level_s, "pane": START + level_s * at, "source": "live"}
            group = {"service": "default", "model": "m", "variant": arm, "segment": ""}
            held = {"late": 0, "calls": CALLS, "summaries": row.to_bytes(), "closed_at": 0.0}
            rows.append(where | group | held)
    return rows


def filled(folder: str, count: int, level_s: int) -> Store:
    """A store that holds so many closed panes."""
    store = open_store(f"sqlite:///{Path(folder) / f'{level_s}.db'}")
    with store.transaction() as tx:
        upsert(tx, tables.panes, pane_rows(count, level_s))
        tx.execute(insert(tables.closing).values(source="live", closed_through=0.0))
    close(store, START + level_s * count)
    return store


def close(store: Store, through: float) -> None:
    """Say how far the source is closed."""
    with store.transaction() as tx:
        tx.execute(update(tables.closing).values(closed_through=through))


def read(store: Store) -> None:
    """The readout, reading included."""
    with store.transaction() as tx:
        lines_of(tx, CONFIG, "x", 0.0)


def median_ms(action: Callable[[], None]) -> float:
    """Wall time of several rounds."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        took.append(1e3 * (time.perf_counter() - began))
    return statistics.median(took)


def measure() -> dict[str, float]:
    """Milliseconds by what is read."""
    with TemporaryDirectory() as folder:
        fine, month = filled(folder, 1001, 10), filled(folder, 720, 3600)
        close(fine, START + 10_000)
        found = {"1,000 panes x 30 metrics": median_ms(lambda: read(fine))}
        with fine.transaction() as tx:
            keep_experiments(tx, CONFIG, 0.0)
        close(fine, START + 10_010)
        found["one new pane"] = median_ms(lambda: read(fine))
        found["30 days of hours"] = median_ms(lambda: read(month))
        fine.close()
        month.close()
    return found


def main() -> None:
    """Print the table."""
    for what, ms in measure().items():
        print(f"{ms:7.0f} ms  {what}")


if __name__ == "__main__":
    main()

"""How long a look at the gaps takes: a week of hours and the week before it, from the store."""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from sqlalchemy import insert

from agent.catalog import METRICS
from agent.config import load_config
from agent.panes import HOUR_S, Row
from agent.store import open_store, tables
from agent.store.writes import upsert
from watch.fairness import look
from watch.hours import DAY_S, Hours

SERVICES, VALUES, CALLS, DAYS, ROUNDS = 5, 20, 30, 7, 3
# A multiple of a week.
START = 2922 * 7 * DAY_S
CONFIG = load_config(segments=("tenant",), fairness={})


def packed(rng: np.random.Generator) -> bytes:
    """An hour of one value with all metrics."""
    row = Row()
    row.calls.add("ok", CALLS)
    for metric in METRICS:
        if metric.kind == "amount":
            row.summary(metric.name).update(rng.lognormal(0, 1, CALLS))  # type: ignore[call-arg]  # it is a LogHistogram
        else:
            keys = rng.integers(0, 2**63, CALLS).astype(np.uint64)
            row.bounded(metric.name, 0, 1).update(rng.beta(2, 5, CALLS), keys)
    return row.to_bytes()


def measure_s() -> tuple[float, float]:
    """Seconds a look at the end of the second week: the first of a process, and one an hour on."""
    rng, first, later = np.random.default_rng(0), list[float](), list[float]()
    some = [packed(rng) for _ in range(50)]
    with TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'gaps.db'}")
        end = START + 2 * DAYS * DAY_S
        with store.transaction() as tx:
            tx.execute(insert(tables.closing).values(source="live", closed_through=float(end)))
        held = {"level_s": HOUR_S, "source": "live", "late": 0, "calls": CALLS, "closed_at": 0.0}
        for pane in range(START, end, HOUR_S):
            rows = [
                held
                | {"service": f"s{service}", "model": "m", "variant": "production"}
                | {"segment": f"tenant=t{value}", "pane": pane}
                | {"summaries": some[int(rng.integers(50))]}
                for service in range(SERVICES)
                for value in range(VALUES)
            ]
            with store.transaction() as tx:
                upsert(tx, tables.panes, rows)
        for _ in range(ROUNDS):
            hours = Hours(CONFIG)
            for took, at in ((first, end - HOUR_S), (later, end)):
                began = time.process_time()
                with store.transaction() as tx:
                    seen = look(tx, hours, at)
                took.append(time.process_time() - began)
        assert len(seen) == SERVICES * VALUES * 7
        store.close()
    return median(first), median(later)


def main() -> None:
    """Print both, of the processor's time."""
    first, later = measure_s()
    print(f"{first:.2f} s  the first look at {SERVICES} services x {VALUES} values x 5 metrics")
    print(f"{later:.2f} s  a look an hour later")


if __name__ == "__main__":
    main()

"""What panes of a few calls cost: a simulated day with segments, and its rows packed, read, added.

Processor time, since other work on the machine hardly moves it.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select

from agent.config import Config, load_config
from agent.panes import MINUTE_S, Row
from agent.score import load_panel
from agent.store import Store, open_store
from agent.store.tables import panes
from agent.sums import merged
from consumers.service import watch_records
from consumers.simulate import bad_day, simulate

START, CALLS, TOGETHER, ROUNDS = 1_767_225_600.0, 3000, 6, 5


def cpu_s(action: Callable[[], Any]) -> float:
    """Processor time of one run."""
    began = time.process_time()
    action()
    return time.process_time() - began


def walk_s(config: Config, store: Store) -> float:
    """The whole road from records to closed hours, scored by rules."""
    records = [(one.arrival, one.value) for one in simulate(bad_day(START, CALLS))]
    panel = load_panel(config)
    return cpu_s(lambda: watch_records(config, store, panel, records, lambda _: None))


def each_us(action: Callable[[Any], Any], some: Sequence[Any]) -> float:
    """The least of some rounds, of one."""
    rounds = [cpu_s(lambda: [action(one) for one in some]) for _ in range(ROUNDS)]
    return min(rounds) / len(some) * 1e6


def main() -> None:
    """Print the table."""
    with TemporaryDirectory() as folder:
        config = load_config(
            models=False,
            segments=("tenant", "language"),
            inbox={"format": "native", "source": "past"},
            backfill=("past",),
            store={"url": f"sqlite:///{Path(folder) / 'sparse.db'}"},
        )
        store = open_store(config.store.url.get_secret_value())
        print(f"{walk_s(config, store):.1f} s of processor time for {CALLS:,} calls")
        with store.transaction() as tx:
            query = select(panes.c.summaries).where(panes.c.level_s == MINUTE_S)
            blobs = [bytes(blob) for blob in tx.scalars(query.limit(2000))]
        store.close()
    rows = [Row.from_bytes(blob) for blob in blobs]
    some = [blobs[at : at + TOGETHER] for at in range(0, len(blobs), TOGETHER)]
    series = sum(len(row.summaries) for row in rows) / len(rows)
    print(f"of a row of {series:.0f} series, {sum(map(len, blobs)) / len(blobs):.0f} bytes:")
    print(f"{each_us(Row.to_bytes, rows):7.0f} us  to pack")
    print(f"{each_us(Row.from_bytes, blobs):7.0f} us  to read")
    print(f"{each_us(merged, some):7.0f} us  to add {TOGETHER}, packed to packed")


if __name__ == "__main__":
    main()

"""What a million calls take on the disk, by table: python -m tests.bench.growth.

Calls of the simulator, ten a second, with two segments and kept texts, go through the real flush
and are closed and rolled up. The rule scorers score them; what the shipped models would give is
drawn, because it takes the same room.
"""

import argparse
import math
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psycopg
from sqlalchemy import func, select, text

from agent.config import Config, load_config
from agent.monitor import Monitor
from agent.record import Call, Score
from agent.score import Panel, load_panel
from agent.store import Store, open_store
from agent.store.tables import META, panes, texts
from consumers.inbox import Inbox
from consumers.simulate import Scenario, simulate
from consumers.worker import Worker
from deploy.local.database import Database
from tests.conftest import Clock
from tests.road import Quiet

A_SECOND, START = 10, 1_767_225_600.0
CONFIG: dict[str, Any] = {
    "store": {"text_days": 30}, "panes": {"fine_hours": 1e6, "minute_hours": 1e6, "hour_days": 1e6},
    "segments": ["tenant", "language"], "slo": {"fast": {"metric": "latency", "at_most": 8}},
    "inbox": {"source": "live"},
}  # fmt: skip
LEVELS = {10: "10 s", 60: "1 min", 3600: "1 h"}


class Drawn:
    """Scores as a model gives them: numbers of 32 bits."""

    name, version = "drawn", "1"

    def __init__(self, metrics: Sequence[str]) -> None:
        self.metrics: tuple[str, ...] = tuple(metrics)
        self._rng = np.random.default_rng(1)

    def score(self, calls: Sequence[Call]) -> dict[str, list[Score]]:
        """A score of each metric for each call."""
        shape = len(self.metrics), len(calls)
        values = self._rng.beta(2, 5, shape).astype(np.float32).tolist()
        rows = ([Score(value) for value in row] for row in values)
        return dict(zip(self.metrics, rows, strict=True))


@dataclass(frozen=True, slots=True)
class Size:
    """What a table holds and takes, its indexes included."""

    rows: int
    bytes: int


def panel() -> Panel:
    """Every metric of the shipped scorers."""
    rules = load_panel(load_config(models=False))
    given = load_panel(load_config()).metric_versions.keys() - rules.metric_versions.keys()
    scorers = (*rules.scorers, Drawn(sorted(given)))
    return Panel([(scorer, 1.0) for scorer in scorers])


def fill(store: Store, config: Config, calls: int) -> None:
    """Take the calls through the road, and close all of their panes."""
    clock = Clock(START)
    inbox = Inbox(store, 2000, clock)
    monitor = Monitor(config, store, panel(), clock)
    worker = Worker(config, store, inbox, monitor, Quiet(), "growth", clock)
    records = simulate(Scenario(START, calls, length_s=calls / A_SECOND, dirt={}))
    for at in range(0, len(records), 2000):
        batch = records[at : at + 2000]
        clock.now = batch[-1].arrival
        inbox.append([(one.arrival, one.value) for one in batch])
        while worker.step(0.0):
            pass
    worker.finish("live")


def sizes(store: Store, bytes_of: dict[str, int]) -> dict[str, Size]:
    """The tables that hold anything, without the inbox: beside a broker it is empty."""
    found = {}
    with store.reading() as tx:
        for table in META.sorted_tables:
            rows = tx.scalar(select(func.count()).select_from(table)) or 0
            if rows and table.name != "inbox":
                found[table.name] = Size(rows, bytes_of.get(table.name, 0))
    return found


def of_postgres(url: str) -> dict[str, int]:
    """Bytes by table with indexes and what is stored out of line, once dead rows are gone."""
    plain = url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("VACUUM FULL")
        query = "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables"
        return dict(connection.execute(query).fetchall())


def of_sqlite(store: Store) -> dict[str, int]:
    """Bytes by table with its indexes, from the pages that they take."""
    query = (
        "SELECT m.tbl_name, SUM(s.pgsize) FROM dbstat s JOIN sqlite_schema m ON m.name = s.name"
        " GROUP BY m.tbl_name"
    )
    with store.reading() as tx:
        return {str(name): int(size) for name, size in tx.execute(text(query))}


def wal(url: str) -> int:
    """How many bytes PostgreSQL has written to its log."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
        return int(row[0]) if row else 0


def levels(store: Store) -> dict[int, tuple[int, float]]:
    """Of each length of panes how many rows of one series there are, and a row's mean bytes."""
    size = func.length(panes.c.summaries)
    query = select(panes.c.level_s, func.count(), func.avg(size)).group_by(panes.c.level_s)
    with store.reading() as tx:
        return {level: (n, float(mean)) for level, n, mean in tx.execute(query)}


def report(name: str, calls: int, found: dict[str, Size]) -> None:
    """The table, a million calls each row, largest first."""
    print(f"\n{name}, scaled from {calls:,} calls to 1,000,000\n")
    print("| table | rows | MB | bytes a row |\n|---|---|---|---|")
    scale = 1e6 / calls
    for table, size in sorted(found.items(), key=lambda one: -one[1].bytes):
        if size.rows * scale >= 1000:
            mb = size.bytes * scale / 1e6
            print(f"| `{table}` | {size.rows * scale:,.0f} | {mb:,.0f} | "
                  f"{size.bytes / size.rows:,.0f} |")  # fmt: skip


def said_of(store: Store, calls: int) -> None:
    """What the text is like and what the rows of panes take."""
    chars = func.length(texts.c.prompt) + func.coalesce(func.length(texts.c.response), 0)
    with store.reading() as tx:
        mean = float(tx.scalar(select(func.avg(chars))) or math.nan)
        series = (
            "SELECT COUNT(*) FROM (SELECT DISTINCT service, model, variant, segment FROM panes)"
        )
        groups = tx.scalar(text(f"{series} AS s"))
    print(f"\na prompt and its answer have {mean:.0f} characters in the mean; {groups} groups")
    for level, (rows, size) in sorted(levels(store).items()):
        print(f"panes of {LEVELS[level]}: {rows:,} rows over {calls / A_SECOND / 3600:.1f} hours,"
              f" sums of {size:,.0f} bytes in the mean")  # fmt: skip


def main() -> None:
    """Print both databases."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--calls", type=int, default=100_000)
    calls = asked.parse_args().calls
    config = load_config(**CONFIG)
    with ExitStack() as held:
        server = held.enter_context(Database(durable=True))
        url = server.create_database()
        store = held.enter_context(closing(open_store(url)))
        before = wal(url)
        fill(store, config, calls)
        written = wal(url) - before
        report("PostgreSQL", calls, sizes(store, of_postgres(url)))
        print(f"\nwrite-ahead log: {written / calls:,.0f} bytes a call")
        said_of(store, calls)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "v.db"
        with closing(open_store(f"sqlite:///{path}")) as store:
            fill(store, config, calls)
            report("SQLite", calls, sizes(store, of_sqlite(store)))


if __name__ == "__main__":
    main()

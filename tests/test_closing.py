"""Closing a backlog: on a slow machine, with many groups, and where nothing lies between."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, insert, select, update

import agent.store as stores
from abtest.keeping import keep_experiments
from agent.config import load_config
from agent.errors import StoreDown
from agent.monitor import Monitor
from agent.score import Panel
from agent.store import Store, closing, open_store, reads, tables, watches
from agent.store.reads import stored_panes
from agent.store.writes import upsert
from agent.sums import merged
from consumers.house import House
from consumers.stride import Stride
from tests.burning import SOURCE, START, packed
from tests.conftest import Clock
from tests.experiments import NOW, run_of, split, told
from tests.experiments import travel as tried
from tests.road import InboxRoad, Quiet, as_bytes, native
from tests.test_keeping import facts
from tests.test_watch import configured, records, travel
from watch.keeping import keep_watch

HOUR_S, DAY_S = 3600, 86_400
IDLE_S = 0.6  # what the store waits here for the next statement; in earnest it is 10 s


def wait(store: Store, panes: int, groups: int = 1) -> None:
    """Let so many panes of 10 s wait to be closed."""
    row = {"topic": "t", "partition": 0, "source": SOURCE, "model": "m", "variant": "production"}
    row |= {"segment": "", "calls": 3, "summaries": packed((1, 3))}
    rows = [
        row | {"pane": START + 10 * at, "service": f"s{group}"}
        for at in range(panes)
        for group in range(groups)
    ]
    with store.transaction() as tx:
        tx.execute(insert(tables.closing).values(source=SOURCE, closed_through=float(START)))
        upsert(tx, tables.open_panes, rows)


@pytest.fixture
def hasty(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A PostgreSQL that soon hangs up on who thinks."""
    monkeypatch.setattr(stores, "_IDLE_TRANSACTION_S", IDLE_S)
    store = open_store(postgres_url)
    yield store
    store.close()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that takes a thirtieth of what the store waits to merge a row."""

    def slowly(blobs: Any) -> bytes:
        time.sleep(IDLE_S / 30)
        return merged(blobs)

    monkeypatch.setattr(closing, "merged", slowly)


@pytest.mark.usefixtures("slow")
def test_a_slow_machine_closes_a_backlog(hasty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    panes = 2 * 360
    wait(hasty, panes)
    end = START + 10.0 * panes
    monkeypatch.setattr(closing, "closable_through", lambda *_: end)
    monkeypatch.setattr(closing, "_ROWS_AT_ONCE", 1000)  # so that only its stride saves it
    house: House = InboxRoad(hasty).worker.house
    reached, lost = float(START), 0
    for _ in range(200):
        try:
            house._close_source(SOURCE, 0.0)
        except StoreDown:
            lost += 1
        with hasty.reading() as tx:
            reached = tx.scalar(select(tables.closing.c.closed_through)) or 0.0
        if reached == end:
            break
    assert reached == end and lost > 0
    with hasty.reading() as tx:
        calls = func.sum(tables.panes.c.calls)
        levels = select(tables.panes.c.level_s, calls).group_by(tables.panes.c.level_s)
        found = {level: int(n) for level, n in tx.execute(levels)}
    assert found == dict.fromkeys((10, 60, 3600), 3 * panes)


@pytest.mark.usefixtures("slow")
def test_many_groups_are_merged_a_part_between_two_statements(
    hasty: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "_ROWS_AT_ONCE", 3)
    wait(hasty, 6, groups=60)
    with hasty.transaction() as tx:
        assert closing.finish_source(tx, SOURCE, load_config(models=False), 0.0) is not None


def test_a_stride_is_half_after_a_slow_turn_and_twice_after_a_quick_one(clock: Clock) -> None:
    paces, made = [], Stride(clock)
    for took_s in (0.1, 0.1, 0.1, 0.1, 0.1, 1.0, 3.0, 1.0):
        with made.take() as part:
            clock.advance(took_s)
        paces.append(part)
    assert paces == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 1, 1, 1 / 2]
    for _ in range(20):
        with pytest.raises(StoreDown), made.take() as part:
            raise StoreDown("away")
    assert part == 1 / 512


def test_a_watch_in_any_strides_and_over_an_empty_time_is_the_same(
    store: Store, rng: np.random.Generator
) -> None:
    config = configured()
    travel(store, config, records(rng, 1600, 1000, 0.15))
    bodies = set()
    for part, days in ((1.0, (300,)), (1 / 512, (300,)), (1 / 30, range(10, 301, 10))):
        with store.transaction() as tx:
            for table in (tables.watches, tables.baselines):
                tx.execute(table.delete())
            steps = 0
            for day in days:
                through = START + float(day * DAY_S)
                tx.execute(update(tables.closing).values(closed_through=through))
                while keep_watch(tx, config, "backfill", 0.0, part) is not None:
                    steps += 1
            stored = watches.load_watch(tx, "backfill")
        assert stored is not None
        bodies.add((stored.body, stored.bases))
        assert steps <= 3 + len(days) + 80 * (part < 1)
    assert len(bodies) == 1


def test_experiments_in_any_strides_and_over_an_empty_time_are_the_same(
    store: Store, rng: np.random.Generator
) -> None:
    config, plain = told(margin=0.05), split(rng, 1200, 0.05)
    sparse = [one | {"at": START + 20 * (one["at"] - START)} for one in plain]
    tried(store, config, sparse)
    found, steps = [], []
    for part in (1.0, 1 / 512):
        with store.transaction() as tx:
            tx.execute(tables.runs.delete())
            tx.execute(update(tables.closing).values(closed_through=START + 300.0 * DAY_S))
            moved = 0
            while keep_experiments(tx, config, NOW, part):
                moved += 1
        found.append(facts(run_of(store, config)))
        steps.append(moved)
    # The hours that have calls, and at once what is empty.
    assert steps == [2, 5] and found[0] == found[1]


def test_what_closed_later_is_not_looked_at(store: Store) -> None:
    row = {"level_s": 10, "source": SOURCE, "service": "s", "model": "m", "variant": "production"}
    row |= {"segment": "", "late": 0, "calls": 3, "summaries": b"", "closed_at": 0.0}
    steps = []
    for first, last in ((0, 360), (360, 7200)):
        with store.transaction() as tx:
            some = [row | {"pane": START + 10 * at} for at in range(first, last)]
            tx.execute(insert(tables.panes), some)
        steps.append(steps_of_an_hour(store))
    assert steps[1] < 1.5 * steps[0]


def steps_of_an_hour(store: Store) -> int:
    """How many hundred steps SQLite takes to read the first hour."""
    counted: list[None] = []
    with store.reading() as tx:
        raw: Any = tx.connection.driver_connection
        raw.set_progress_handler(lambda: counted.append(None), 100)
        assert len(stored_panes(tx, SOURCE, START, START + HOUR_S)) == 360
        raw.set_progress_handler(None, 0)
    return len(counted)


def test_a_worker_in_reserve_closes_what_others_read(store_url: str) -> None:
    """It may hold the lease, and then nobody else closes."""
    config = load_config(inbox={"source": "live"})
    with contextlib.closing(open_store(store_url)) as store:
        way = InboxRoad(store, config)
        way.inbox.append(as_bytes([native(0)]))
        way.drain()
        later = time.time() + HOUR_S
        with store.transaction() as tx:
            tx.execute(update(tables.offsets).values(caught_up_at=later))
            before = reads.closed_times(tx)["live"]
        monitor = Monitor(config, store, Panel([]))
        House(config, store, way.inbox, monitor, Quiet(), "in reserve", lambda: later).keep({})
        with store.transaction() as tx:
            assert reads.closed_times(tx)["live"] > before

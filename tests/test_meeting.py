"""Two transactions that meet on one id, one half, one pane or one partition: both end right."""

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from agent.config import Config, load_config
from agent.intake import Entry, Reading
from agent.monitor import Fenced, Flush, Monitor
from agent.panes import HOUR_S, Row
from agent.record import RawRecord
from agent.score import Panel
from agent.store import Store, closing, open_store, positions, reads, writes
from agent.store.tables import calls
from consumers.formats import parse
from tests.road import native
from tests.telemetry import SPAN
from tests.test_halves import sides

TOPIC, ROUNDS = "meeting", 8


@pytest.fixture
def store(postgres_url: str) -> Store:
    """PostgreSQL: on SQLite one process writes, and its transactions queue."""
    store = open_store(postgres_url)
    with store.transaction() as tx:
        positions.register(tx, TOPIC, range(2), "live")
        for partition in range(2):
            known = positions.load_position(tx, TOPIC, partition)
            assert known is not None
            assert positions.move(tx, known[0], 0, None, 0)
    return store


def reading(store: Store, config: Config, partition: int, values: Sequence[bytes]) -> Reading:
    """The next records of a partition, from where it stands."""
    with store.transaction() as tx:
        known = positions.load_position(tx, TOPIC, partition)
    assert known is not None
    position, now = known[0], time.time()
    entries = [
        Entry(
            RawRecord(TOPIC, partition, position.next + i, now, value),
            tuple(parse(value, "auto", config, now)),
        )
        for i, value in enumerate(values)
    ]
    return Reading(position, position.next + len(values), tuple(entries))


def meet(
    store: Store, config: Config, at: str, readings: Sequence[Reading]
) -> list[Flush | Exception]:
    """Each reading by a worker of its own; all wait for one another at a step, the first time."""
    barrier = threading.Barrier(len(readings))

    def work(one: Reading) -> Flush | Exception:
        met = False

        def wait(step: str) -> None:
            nonlocal met
            if step == at and not met:
                met = True
                barrier.wait(10)

        monitor = Monitor(config, store, Panel([]), on_step=wait)
        try:
            return monitor.observe([one])
        except Fenced as error:
            return error

    with ThreadPoolExecutor(len(readings)) as pool:
        return list(pool.map(work, readings))


@pytest.mark.parametrize("at", ["begin", "seen"])
def test_two_that_meet_on_one_id_count_it_once(store: Store, at: str) -> None:
    config = load_config()
    for number in range(ROUNDS):
        # In the other order in the other partition: rows must be taken in key order, or deadlock.
        values = [json.dumps(native(number * 10 + i)).encode() for i in range(10)]
        ends = meet(
            store,
            config,
            at,
            [reading(store, config, 0, values), reading(store, config, 1, values[::-1])],
        )
        assert all(isinstance(end, Flush) for end in ends)
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        assert tx.scalar(select(func.count()).select_from(calls)) == 10 * ROUNDS
    assert ledger.sums
    assert (ledger.terms["scored"], ledger.terms["duplicate"]) == (10 * ROUNDS, 10 * ROUNDS)
    assert ledger.counts["conflicts"] == 0
    store.close()


def test_two_halves_that_meet_become_one_call(store: Store) -> None:
    config = load_config(intake={"join_wait_s": 600})
    span, words = sides()
    ends = meet(
        store,
        config,
        "begin",
        [reading(store, config, 0, [span]), reading(store, config, 1, [words])],
    )
    assert all(isinstance(end, Flush) for end in ends)
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        (row,) = tx.execute(select(calls)).all()
    assert (row.model, row.prompt_chars) == ("m-8b", len("Write to a@b.example"))
    assert ledger.sums
    assert (ledger.terms["scored"], ledger.terms["joined"], ledger.waiting) == (1, 1, 0)
    store.close()


def test_halves_that_meet_among_others_that_do_not_all_wait_or_become_calls(store: Store) -> None:
    config = load_config(intake={"join_wait_s": 600})
    spans, words = (
        [side.replace(SPAN.encode(), b"%016X" % number) for number in some]
        for side, some in zip(sides(), (range(1, 21), range(30, 10, -1)), strict=True)
    )
    ends = meet(
        store, config, "begin", [reading(store, config, 0, spans), reading(store, config, 1, words)]
    )
    assert all(isinstance(end, Flush) for end in ends)
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
    assert ledger.sums
    assert (ledger.terms["scored"], ledger.terms["joined"], ledger.waiting) == (10, 10, 20)
    store.close()


def test_a_batch_is_folded_into_the_panes_of_each_partition(store: Store) -> None:
    config, monitor = load_config(), Monitor(load_config(), store, Panel([]))
    said = [{"feedback_for": f"call-{n}", "at": 1_767_225_700, "value": 1.0} for n in (0, 1, 4)]
    now = time.time()
    first = [json.dumps(native(number, at=now, model="m")).encode() for number in range(5)]
    then = [json.dumps(one).encode() for one in said]
    monitor.observe([reading(store, config, 0, first[:2]), reading(store, config, 1, first[2:])])
    monitor.observe([reading(store, config, 0, then[1:]), reading(store, config, 1, then[:1])])
    with store.transaction() as tx:
        rows = [row for partition in range(2) for row in writes.load_panes(tx, TOPIC, partition)]
    found = [Row.from_bytes(blob) for _, blob in rows]
    assert [row.calls.total() for row in found] == [2, 3]
    assert [row.summary("feedback").n for row in found] == [2, 1]
    store.close()


def test_two_that_meet_on_one_pane_are_both_in_it(store: Store) -> None:
    config = load_config()
    for number in range(ROUNDS):
        values = [json.dumps(native(2 * number + part, model="m")).encode() for part in range(2)]
        meet(store, config, "seen", [reading(store, config, p, [values[p]]) for p in range(2)])
    with store.transaction() as tx:
        closing.finish_source(tx, "live", config, time.time())
        rows = reads.pane_rows(tx, 0, 4e9, HOUR_S) + reads.pane_rows(tx, 0, 4e9, HOUR_S, late=True)
    latency = [row.summary("latency") for *_, row in rows]
    assert sum(summary.n for summary in latency) == 2 * ROUNDS
    wanted = [native(number)["latency_s"] for number in range(2 * ROUNDS)]
    assert sum((s.mean() or 0) * s.n for s in latency) == pytest.approx(sum(wanted), abs=1e-9)
    store.close()


@pytest.mark.parametrize("at", ["begin", "seen"])
def test_two_that_meet_on_one_partition_leave_one_fenced(store: Store, at: str) -> None:
    config = load_config()
    values = [json.dumps(native(number)).encode() for number in range(5)]
    same = reading(store, config, 0, values)
    ends = meet(store, config, at, [same, same])
    assert sorted(type(end).__name__ for end in ends) == ["Fenced", "Flush"]
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
    assert ledger.sums
    assert ledger.terms["scored"] == ledger.received == 5
    store.close()

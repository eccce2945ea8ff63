"""The whole road without a broker: what goes in is counted once, whatever happens on the way."""

import json
import math
import random
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

import consumers.worker
from agent.config import load_config
from agent.errors import StoreDown
from agent.panes import HOUR_S, MINUTE_S
from agent.record import Call, Item
from agent.store import Store, letters, open_store, reads
from agent.store.tables import calls, dead_letters, open_panes
from consumers import deadletter
from consumers.deadletter import replay_letters
from consumers.formats import parse
from consumers.pump.sender import Sender
from tests.road import InboxRoad, as_bytes, native

N = 1200


def means(road: InboxRoad, metric: str) -> dict[str, float]:
    """The mean of a metric a model, over all closed hours."""
    with road.store.transaction() as tx:
        rows = reads.pane_rows(tx, 0, 4e9, HOUR_S)
    totals: dict[str, list[int]] = {}
    for _, _, group, row in rows:
        summary = row.summaries[metric]
        held = totals.setdefault(group.model, [0, 0])
        held[0] += summary.total
        held[1] += summary.n
    return {model: total / n / (1 << 32) for model, (total, n) in totals.items()}


def test_every_call_has_one_row_and_means_are_exact(store_url: str) -> None:
    store = open_store(store_url)
    road = InboxRoad(store)
    records = [native(i) for i in range(N)]
    road.inbox.append(as_bytes(records))
    road.drain()
    road.worker.finish("live")
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        ids = tx.scalars(select(calls.c.id)).all()
    assert ledger.sums
    assert ledger.received == ledger.terms["scored"] == N
    assert sorted(ids) == sorted(record["id"] for record in records)
    for model, mean in means(road, "latency").items():
        mine = [r["latency_s"] for r in records if r["model"] == model]
        assert mean == pytest.approx(math.fsum(mine) / len(mine), abs=1e-9)
    store.close()


def test_duplicates_conflicts_and_unreadable_records_are_accounted_for(store_url: str) -> None:
    store = open_store(store_url)
    road = InboxRoad(store)
    good = [native(i) for i in range(20)]
    again = [native(3), native(4, response="other words"), native(5)]
    road.inbox.append([*as_bytes(good + again), (0.0, b"{broken"), (0.0, b"\xff\xfe")])
    road.inbox.append([(0.0, json.dumps({"id": "x", "model": "m", "at": "soon"}).encode())])
    road.drain()
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        reasons = tx.scalars(select(dead_letters.c.reason)).all()
    assert ledger.sums
    assert ledger.terms["scored"] == 20
    assert ledger.terms["duplicate"] == 3
    assert ledger.counts["conflicts"] == 1
    assert ledger.terms["unreadable"] == 2
    assert ledger.terms["invalid"] == 1
    assert sorted(reasons) == ["bad_time", "encoding", "json"]
    store.close()


class Planted(Exception):
    """Stands for a crash: nothing of ours may catch it."""


@pytest.mark.parametrize(
    "at", ["plan", "score", "begin", "seen", "fold", "write", "advance", "commit"]
)
def test_a_crash_before_the_commit_leaves_no_effect(store_url: str, at: str) -> None:
    store = open_store(store_url)
    crashes = iter([True, False])

    def crash(step: str) -> None:
        if step == at and next(crashes, False):
            raise Planted

    road = InboxRoad(store, on_step=crash)
    road.inbox.append(as_bytes(native(i) for i in range(50)))
    with pytest.raises(Planted):
        road.drain()
    with store.transaction() as tx:
        assert reads.ledger(tx).received == 0
        assert tx.scalars(select(open_panes.c.pane)).all() == []
    InboxRoad(store).drain()
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
    assert ledger.sums
    assert ledger.terms["scored"] == 50
    store.close()


def test_an_unknown_outcome_of_the_commit_is_settled_by_the_position(store_url: str) -> None:
    store = open_store(store_url)
    crashes = iter([True, False])

    def lose_connection(step: str) -> None:
        if step == "committed" and next(crashes, False):
            raise StoreDown("connection lost in COMMIT", 0.0)

    road = InboxRoad(store, on_step=lose_connection)
    road.inbox.append(as_bytes(native(i) for i in range(50)))
    road.drain()
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
    assert road.listener.fences == 1
    assert ledger.sums
    assert ledger.terms["scored"] == 50
    store.close()


def test_any_order_and_any_cut_gives_the_same_panes(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    blobs = []
    for seed, batch in ((1, 500), (2, 7), (3, 64)):
        folder = tmp_path_factory.mktemp("road")
        store = open_store(f"sqlite:///{folder / 'v.db'}")
        rows = as_bytes(native(i) for i in range(300))
        random.Random(seed).shuffle(rows)
        road = InboxRoad(store, batch=batch)
        road.inbox.append(rows)
        road.drain()
        road.worker.finish("live")
        with store.transaction() as tx:
            found = reads.pane_rows(tx, 0, 4e9, MINUTE_S)
        blobs.append([(pane, group, row.to_bytes()) for pane, _, group, row in found])
        store.close()
    assert blobs[0] == blobs[1] == blobs[2]
    assert len(blobs[0]) == 15


def test_late_calls_join_a_tally_that_is_never_tested(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    config = load_config(panes={"lateness_s": 30})
    road = InboxRoad(store, config)
    on_time = as_bytes(native(i) for i in range(10))
    arrival, value = as_bytes([native(0, id="late")])[0]
    road.inbox.append([*on_time, (arrival + 500, value)])
    road.drain()
    road.worker.finish("live")
    with store.transaction() as tx:
        tested = reads.pane_rows(tx, 0, 4e9, HOUR_S)
        late = reads.pane_rows(tx, 0, 4e9, HOUR_S, late=True)
        ledger = reads.ledger(tx)
    assert sum(row.calls.total() for *_, row in tested) == 10
    assert sum(row.calls.total() for *_, row in late) == 1
    assert ledger.counts["late"] == 1
    assert ledger.terms["scored"] == 11
    store.close()


def test_feedback_joins_the_pane_of_its_call(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    road = InboxRoad(store)
    said = {"feedback_for": "call-1", "at": 1_767_225_700, "value": 1.0}
    stray = {"feedback_for": "nobody", "at": 1_767_225_700, "value": -1.0}
    road.inbox.append(as_bytes([native(0), native(1)]))
    road.drain()
    road.inbox.append(as_bytes([said, said, stray]))
    road.drain()
    road.worker.finish("live")
    with store.transaction() as tx:
        rows = reads.pane_rows(tx, 0, 4e9, HOUR_S)
        rows += reads.pane_rows(tx, 0, 4e9, HOUR_S, late=True)
        ledger = reads.ledger(tx)
    judged = [row.summaries["feedback"] for *_, row in rows if "feedback" in row.summaries]
    assert sum(summary.n for summary in judged) == 1
    assert ledger.sums
    assert ledger.terms["feedback"] == 1
    assert ledger.terms["duplicate"] == 1
    assert ledger.terms["invalid"] == 1
    store.close()


def test_feedback_in_the_batch_of_its_call_is_about_the_production_answer(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    road = InboxRoad(store)
    said = {"feedback_for": "call-1", "at": 1_767_225_700, "value": -1.0}
    twin = native(1, model="candidate", variant="shadow:candidate")
    road.inbox.append(as_bytes([native(1), twin, said]))
    road.drain()
    road.worker.finish("live")
    with store.transaction() as tx:
        rows = reads.pane_rows(tx, 0, 4e9, HOUR_S) + reads.pane_rows(tx, 0, 4e9, HOUR_S, late=True)
        terms = reads.ledger(tx).terms
    judged = {group.model for _, _, group, row in rows if row.summary("feedback").n}
    assert judged == {"model-1"}
    assert (terms["scored"], terms["feedback"], terms["invalid"]) == (2, 1, 0)
    store.close()


def test_a_record_that_ends_the_process_is_set_aside_with_how_often_it_was_tried(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fatal(value: bytes, *rest: Any) -> list[Item]:
        if b"call-2" in value:
            raise Planted
        return parse(value, *rest)

    monkeypatch.setattr(consumers.worker, "parse", fatal)
    with closing(open_store(sqlite_url)) as store:
        InboxRoad(store).inbox.append(as_bytes(native(number) for number in range(4)))
        for _ in range(3):
            with pytest.raises(Planted):
                InboxRoad(store).drain()
        InboxRoad(store).drain()
        with store.transaction() as tx:
            terms = reads.ledger(tx).terms
            (letter,) = letters.unsent(tx, 10)
    assert (letter["reason"], letter["attempts"]) == ("killed_the_process", 3)
    assert (terms["scored"], terms["failed"]) == (3, 1)


def test_25_a_call_that_the_store_refuses_costs_none_of_its_499_neighbours(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def past_the_checks(value: bytes, *rest: Any) -> list[Item]:
        (item,) = parse(value, *rest)
        assert isinstance(item, Call)
        return [replace(item, session="NUL \0") if item.id == "call-250" else item]

    monkeypatch.setattr(consumers.worker, "parse", past_the_checks)
    store = open_store(postgres_url)
    road = InboxRoad(store)
    road.inbox.append(as_bytes(native(number) for number in range(500)))
    road.drain()
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        (letter,) = letters.unsent(tx, 10)
    assert (letter["reason"], json.loads(letter["value"])["id"]) == ("unstorable", "call-250")
    assert (ledger.terms["scored"], ledger.terms["failed"]) == (499, 1)
    assert ledger.sums
    store.close()


def test_a_record_is_replayed_three_times_and_no_more(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    road, sender = InboxRoad(store), Sender(load_config().kafka)
    road.inbox.append([(1.0, b"no json"), (2.0, b"none either")])
    turns = []
    for _ in range(5):
        road.drain()
        turns.append(replay_letters(store, sender, (), "json", 3.0))
    assert [turn["replayed"] for turn in turns] == [2, 2, 2, 0, 0]
    assert [turn["refused"] for turn in turns] == [0, 0, 0, 2, 2]
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
    assert ledger.terms["unreadable"] == ledger.received == 8
    store.close()


def test_a_replay_that_failed_keeps_no_other_waiting(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreDown("broker: is away")

    with closing(open_store(sqlite_url)) as store, closing(Sender(load_config().kafka)) as sender:
        road = InboxRoad(store)
        road.inbox.append([(1.0, b"no json")])
        road.drain()
        with monkeypatch.context() as planted, pytest.raises(StoreDown, match="is away"):
            planted.setattr(deadletter, "_put_back", away)
            replay_letters(store, sender, (), "json", 3.0)
        assert replay_letters(store, sender, (), "json", 3.0)["replayed"] == 1


def test_a_record_of_many_bad_calls_is_one_letter_for_each_reason(store: Store) -> None:
    way = InboxRoad(store)
    bad = [{**native(at), "at": "never"} for at in range(30)] + [{**native(99), "model": ""}]
    way.inbox.append([(1_767_225_800.0, json.dumps([native(0), *bad]).encode())])
    way.drain()
    with store.transaction() as tx:
        assert {row[:2] for row in letters.by_reason(tx)} == {("bad_model", 1), ("bad_time", 1)}
        assert reads.ledger(tx).terms["invalid"] == 31

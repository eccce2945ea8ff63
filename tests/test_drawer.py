"""Dead letters take so many bytes and no more: the oldest go, and it is counted and said."""

import logging
import time

import pytest
from sqlalchemy import select, update

from agent.config import Config, load_config
from agent.record import DeadLetter
from agent.store import Store, retention, writes
from agent.store.tables import dead_letters
from consumers import drawer
from consumers.drawer import Drawer
from consumers.recorder import Recorder, instruments
from tests.exposition import value
from tests.road import InboxRoad

MIB = 1 << 20


def small() -> Config:
    return load_config(store={"dead_letter_bytes": MIB}, server={"inbox_bytes": 64 * MIB})


def put(store: Store, offsets: range, size: int) -> None:
    one = [DeadLetter("t", 0, at, "bad_json", "", 1.0, b"x" * size) for at in offsets]
    with store.transaction() as tx:
        writes.insert_dead_letters(tx, one, time.time())


def held(store: Store) -> list[int]:
    with store.reading() as tx:
        return list(tx.scalars(select(dead_letters.c.offset).order_by(dead_letters.c.offset)))


def test_beyond_their_bytes_the_replayed_go_and_then_the_oldest(
    any_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drawer, "_LOOK_S", 0.0)
    caplog.set_level(logging.WARNING, "vedette")
    recorder = Recorder(small(), any_store, instruments(small()))
    kept = Drawer(small(), any_store, recorder)
    put(any_store, range(10), 100_000)  # 500 bytes more each
    with any_store.transaction() as tx:
        assert retention.letter_bytes(tx) == 10 * 100_500
        writes.append_inbox(tx, [(1.0, b"x" * MIB, None)])
    kept.keep()
    assert held(any_store) == list(range(10)) and not caplog.messages
    tally = recorder.tally
    assert value(tally, "vedette_store_filled_ratio", part="dead_letters") == 1_005_000 / MIB
    assert value(tally, "vedette_store_filled_ratio", part="inbox") == 1 / 64
    with any_store.transaction() as tx:
        tx.execute(update(dead_letters).where(dead_letters.c.offset == 7).values(replayed_at=2.0))
    put(any_store, range(10, 12), 100_000)
    kept.keep()
    assert held(any_store) == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    assert value(tally, "vedette_dead_letters_dropped_total") == 2
    assert caplog.messages == ["store.dead_letter_bytes is full: 2 dead letters were dropped"]


def test_many_letters_go_turn_by_turn(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_LETTERS_AT_ONCE", 3)
    monkeypatch.setattr(retention, "_ROWS_AT_ONCE", 2)
    kept = Drawer(small(), store, Recorder(small(), store, instruments(small())))
    put(store, range(15), 100_000)
    for left in (12, 10, 10):
        kept.keep()
        assert held(store) == list(range(15 - left, 15))


def test_the_house_keeps_its_drawer(store: Store) -> None:
    road = InboxRoad(store, small())
    put(store, range(12), 100_000)
    road.drain()
    assert len(held(store)) == 10

"""Records that a crash left marked: worked on alone, and only they."""

import gc
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

import consumers.worker
from agent.record import Item
from agent.store import Store, open_store, reads
from consumers.formats import parse
from tests.road import InboxRoad, as_bytes, native


class Planted(BaseException):
    """What ends the process, as far as a thread can be ended."""


@pytest.fixture
def crashed(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store whose worker was killed with four records in hand."""

    def killed(*_: Any) -> list[Item]:
        raise Planted

    with closing(open_store(sqlite_url)) as store:
        InboxRoad(store).inbox.append(as_bytes(native(number) for number in range(4)))
        with monkeypatch.context() as patch:
            patch.setattr(consumers.worker, "parse", killed)
            with pytest.raises(Planted):
                InboxRoad(store).drain()
        yield store


def scored(store: Store) -> int:
    with store.reading() as tx:
        return reads.ledger(tx).terms["scored"]


def test_who_is_to_stop_begins_no_further_suspect(
    crashed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    road = InboxRoad(crashed)

    def stopped(value: bytes, *rest: Any) -> list[Item]:
        road.worker.stop()
        return parse(value, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(consumers.worker, "parse", stopped)
        road.worker.run()
    assert scored(crashed) == 1
    InboxRoad(crashed).drain()
    assert scored(crashed) == 4


def test_what_lies_behind_the_suspects_is_worked_on_together(crashed: Store) -> None:
    road = InboxRoad(crashed)
    road.inbox.append(as_bytes(native(number) for number in range(4, 40)))
    road.drain()
    assert scored(crashed) == 40
    assert road.listener.flushes == 4 + 1


def test_a_worker_s_heap_is_left_alone_from_where_it_begins(
    crashed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(gc, "collect", lambda: told.append("collect"))
    monkeypatch.setattr(gc, "freeze", lambda: told.append("freeze"))
    road = InboxRoad(crashed)
    road.worker.stop()
    road.worker.run()
    assert told == ["collect", "freeze"]

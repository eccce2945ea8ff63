"""How many statements the road sends: one for a batch where one does, and none about nothing."""

import json
import time
from collections.abc import Sequence

import pytest

from agent.config import load_config
from agent.monitor import Monitor
from agent.record import Partition
from agent.score import Panel
from agent.store import Store, halves, letters, reads
from agent.store.tables import dead_letters
from agent.store.writes import Position
from consumers import house
from consumers.house import Held
from consumers.inbox import Inbox
from consumers.source import Start
from consumers.worker import Worker
from tests.road import InboxRoad, Quiet, as_bytes, native
from tests.statements import heard
from tests.telemetry import CHAT, span, traces


def count(sent: Sequence[str], part: str) -> int:
    return sum(part in " ".join(one.split()) for one in sent)


def test_the_halves_of_a_batch_are_stored_by_one_statement(any_store: Store) -> None:
    road = InboxRoad(any_store, load_config(intake={"join_wait_s": 600}))
    spans = (traces(span(CHAT, spanId=f"{number:016x}")) for number in range(1, 41))
    road.inbox.append([(time.time(), json.dumps(one).encode()) for one in spans])
    with heard(any_store) as sent:
        road.drain()
    assert count(sent, "INSERT INTO halves") == 1
    with any_store.transaction() as tx:
        assert reads.ledger(tx).waiting == 40
        assert reads.ledger(tx).sums


def test_a_flush_asks_nothing_of_late_calls_where_none_is_late(any_store: Store) -> None:
    began: dict[str, int] = {}
    with heard(any_store) as sent:
        road = InboxRoad(any_store, on_step=lambda step: began.update({step: len(sent)}))
        for number, after_s in ((0, 0.0), (1, 1e6)):
            ((arrival, value),) = as_bytes([native(number)])
            road.inbox.append([(arrival + after_s, value)])
            road.drain()
            written = sent[began["write"] : began["advance"]]
            assert (count(written, "FROM panes WHERE") > 0) == (after_s > 0)
    with any_store.transaction() as tx:
        assert [row["late"] for row in reads.partitions(tx)] == [1]


def half(key: str, partition: int, deadline: float) -> dict[str, object]:
    place = {"topic": "calls", "partition": partition, "offset": 7, "arrival": 1.0}
    return {"key": key, "side": "span", "body": b"{}", "deadline": deadline, **place}


def test_a_half_is_due_in_its_own_partition_once_its_time_is_past(any_store: Store) -> None:
    with any_store.transaction() as tx:
        assert halves.insert(tx, [half("a", 1, 10.0), half("b", 2, 20.0)])
        due = {
            (partition, before)
            for partition in (0, 1, 2)
            for before in (10.0, 15.0, float("inf"))
            if halves.any_due(tx, [("calls", partition), ("others", 1)], before)
        }
    assert due == {(1, 15.0), (1, float("inf")), (2, float("inf"))}


def test_keeping_house_looks_once_for_the_halves_of_all_partitions(
    any_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "_HOUSE_S", 0.0)
    road = InboxRoad(any_store)
    held = {("calls", n): Held(Position("calls", n, "live", 0), 1) for n in range(5)}
    with heard(any_store) as sent:
        road.worker.house.keep(held)
    assert count(sent, "halves.deadline <") == 1


class Wide(Inbox):
    """A source of eight partitions that start together, and hold nothing."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.sought: dict[Partition, int] = {}

    def starts(self) -> Sequence[Start]:
        every = tuple(range(8))
        found = [Start("calls", number, 1, 3, 9, every, "id") for number in every]
        return [one for one in found if (one.topic, one.partition) not in self.sought]

    def seek(self, start: Start, offset: int) -> None:
        self.sought[start.topic, start.partition] = offset


def test_partitions_that_start_together_are_made_known_by_one_statement(any_store: Store) -> None:
    config, source = load_config(), Wide(any_store)
    monitor = Monitor(config, any_store, Panel([]))
    worker = Worker(config, any_store, source, monitor, Quiet(), "test")
    with heard(any_store) as sent:
        worker.step(0.0)
    assert count(sent, "INSERT INTO offsets") == 1
    assert source.sought == {("calls", number): 3 for number in range(8)}
    with any_store.transaction() as tx:
        assert [(row["partition"], row["next"]) for row in reads.partitions(tx)] == [
            (number, 3) for number in range(8)
        ]


def test_the_list_of_dead_letters_leaves_their_bytes_where_they_are(any_store: Store) -> None:
    road = InboxRoad(any_store)
    road.inbox.append([(1.0, b"no json"), (2.0, b"none either")])
    road.drain()
    with heard(any_store) as sent, any_store.transaction() as tx:
        found = letters.heads(tx, 1)
    assert count(sent, "dead_letters.topic") == 1 and count(sent, "dead_letters.value") == 0
    (told,) = found
    assert set(told) == set(dead_letters.c.keys()) - {"value", "record_key", "headers"}
    assert (told["reason"], told["arrival"], told["replayed_at"]) == ("json", 2.0, None)

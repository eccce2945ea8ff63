"""What is kept of a text, for how long, and that it can be forgotten."""

import json
import time
from typing import Any

import pytest
from sqlalchemy import func, select

from agent.config import Config, load_config
from agent.monitor import Monitor
from agent.score import Panel
from agent.store import Store, open_store, reads, retention, subjects
from agent.store.tables import META, calls, dead_letters, halves, seen, texts
from consumers import house
from consumers.house import House
from tests.conftest import Clock
from tests.road import InboxRoad, Quiet, as_bytes, native
from tests.test_halves import sides

DAY_S = 86_400.0
CANARY = "kiwi-4711"
MAIL, CARD, KEY = "ann@example.org", "4111 1111 1111 1111", "sk-proj-" + "a1B2" * 12
TEXT = f"{CANARY}: write to {MAIL}, charge {CARD}, sign with {KEY}"


def dump(store: Store) -> str:
    """All that every table holds, bytes as text."""
    with store.transaction() as tx:
        rows = [row for table in META.sorted_tables for row in tx.execute(select(table))]
    parts = (part for row in rows for part in row)
    return "\n".join(
        bytes(part).decode(errors="replace") if isinstance(part, bytes | memoryview) else str(part)
        for part in parts
    )


def count(store: Store, table: Any) -> int:
    with store.transaction() as tx:
        return tx.scalar(select(func.count()).select_from(table)) or 0


def road(store: Store, **options: Any) -> InboxRoad:
    return InboxRoad(store, load_config(store=options))


def spoken(number: int = 1) -> dict[str, Any]:
    return native(number, prompt=TEXT, response=TEXT, reference=TEXT, contexts=[TEXT])


def test_by_default_no_text_is_kept(store_url: str) -> None:
    store = open_store(store_url)
    way = road(store)
    said = [{"role": "system", "content": TEXT}, {"role": "user", "content": TEXT}]
    way.inbox.append(as_bytes([spoken(), spoken(2) | {"prompt": said}]))
    way.drain()
    way.worker.finish("live")
    assert count(store, calls) == 2
    held = dump(store)
    assert not any(word in held for word in (CANARY, MAIL, CARD, KEY))
    store.close()


def test_kept_texts_are_redacted_and_end_with_their_days(store_url: str) -> None:
    store = open_store(store_url)
    way = road(store, text_days=2)
    way.inbox.append(as_bytes([spoken()]))
    way.drain()
    held = dump(store)
    assert CANARY in held
    assert not any(word in held for word in (MAIL, CARD, KEY))
    now = time.time()
    for days, left in ((1.9, 1), (2.1, 0)):
        with store.transaction() as tx:
            retention.prune(tx, way.config, now + days * DAY_S)
        assert count(store, texts) == left
    assert CANARY not in dump(store)
    assert count(store, calls) == 1
    store.close()


KEPT = [
    ("seen_days", seen, 7.0),
    ("calls_days", calls, 30.0),
    ("dead_letter_days", dead_letters, 14.0),
]


@pytest.mark.parametrize(("key", "table", "default"), KEPT)
def test_rows_end_with_their_days(
    store_url: str, clock: Clock, key: str, table: Any, default: float
) -> None:
    store = open_store(store_url)
    clock.now = time.time()
    way = road(store)
    way.inbox.append([*as_bytes([native(1)]), (1.0, b"no json")])
    way.drain()
    for config, days in ((way.config, default), (shorter(way.config, key), 0.5)):
        assert count(store, table) == 1
        with store.transaction() as tx:
            retention.prune(tx, config, clock.now + days * DAY_S - 60)
        assert count(store, table) == 1
    with store.transaction() as tx:
        retention.prune(tx, way.config, clock.now + default * DAY_S + 60)
    assert count(store, table) == 0
    store.close()


def test_an_id_that_comes_back_after_its_days_counts_again(store_url: str) -> None:
    store = open_store(store_url)
    way = road(store, text_days=30)
    way.inbox.append(as_bytes([native(1)]))
    way.drain()
    with store.transaction() as tx:
        retention.prune(tx, way.config, time.time() + 8 * DAY_S)
    way.inbox.append(as_bytes([native(1), native(2)]))
    way.drain()
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
    assert (ledger.terms["scored"], ledger.received) == (3, 3)
    assert count(store, calls) == count(store, texts) == 2
    store.close()


def shorter(config: Config, key: str) -> Config:
    return config.model_copy(update={"store": config.store.model_copy(update={key: 0.5})})


def test_retention_deletes_a_bounded_number_at_once(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_ROWS_AT_ONCE", 10)
    monkeypatch.setattr(house, "TURN_S", 60.0)
    store = open_store(sqlite_url)
    way = road(store)
    way.inbox.append(as_bytes(native(i) for i in range(25)))
    way.drain()
    later, turns = time.time() + 31 * DAY_S, []
    for _ in range(4):
        with store.transaction() as tx:
            turns.append(retention.prune(tx, way.config, later))
    assert turns == [True, True, False, False]
    assert count(store, calls) == count(store, seen) == 0
    way.inbox.append(as_bytes(native(i) for i in range(25)))
    way.drain()
    monitor = Monitor(way.config, store, Panel([]))
    keeper = House(way.config, store, way.inbox, monitor, Quiet(), "house", lambda: later)
    keeper.keep({})  # in one turn, or more came in a second than goes
    assert count(store, calls) == count(store, seen) == 0
    store.close()


def test_forgetting_a_unit_leaves_nothing_of_it_and_all_of_the_others(store_url: str) -> None:
    store = open_store(store_url)
    way = road(store, text_days=1)
    mine = [native(i, unit="subject-7", prompt=CANARY, response=CANARY) for i in range(3)]
    others = [native(i + 10, unit="subject-8") for i in range(4)]
    way.inbox.append([*as_bytes(mine + others), (1.0, b'{"unit": "subject-7", ' + CANARY.encode())])
    way.drain()
    with store.transaction() as tx:
        done = subjects.forget(tx, "subject-7")
    assert done == {
        "texts": 3, "tickets": 0, "examples": 0, "judgements": 0, "calls": 3,
        "dead_letters": 1, "halves": 0,
    }  # fmt: skip
    assert CANARY not in dump(store)
    assert "subject-7" not in dump(store)
    assert count(store, calls) == 4
    # The keys stay: what is sent again does not come back.
    way.inbox.append(as_bytes(mine))
    way.drain()
    assert count(store, calls) == 4
    store.close()


def test_forgetting_reaches_a_half_that_waits(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    way = InboxRoad(store, load_config(intake={"join_wait_s": 600}))
    span = json.loads(sides()[0])
    attributes = span["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]
    attributes.append({"key": "user.id", "value": {"stringValue": "subject-7"}})
    way.inbox.append([(time.time(), json.dumps(span).encode())])
    way.drain()
    assert "subject-7" in dump(store)
    with store.transaction() as tx:
        assert subjects.forget(tx, "subject-7")["halves"] == 1
    assert "subject-7" not in dump(store)
    assert count(store, halves) == 0
    store.close()

"""Spans and log events of one call: joined wherever they meet, scored alone at the deadline."""

import json
import time

import pytest
from sqlalchemy import select

from agent.buckets import event_key
from agent.config import load_config
from agent.store import open_store, positions, reads
from agent.store.tables import calls, halves
from tests.road import InboxRoad
from tests.telemetry import event, logs, span, traces

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-8b"}
SAID = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}


def sides() -> tuple[bytes, bytes]:
    words = logs(
        event("gen_ai.user.message", {"content": "Write to a@b.example"}),
        event("gen_ai.choice", SAID, 5),
    )
    return json.dumps(traces(span(CHAT))).encode(), json.dumps(words).encode()


@pytest.mark.parametrize("order", [1, -1])
def test_halves_meet_in_either_order_and_no_text_is_left(store_url: str, order: int) -> None:
    store = open_store(store_url)
    road = InboxRoad(store, load_config(intake={"join_wait_s": 600}))
    for side in sides()[::order]:
        road.inbox.append([(time.time(), side)])
        road.drain()
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        (row,) = tx.execute(select(calls)).all()
        assert tx.execute(select(halves)).all() == []
    assert ledger.sums
    assert ledger.waiting == 0
    # Of the text as it came, also where it waited redacted.
    said = "Write to a@b.example"
    assert (row.model, row.prompt_chars) == ("m-8b", len(said))
    assert bytes(row.prompt_hash) == event_key(said)
    store.close()


def test_a_waiting_half_is_redacted_and_is_scored_alone_at_its_deadline(store_url: str) -> None:
    store = open_store(store_url)
    road = InboxRoad(store, load_config(intake={"join_wait_s": 600}))
    road.inbox.append([(time.time(), sides()[1])])
    road.drain()
    with store.transaction() as tx:
        body = bytes(tx.scalar(select(halves.c.body)) or b"")
        assert reads.ledger(tx).waiting == 1
        assert reads.ledger(tx).sums
    assert b"a@b.example" not in body
    road.worker.finish("live")
    with store.transaction() as tx:
        assert reads.ledger(tx).terms["scored"] == 1
        assert reads.ledger(tx).sums
    store.close()


def test_one_holder_has_the_lease_until_it_lapses(store_url: str) -> None:
    store = open_store(store_url)
    with store.transaction() as tx:
        assert positions.take_lease(tx, "closer", "one", 100.0, 10)
        assert positions.take_lease(tx, "closer", "one", 105.0, 10)
        assert not positions.take_lease(tx, "closer", "two", 114.0, 10)
        assert positions.take_lease(tx, "closer", "two", 116.0, 10)
    store.close()

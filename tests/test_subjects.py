"""Forgetting a user or a session: all of it, however it is written, and nothing of another."""

import json
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from agent.config import load_config
from agent.errors import BadConfig
from agent.store import open_store, subjects
from agent.store.tables import calls, dead_letters, halves
from consumers import commands
from tests.road import InboxRoad, as_bytes, native
from tests.test_halves import sides

NAME = "J\u00f6rg M."
# Nothing of these can be read, so each is a dead letter.
MENTIONS = {
    "as UTF-8": '{"unit": "J\u00f6rg M.", '.encode(),
    "escaped": b'{"unit": "J\\u00f6rg M.", ',
    "escaped in capitals, after a line": b'{"text": "x\\nJ\\u00F6rg M.", ',
    "of two characters": '{"unit": "Jo\u0308rg M.", '.encode(),
    "protobuf": b"\x0a\x4fx\x12\x09" + NAME.encode() + b"J\x01",
}


@pytest.mark.parametrize("body", MENTIONS.values(), ids=MENTIONS)
def test_a_record_that_could_not_be_read_is_forgotten_however_it_spells_the_name(
    sqlite_url: str, body: bytes
) -> None:
    way = InboxRoad(store := open_store(sqlite_url))
    way.inbox.append([(1.0, body), (1.0, b'{"unit": "ann", ')])
    way.drain()
    with store.transaction() as tx:
        assert subjects.forget(tx, NAME)["dead_letters"] == 1
        (left,) = tx.execute(select(dead_letters.c.value)).scalars()
    assert bytes(left) == b'{"unit": "ann", '
    store.close()


def test_a_short_name_takes_no_record_that_only_has_its_letters(sqlite_url: str) -> None:
    way = InboxRoad(store := open_store(sqlite_url))
    others = [b'{"unit": "17", "at": 1767225700.7, ', b'{"unit": "7th", ', b'{"n": 0.57, ']
    way.inbox.append([(1.0, body) for body in [*others, b'{"unit": "7", ', b'{"unit": 7, ']])
    way.drain()
    with store.transaction() as tx:
        assert subjects.forget(tx, "7")["dead_letters"] == 2
        left = {bytes(one) for one in tx.execute(select(dead_letters.c.value)).scalars()}
    assert left == set(others)
    store.close()


def test_a_session_is_forgotten_with_what_a_candidate_was_asked(store_url: str) -> None:
    way = InboxRoad(store := open_store(store_url))
    mine = native(0, unit="ann", session="s-1")
    twin = native(1, session="other", variant="candidate", origin="shadow", pair=mine["id"])
    way.inbox.append(as_bytes([mine, twin, native(2, unit="ann", session="s-2")]))
    way.drain()
    with store.transaction() as tx:
        assert subjects.forget(tx, "s-1")["calls"] == 2
        assert list(tx.execute(select(calls.c.session)).scalars()) == ["s-2"]
    store.close()


def test_a_half_is_forgotten_by_its_own_subject_and_not_by_its_words(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    way = InboxRoad(store, load_config(intake={"join_wait_s": 600}))
    span = json.loads(sides()[0])
    attributes = span["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]
    attributes.append({"key": "user.id", "value": {"stringValue": NAME}})
    way.inbox.append([(time.time(), json.dumps(span).encode())])
    way.drain()
    with store.transaction() as tx:
        (body,) = tx.execute(select(halves.c.body)).scalars()
        word = json.loads(body)["call"]["model"]
        assert subjects.forget(tx, word)["halves"] == 0
        assert subjects.forget(tx, NAME)["halves"] == 1
    store.close()


def test_a_name_is_read_as_records_are_and_an_empty_one_forgets_nobody(tmp_path: Path) -> None:
    config = load_config(store={"url": f"sqlite:///{tmp_path / 'v.db'}"})
    way = InboxRoad(store := open_store(config.store.url.get_secret_value()), config)
    long = "u" * 200
    way.inbox.append(as_bytes([native(0, unit=long), native(1, unit=NAME), native(2)]))
    way.inbox.append([(1.0, b"{broken")])
    way.drain()
    store.close()
    assert commands.forget(config, long)["calls"] == 1
    assert commands.forget(config, " Jo\u0308rg M. ")["calls"] == 1
    for empty in ("", " "):
        with pytest.raises(BadConfig, match="--unit: names nobody"):
            commands.forget(config, empty)

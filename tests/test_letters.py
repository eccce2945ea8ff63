"""Letters that are put back: a record once, however many letters it has."""

from sqlalchemy import insert, select

from agent.config import load_config
from agent.store import Store
from agent.store.tables import dead_letters, inbox
from consumers.deadletter import replay_letters
from consumers.pump.sender import Sender
from tests.road import InboxRoad


def waiting(store: Store) -> list[bytes]:
    with store.reading() as tx:
        return [bytes(value) for value in tx.scalars(select(inbox.c.value)).all()]


def test_a_record_with_many_letters_comes_back_once(store: Store) -> None:
    """An older version wrote a letter for each call of a record."""
    road, sender = InboxRoad(store), Sender(load_config().kafka)
    road.inbox.append([(1.0, b"no json"), (2.0, b"none either")])
    road.drain()
    with store.transaction() as tx:
        first = dict(tx.execute(select(dead_letters).limit(1)).one()._mapping)
        same = {name: value for name, value in first.items() if name != "id"}
        tx.execute(insert(dead_letters), [same | {"reason": "other"}, *[same] * 1200])
    assert replay_letters(store, sender, (), "json", 3.0) == {"replayed": 1202, "refused": 0}
    assert waiting(store) == [b"no json", b"none either"]
    assert replay_letters(store, sender, (), "other", 3.0) == {"replayed": 1, "refused": 0}
    assert len(waiting(store)) == 2
    turns = []
    for _ in range(3):
        road.drain()
        turns.append(replay_letters(store, sender, (), None, 4.0))
    assert turns == [{"replayed": 2, "refused": 0}] * 2 + [{"replayed": 0, "refused": 2}]

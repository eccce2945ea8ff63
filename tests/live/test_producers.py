"""The producers of the page on Python put calls on a real topic, which are read whole."""

import importlib.util
import json
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from sqlalchemy import select

from agent.config import load_config
from agent.record import Call
from agent.score import load_panel
from agent.store import Store, reads
from agent.store.tables import calls
from consumers.formats import parse
from tests.conftest import MakeTopic
from tests.docs import block
from tests.live.broker import Broker
from tests.live.test_kafka_road import configured, running
from tests.waiting import wait_until

PAGE = "connect/python.md"
JUDGED = 'log({"feedback_for": call_id, "at": time.time(), "value": 1})'
MESSAGES = [{"role": "user", "content": "How do I reset my password?"}]


def ask(messages: Any, **parameters: Any) -> SimpleNamespace:
    """A client of a model that has no time for what is cold."""
    if parameters["temperature"] == 0:
        raise TimeoutError
    return SimpleNamespace(text="Open the settings.", tokens_in=7, tokens_out=3)


def page(first: str, address: str, topic: str) -> str:
    return block(PAGE, first).replace("localhost:9092", address).replace("llm-calls", topic)


def produced(broker: Broker, topic: str, confluent: bool) -> list[str]:
    """Two answers, one of them judged, and a time-out; the ids of the answers."""
    names: dict[str, Any] = {"ask": ask}
    exec(page("import json", broker.address, topic), names)
    first = names["producer"]
    if confluent:
        exec(page("from confluent_kafka import Producer", broker.address, topic), names)
    answered = [names["answer"](MESSAGES, f"u-{i}", temperature=0.2, seed=i)[0] for i in (1, 2)]
    with pytest.raises(TimeoutError):
        names["answer"](MESSAGES, "u-3", temperature=0)
    exec(block(PAGE, JUDGED), names | {"call_id": answered[0]})
    names["producer"].flush(10)
    first.close()
    return answered


CLIENTS = [False, pytest.param(True, marks=pytest.mark.skipif(
    importlib.util.find_spec("confluent_kafka") is None, reason="no confluent-kafka here",
))]  # fmt: skip


@pytest.mark.parametrize("confluent", CLIENTS, ids=lambda one: "confluent" if one else "python")
def test_what_the_page_produces_is_stored_and_scored(
    broker: Broker, topic: MakeTopic, sqlite_url: str, confluent: bool
) -> None:
    name = topic(partitions=4)
    answered = produced(broker, name, confluent)
    panel = load_panel(load_config(models=False))
    with running(configured(broker, name), sqlite_url, "one", panel=panel) as (worker,):
        wait_until(lambda: ends(worker.store) == {"scored": 3, "feedback": 1})
        with worker.store.transaction() as tx:
            found = {row.id: row for row in tx.execute(select(calls))}
            assert reads.ledger(tx).sums
    assert sorted(row.status for row in found.values()) == ["ok", "ok", "timeout"]
    assert {row.unit for row in found.values()} == {"u-1", "u-2", "u-3"}
    assert json.loads(found[answered[0]].scores)["response_refusal"] == 0.0
    first = call_of(broker, name, answered[0])
    assert dict(first.parameters) == {"seed": 1, "temperature": 0.2}
    assert (first.response, first.tokens_in, first.flags) == ("Open the settings.", 7, ())


def ends(store: Store) -> dict[str, int]:
    with store.transaction() as tx:
        return {name: n for name, n in reads.ledger(tx).terms.items() if n}


def call_of(broker: Broker, topic: str, call_id: str) -> Call:
    """A call as its record has it; its judgement lies behind it in the same partition."""
    consumer = KafkaConsumer(bootstrap_servers=broker.address, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, part) for part in range(4)])
    found: list[Any] = []
    while len(found) < 4:
        found += [one for part in consumer.poll(500).values() for one in part]
    consumer.close()
    mine = [one for one in found if one.key == call_id.encode()]
    assert len({one.partition for one in mine}) == 1 and mine[0].offset < mine[1].offset
    (call,) = parse(mine[0].value, "native", load_config(), mine[0].timestamp / 1000)
    assert isinstance(call, Call)
    return call

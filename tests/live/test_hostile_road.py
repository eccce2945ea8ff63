"""Hostile records through a real broker into PostgreSQL: each gets its end, its neighbours theirs.

The numbers are those of the list that the project keeps of hostile inputs.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from kafka import KafkaConsumer, KafkaProducer
from sqlalchemy import select

from agent.store import Store, reads
from agent.store.tables import calls, dead_letters, panes
from tests.conftest import MakeTopic
from tests.exposition import parse_plain
from tests.live.broker import Broker
from tests.live.test_kafka_road import received
from tests.live.test_outages import Service, ended, serving
from tests.pace import pace
from tests.road import native
from tests.test_hostile import LITERAL, REJECTED, swap
from tests.waiting import wait_until

Headers = list[tuple[str, bytes]]
_LARGE = 16 << 20
FORGED: Headers = [
    ("x-replay-count", b"9"),
    ("__connect.errors.topic", b"forged"),
    ("kafka_dlt-original-topic", b"forged"),
    ("traceparent", b"first"),
    ("traceparent", b"second"),
]


class Input(NamedTuple):
    """A record, and what must become of it: "scored", "skipped" or a reason."""

    name: str
    value: bytes | None
    end: str
    headers: Headers = []  # noqa: RUF012 - never changed


def call(name: str, **changes: Any) -> Input:
    return Input(name, orjson.dumps(native(0, id=name) | changes), "scored")


def inputs() -> Iterator[Input]:
    here = (row for row in REJECTED if len(row[1]) < _LARGE and row[2] != "future")
    yield from (Input(*row) for row in here)
    yield call("23 later than it arrived", at=time.time() + 9000)._replace(end="future")
    yield Input("22 8 MB", b'{"prompt": "' + b"x" * (8 << 20) + b'"}', "too_large")
    yield Input("15 tombstone", None, "skipped")
    yield Input("5 NUL", swap(b'"a"', b'"5"').replace(b"Hello", b"He\\u0000lo"), "scored")
    yield Input("7 surrogate", swap(b'"a"', b'"7"').replace(b"Hello", b"\\ud800"), "scored")
    yield Input("9 model", swap(b'"a"', b'"9"').replace(b'"m"', b'"m\\ud800"'), "scored")
    yield call("10 a megabyte", model="m" * (1 << 20))
    yield call("10 quotes", model='a\n"\\\x00{}', service="b\n# HELP x y")
    yield Input("13 a key twice", swap(b'{"id": "a"', b'{"id": "a", "id": "13"'), "scored")
    many = b"".join(b',"k%06d":%d' % (i, i) for i in range(200_000))
    yield Input("16 many keys", swap(b'"a"', b'"16"')[:-1] + many + b"}", "scored")
    for name, text in LITERAL:
        yield call(name, prompt=text, response=text, model=text, service=text, unit=text)
    ten_thousand = [(f"x-{i}", b"v") for i in range(10_000)]
    yield call("19 headers")._replace(headers=ten_thousand)
    yield call("19 a long header")._replace(headers=[("x-long", b"v" * 900_000)])
    bad = swap(b"1700000000", b'"never"')
    yield Input("19 headers of a bad one", bad + b" ", "bad_time", FORGED[3:] + ten_thousand)
    yield Input("20 forged headers", bad + b"  ", "bad_time", [*FORGED, ("mine", b"kept")])


@pytest.fixture
def way(topic: MakeTopic) -> tuple[str, str]:
    return topic(max_message_bytes=str(_LARGE)), topic(max_message_bytes=str(_LARGE))


def send(broker: Broker, topic: str, rows: list[Input]) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address, max_request_size=_LARGE)
    for row in rows:
        now = int(time.time() * 1000)
        producer.send(topic, value=row.value, key=b"k", headers=row.headers, timestamp_ms=now)
    producer.flush()
    producer.close()


def letters_of(broker: Broker, topic: str, n: int) -> list[Any]:
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=broker.address,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=_LARGE,
        fetch_max_bytes=_LARGE,
        consumer_timeout_ms=45_000,
    )
    found = []
    for record in consumer:
        found.append(record)
        if len(found) == n:
            break
    consumer.close()
    return found


def test_every_hostile_input_gets_its_end(
    broker: Broker, way: tuple[str, str], postgres_url: str, store: Store, tmp_path: Path
) -> None:
    topic, dead = way
    rows = list(inputs())
    send(broker, topic, rows)
    run = Service(tmp_path / "run", topic, broker.address, postgres_url, dead_letters=dead)
    with serving(run) as service:
        wait_until(lambda: received(store) >= len(rows), 60)
        wanted = [row for row in rows if row.end not in ("scored", "skipped")]
        letters = letters_of(broker, dead, len(wanted))
        page = service.says("/metrics")
        assert ended(service) == 0, service.log()
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
        stored = {row.id for row in tx.execute(select(calls.c.id))}
        held = {bytes(r.value): r.reason for r in tx.execute(select(dead_letters))}
    assert ledger.sums
    assert len(stored) == ledger.terms["scored"] == sum(row.end == "scored" for row in rows)
    assert held == {row.value: row.end for row in wanted}
    sent = {record.value: dict(record.headers) for record in letters}
    assert set(sent) == set(held)
    forged = sent[next(row.value for row in rows if row.name.startswith("20"))]
    assert forged["mine"] == b"kept"
    assert "x-replay-count" not in forged
    assert forged["__connect.errors.topic"] == topic.encode()
    assert forged["kafka_dlt-original-topic"] == topic.encode()
    assert forged["__connect.errors.exception.message"] == b"bad_time"
    many = sent[next(row.value for row in rows if row.name == "19 headers of a bad one")]
    assert many["traceparent"] == b"first"
    assert len(many) < 100
    assert page[0] == 200
    assert len(page[1]) < 1 << 20
    assert len(list(parse_plain(page[1]))) > 10


def test_34_one_id_with_a_thousand_contents_is_one_call(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    name = topic()
    send(broker, name, [call("same", prompt=f"Question {i}") for i in range(1000)])
    with serving(Service(tmp_path / "run", name, broker.address, postgres_url)) as service:
        wait_until(lambda: received(store) >= 1000)
        wait_until(lambda: counted(service, "vedette_id_conflicts_total") == 999)
        assert ended(service) == 0
    with store.transaction() as tx:
        ledger = reads.ledger(tx)
    assert (ledger.terms["scored"], ledger.terms["duplicate"]) == (1, 999)
    assert ledger.counts["conflicts"] == 999
    assert ledger.sums


def counted(service: Service, series: str) -> float:
    families = parse_plain(service.says("/metrics")[1])
    samples = (sample for family in families for sample in family.samples)
    return sum(float(sample.value) for sample in samples if sample.name == series)


@pytest.mark.parametrize("n", [10_000, pytest.param(50_000, marks=pytest.mark.prove)])
def test_35_thousands_of_models_are_capped(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path, n: int
) -> None:
    name = topic()
    value = json.dumps(native(0, id="@", model="model-@"))
    rows = [Input("", value.replace("@", str(i)).encode(), "scored") for i in range(n)]
    send(broker, name, rows)
    run = Service(tmp_path / "run", name, broker.address, postgres_url, poll_records=5000)
    with serving(run) as service:
        wait_until(lambda: received(store) >= n, 120)
        began = time.monotonic()
        status, page = service.says("/metrics")
        took_s = time.monotonic() - began
        assert ended(service) == 0
    assert status == 200
    assert took_s < 2 * pace() and len(page) < 3 << 20
    models = {
        sample.labels["model"]
        for family in parse_plain(page)
        for sample in family.samples
        if "model" in sample.labels
    }
    assert len(models) <= 201
    assert "other" in models
    assert groups_at_most(store, 502)


def groups_at_most(store: Store, most: int) -> bool:
    """Whether the one hour of the calls, all late, holds no more groups than may be."""
    with store.transaction() as tx:
        assert reads.ledger(tx).sums
        rows = tx.execute(select(panes.c.model).where(panes.c.late == 1)).all()
        return 1 < len(rows) <= most

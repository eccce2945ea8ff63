"""The database is lost, or an older backup of it stands there again: what comes back is equal."""

import sqlite3
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka import KafkaProducer
from sqlalchemy import func, select

from agent.config import Config, load_config
from agent.store import Store, migrate_store, open_store, reads
from agent.store.closing import finish_source
from agent.store.tables import META, open_panes
from consumers.simulate import Record, Scenario, simulate
from deploy.local.child import Unavailable
from deploy.local.database import Database, find_postgres
from tests.conftest import MakeTopic, absent
from tests.live.broker import Broker
from tests.live.test_kafka_road import received, running
from tests.waiting import wait_until

CALLS, HOUR_S = 400, 3600
# Not longer ago than a watch walks through in a moment, and all of it over.
START = time.time() // HOUR_S * HOUR_S - 3 * HOUR_S
# By whom and when a row was written is not what it says.
_WRITTEN = {"stored_at", "closed_at", "sent_at", "worker", "caught_up_at", "id", "version", "told"}
SHARES = {"wren-large": 0.4, "wren-small": 0.35, "finch-7b": 0.25}
ARMS = {name: {"share": share, "variant": "production", "model": name}
        for name, share in SHARES.items()}  # fmt: skip
REBUILT = ("calls", "texts", "seen", "panes", "dead_letters", "offsets", "panels")
# These hold how far the clock let panes close, which is another time now.
AGAIN = ("runs", "watches")


def configured(broker: Broker, topic: str, source: str) -> Config:
    kafka = {"brokers": [broker.address], "topics": {topic: {"source": source}}, "group": topic}
    return load_config(
        kafka=kafka | {"session_timeout_s": 6, "heartbeat_s": 0.5, "metadata_max_age_s": 1},
        store={"text_days": 30}, segments=["tenant"], drift={}, models=False,
        slo={"fast": {"metric": "latency", "at_most": 2.0, "target": 0.9}},
        experiments={"x": {"arms": ARMS, "primary": "slo_fast", "start": START}},
    )  # fmt: skip


def traffic() -> list[tuple[bytes, Record]]:
    """An hour of calls with all that goes wrong, each beside the key of its call."""
    records = simulate(Scenario(START, CALLS, length_s=HOUR_S))
    return [(key_of(one), one) for one in records]


def key_of(record: Record) -> bytes:
    """A judgement, and the same call sent again, come after their call: in its partition."""
    try:
        told = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        return b""
    return str(told.get("feedback_for", told.get("id"))).encode()


def send(broker: Broker, topic: str, records: Sequence[tuple[bytes, Record]]) -> None:
    with closing(KafkaProducer(bootstrap_servers=broker.address, acks="all")) as producer:
        for key, record in records:
            stamp = int(record.arrival * 1000)
            producer.send(topic, record.value, key=key, timestamp_ms=stamp)
        producer.flush()


def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """What every table that is rebuilt says, whoever wrote it and when."""
    found = {}
    with store.reading() as tx:
        assert reads.ledger(tx).sums
        for name in REBUILT:
            columns = [c for c in META.tables[name].columns if c.name not in _WRITTEN]
            found[name] = sorted(map(tuple, tx.execute(select(*columns))), key=repr)
    return found


def worked_through(config: Config, url: str, records: int) -> dict[str, list[tuple[Any, ...]]]:
    """Let workers read all there is, and close it; two where the database is for two."""
    names = ("one",) if url.startswith("sqlite") else ("one", "two")
    (source,) = {topic.source for topic in config.kafka.topics.values()}
    with running(config, url, *names) as workers:
        store = workers[0].store
        wait_until(lambda: received(store) >= records and settled(store, source), 90)
    assert [one.failure for one in workers] == [None] * len(names)
    with closing(open_store(url)) as store:
        with store.transaction() as tx:
            finish_source(tx, source, config, time.time())
        return everything(store)


def settled(store: Store, source: str) -> bool:
    """Whether all panes are closed, and experiments and the watch have begun with them."""
    if source == "backfill":
        return True  # its last panes are closed by who knows that no more comes
    with store.reading() as tx:
        waiting = tx.scalar(select(func.count()).select_from(open_panes))
        begun = [tx.scalar(select(func.count()).select_from(META.tables[name])) for name in AGAIN]
    return not waiting and all(begun)


def test_a_database_that_is_lost_is_rebuilt_from_the_topic(
    broker: Broker, topic: MakeTopic, postgres_server: Database
) -> None:
    name, records = topic(partitions=4, retention_ms="-1"), traffic()
    send(broker, name, records)
    config, seen = configured(broker, name, "live"), []
    for _ in range(2):
        url = postgres_server.create_database()
        migrate_store(url)
        seen.append(worked_through(config, url, len(records)))
        postgres_server.drop_database(url)
    for table in REBUILT:
        assert seen[1][table] == seen[0][table], table
    assert len(seen[0]["panes"]) > 400


@pytest.mark.parametrize("kind", [pytest.param("postgresql", marks=pytest.mark.prove), "sqlite"])
def test_a_backup_that_is_older_than_the_topic_goes_on_where_it_stands(
    broker: Broker, topic: MakeTopic, postgres_server: Database, tmp_path: Path, kind: str
) -> None:
    name, records = topic(partitions=4, retention_ms="-1"), traffic()
    # What comes when its pane was closed by the clock would be late, in either run another part.
    config, half = configured(broker, name, "backfill"), len(records) // 2
    backup, restored = tmp_path / "backup", f"sqlite:///{tmp_path / 'backup'}"
    url = f"sqlite:///{tmp_path / 'v.db'}"
    if kind == "postgresql":
        url, restored = postgres_server.create_database(), postgres_server.create_database()
    send(broker, name, records[:half])
    with running(config, url, "before") as (worker,):
        wait_until(lambda: received(worker.store) > 0)
        saved(url, backup)  # while it works
        send(broker, name, records[half:])
        wait_until(lambda: received(worker.store) >= len(records))
    whole = worked_through(config, url, len(records))
    if kind == "postgresql":
        run("pg_restore", "--dbname", plain(restored), str(backup))
    with closing(open_store(restored)) as store:
        assert 0 < received(store) < len(records)
    again = worked_through(config, restored, len(records))
    for table in REBUILT:
        assert again[table] == whole[table], table


def saved(url: str, file: Path) -> None:
    """A backup of a database that is being written to."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("VACUUM INTO ?", (str(file),))
    else:
        run("pg_dump", "--format=custom", "--file", str(file), plain(url))


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


def run(program: str, *words: str) -> None:
    folder = find_postgres()
    if folder is None:
        absent(Unavailable(f"{program} comes with PostgreSQL's server binaries"))
    subprocess.run((str(folder / program), *words), check=True, capture_output=True, timeout=60)

"""The alerts topic on a real broker, from real workers that die and follow each other."""

import json
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from agent.store import Store, open_store
from agent.store.findings import untold_findings
from tests.alerting import DRIFT, Hook, drift, hooked, kept
from tests.conftest import MakeTopic
from tests.live.broker import Broker
from tests.live.test_hostile_road import counted, letters_of
from tests.live.test_outages import Service, ended, serving
from tests.waiting import wait_until


def service(folder: Path, broker: Broker, source: str, url: str, **alerts: Any) -> Service:
    made = Service(folder, source, broker.address, url)
    path = folder / "vedette.yaml"
    tree = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(tree | {"alerts": {"resend_s": 1} | alerts}))
    return made


def untold(store: Store) -> int:
    with store.transaction() as tx:
        return len(untold_findings(tx, 10))


def read(broker: Broker, topic: str, n: int) -> list[tuple[bytes, dict[str, Any]]]:
    """The changes on a topic, of which there are so many and no more."""
    consumer = KafkaConsumer(bootstrap_servers=broker.address)
    (end,) = consumer.end_offsets([TopicPartition(topic, 0)]).values()
    consumer.close()
    assert end == n
    return [(one.key, json.loads(one.value)) for one in letters_of(broker, topic, n)]


def states(hook: Hook) -> list[bool]:
    return ["endsAt" in alert for post in hook.posts for alert in post]


def test_a_closer_is_killed_and_the_next_goes_on_where_it_stood(
    broker: Broker, topic: MakeTopic, postgres_url: str, store: Store, tmp_path: Path
) -> None:
    name, out = topic(partitions=2), topic()
    with hooked() as hook:
        told = {"topic": out, "webhook": hook.address, "link": "https://vedette.example/"}
        first, second = (
            service(tmp_path / who, broker, name, postgres_url, **told) for who in ("a", "b")
        )
        with serving(first), serving(second):
            kept(store, DRIFT, now=time.time())
            wait_until(lambda: untold(store) == 0)
            wait_until(lambda: len(states(hook)) > 2)
            wait_until(lambda: says_state(first) is not says_state(second))
            closer, other = (first, second) if says_state(first) else (second, first)
            assert closer.process is not None
            closer.process.kill()
            kept(store, drift("resolved"), now=time.time())
            wait_until(lambda: untold(store) == 0)
            wait_until(lambda: states(hook)[-1])
            wait_until(lambda: 'state="resolved"' in other.says("/metrics")[1])
            assert counted(other, "vedette_alerts_failed_total") == 0
            assert ended(other) == 0, other.log()
        with serving(first):  # a restart has nothing to say
            wait_until(lambda: 'state="resolved"' in first.says("/metrics")[1])
            assert ended(first) == 0, first.log()
    changes = read(broker, out, 2)
    assert [row["state"] for _, row in changes] == ["firing", "resolved"]
    for key, row in changes:
        assert key.decode() == row["key"] == DRIFT.key.hex()
        assert (row["kind"], row["source"], row["threshold"]) == ("drift", "live", 16.5)
        assert row["link"] == f"https://vedette.example/findings#{row['key']}"


def says_state(one: Service) -> bool:
    return "vedette_finding_state{" in one.says("/metrics")[1]


def test_a_topic_that_is_not_there_is_counted_and_told_once_it_is(
    broker: Broker, topic: MakeTopic, sqlite_url: str, tmp_path: Path
) -> None:
    name, out = topic(), f"alerts-{uuid.uuid4().hex[:8]}"
    with closing(open_store(sqlite_url)) as store:
        kept(store, DRIFT, now=time.time())
    run = service(tmp_path / "a", broker, name, sqlite_url, topic=out)
    with serving(run):
        wait_until(lambda: counted(run, "vedette_alerts_failed_total") > 0)
        wait_until(lambda: run.says("/readyz")[0] == 200)  # the road goes on
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        admin.create_topics({out: {"num_partitions": 1, "replication_factor": 1}})
        admin.close()
        wait_until(lambda: counted(run, "vedette_alerts_sent_total") == 1)
        assert ended(run) == 0, run.log()
    assert run.log().count("alerts, topic 1: broker:") == 1
    (change,) = read(broker, out, 1)
    assert change[1]["state"] == "firing"

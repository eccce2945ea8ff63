"""What a real broker does not take, told in one line that names the key."""

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.config import Config, load_config
from agent.errors import BadConfig, StoreDown
from consumers import commands
from consumers.pump import Pump
from tests.conftest import MakeTopic
from tests.live.broker import Broker


def told(broker: Broker, topic: str, **kafka: Any) -> Config:
    return load_config(kafka={"brokers": [broker.address], "topics": {topic: {}}, **kafka})


@pytest.mark.parametrize("name", ["a b", "no-such-topic"])
def test_a_topic_that_is_not_there_takes_nothing(
    broker: Broker, topic: MakeTopic, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text("{}\n")
    with pytest.raises(BadConfig, match=f"--topic: the broker has no topic {name}; "):
        commands.send(told(broker, topic()), str(file), name, lambda _: None)


def test_a_session_that_the_broker_does_not_allow_ends_the_worker(
    broker: Broker, topic: MakeTopic
) -> None:
    config = told(broker, topic(), session_timeout_s=7200)
    with closing(Pump(config)) as pump, pytest.raises(BadConfig) as refused:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                pump.take(0.2)
            except StoreDown:
                time.sleep(0.2)
    assert str(refused.value).startswith("kafka.session_timeout_s: is outside of what the broker")

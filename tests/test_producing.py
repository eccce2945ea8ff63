"""`vedette simulate`: what goes wrong and when, records in time, a candidate over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from agent.errors import BadConfig
from consumers.coming import Coming
from consumers.producing import changes_of
from consumers.simulate import MODELS, Change, Scenario, simulate
from consumers.understudy_http import Stage
from tests.conftest import Clock, MakeTopic
from tests.live.broker import Broker
from tests.test_cli import MAIN, vedette
from tests.waiting import wait_until


def test_a_fault_happens_to_one_model_or_to_all() -> None:
    assert changes_of(["jailbreak:finch-7b@5-9.5"], 100.0) == [
        Change("jailbreak", "finch-7b", 105.0, 109.5)
    ]
    all_ = changes_of(["toxicity@60"], 100.0)
    assert {(one.model, one.at, one.until) for one in all_} == {
        (model.name, 160.0, float("inf")) for model in MODELS
    }


@pytest.mark.parametrize(
    "told", ["toxicity", "anger@5", "toxicity:gpt@5", "latency@9-8", "latency@9-9", "latency@-1"]
)
def test_a_fault_that_is_none_is_one_clear_line(told: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"--fault: .*" + told):
        changes_of([told], 0.0)


def test_records_come_once_each_at_the_rate_and_go_wrong_in_time(clock: Clock) -> None:
    rude = changes_of(["toxicity@60"], clock())
    coming, found, begun = Coming(rude, calls_per_s=20.0, clock=clock), list[Any](), clock()
    for _ in range(180):
        found += coming.due()
        clock.advance(1)
        assert all(arrival < clock() for arrival, _ in found)
    rows = [json.loads(value) for _, value in found if value.endswith(b"}")]
    calls = [row for row in rows if "prompt" in row]
    assert 3000 < len(calls) < 3600  # slow answers are still to come, some records are broken
    texts = set(json.loads(Path("consumers/phrases.json").read_text("utf-8"))["en"]["rude"])
    when = [row["at"] - begun for row in calls if row.get("response") in texts]
    assert len(when) > 300 and min(when) >= 60


def test_a_high_rate_is_drawn_in_short_whiles(clock: Clock) -> None:
    drawn: list[Scenario] = []
    coming = Coming((), drawn.append, 1000.0, clock)
    for _ in range(10):
        coming.due()
        clock.advance(1)
    assert [one.calls for one in drawn] == [3000] * 4
    assert len({one.seed for one in drawn}) == 4


def _ask(stage: Stage, question: str, stream: bool) -> tuple[str, bytes]:
    body = {"messages": [{"role": "user", "content": question}], "stream": stream}
    where = f"http://127.0.0.1:{stage.port}/v1/chat/completions"
    with urllib.request.urlopen(where, json.dumps(body).encode(), timeout=30) as answer:
        return answer.headers["content-type"], answer.read()


def test_the_candidate_answers_what_the_service_was_asked(clock: Clock) -> None:
    day = Scenario(clock(), 20, 3, length_s=60.0)
    calls = [json.loads(one.value) for one in simulate(day) if one.kind == "call"]
    asked = (one["prompt"] for one in calls if isinstance(one.get("prompt"), str))
    question = min(asked, key=len)  # which is answered soonest
    with closing(Stage("127.0.0.1", 0)) as stage:
        stage.learn(day)
        began = time.monotonic()
        kind, whole = _ask(stage, question, stream=False)
        assert time.monotonic() - began > 0.3  # it takes its time
        said = json.loads(whole)["choices"][0]["message"]["content"]
        assert kind == "application/json" and said.startswith(question)
        kind, events = _ask(stage, question, stream=True)
        assert kind == "text/event-stream" and events.endswith(b"data: [DONE]\n\n")
        assert json.dumps(said)[1:-1].encode() in events or said.encode() in events
        with pytest.raises(urllib.error.HTTPError, match="404"):
            _ask(stage, "What is nobody's question?", stream=False)


def test_standard_output_needs_no_broker_and_may_be_cut_off(tmp_path: Path) -> None:
    script = f'"{sys.executable}" -c "{MAIN}" simulate --stdout --rate 50 | head -n 3'
    done = subprocess.run(script, shell=True, cwd=tmp_path, capture_output=True, timeout=90)
    assert [json.loads(line)["service"] for line in done.stdout.splitlines()] == ["assistant"] * 3
    assert b"Traceback" not in done.stderr


@pytest.fixture
def simulated(broker: Broker, topic: MakeTopic, tmp_path: Path) -> Iterator[str]:
    """A topic that the command has written to until it was ended."""
    name = topic(partitions=2)
    (tmp_path / "v.yaml").write_text(
        json.dumps({"kafka": {"brokers": [broker.address], "topics": {name: {}}}})
    )
    command = [sys.executable, "-c", MAIN, "simulate", "--rate", "100", "-c", "v.yaml"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, env=os.environ) as one:
        try:
            assert one.stderr is not None
            wait_until(lambda: sum(_ends(broker, name).values()) >= 100)
        finally:
            one.send_signal(signal.SIGTERM)
        assert one.wait(20) == 0
        ends = sum(_ends(broker, name).values())
        assert f"gave {ends} records" in one.stderr.read().decode()
    yield name


def _ends(broker: Broker, topic: str) -> dict[TopicPartition, int]:
    consumer = KafkaConsumer(bootstrap_servers=broker.address)
    ends: dict[TopicPartition, int] = consumer.end_offsets(
        [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    )
    consumer.close()
    return ends


def test_a_topic_gets_records_stamped_with_the_end_of_their_answers(
    broker: Broker, simulated: str
) -> None:
    ends = _ends(broker, simulated)
    consumer = KafkaConsumer(bootstrap_servers=broker.address, auto_offset_reset="earliest")
    consumer.assign(list(ends))
    rows = [next(consumer) for _ in range(sum(ends.values()))]
    consumer.close()
    assert all(ends.values())
    stamped, seen = Counter[bool](), set[str]()
    for row in rows:
        if row.value.endswith(b"}") and b'"prompt"' in row.value:
            call = json.loads(row.value)
            if call["id"] in seen:  # a duplicate comes later
                continue
            seen.add(call["id"])
            stamped[abs(row.timestamp / 1000 - call["at"] - call["latency_s"]) < 0.01] += 1
    assert stamped[True] > 90 and stamped[False] == 0


def test_a_broker_that_is_away_is_said_and_is_3(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("kafka: {brokers: ['127.0.0.1:9']}\n")
    done = vedette(tmp_path, "simulate", "-c", "v.yaml")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith(b"vedette: broker: connecting failed")

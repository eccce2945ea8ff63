"""The measurement itself: it sends what it says, ends, and its stages add up."""

from kafka import KafkaAdminClient

from agent.config import load_config
from consumers.bench import PARTITIONS, bench_road
from tests.conftest import MakeTopic
from tests.live.broker import Broker


def test_the_stages_add_up_and_nothing_is_left_on_the_broker(
    broker: Broker, topic: MakeTopic
) -> None:
    name = topic(partitions=PARTITIONS)
    config = load_config(kafka={"brokers": [broker.address], "topics": {name: {}}})
    runs = bench_road(config, 3000, 200)
    assert [run.calls for run in runs] == [3000, 3000, 1000, 3000]
    for run in runs[1:]:
        total_s = sum(run.stages_us.values()) * 1e-6 * run.calls
        assert 0.8 < total_s / (run.calls / run.calls_per_s) < 1.2
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    assert not [known for known in admin.list_topics() if known.startswith("vedette-bench")]
    admin.close()
    assert runs[2].stages_us["score"] > runs[1].stages_us["score"]

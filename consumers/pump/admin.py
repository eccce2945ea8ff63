"""Topics: which there are, and making those that the configuration names."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import TopicAlreadyExistsError

from agent.broker import Kafka
from agent.config import Config
from consumers.pump.connection import administering


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic, the key that names it, and how many partitions the broker has (0: none such)."""

    name: str
    key: str
    role: str
    partitions: int = 0


def configured_topics(config: Config) -> list[TopicState]:
    """Every topic that the configuration names, and what it is for."""
    kafka, shadow = config.kafka, config.shadow
    out = {
        "kafka.dead_letters": ("dead letters", kafka.dead_letters),
        "kafka.scored": ("scored calls", kafka.scored),
        "alerts.topic": ("alerts", config.alerts.topic),
        "shadow.requests": ("shadow requests", shadow and shadow.requests),
        "shadow.answers": ("shadow answers", shadow and shadow.answers),
    }
    written = {name: TopicState(name, key, role) for key, (role, name) in out.items() if name}
    read = {
        name: TopicState(name, f"kafka.topics.{name}", f"input ({topic.format})")
        for name, topic in kafka.topics.items()
    }
    return list((read | written).values())


def topic_states(config: Config) -> list[TopicState]:
    """The configured topics as the broker has them; raises StoreDown when it is away."""
    with administering(config.kafka, "listing topics") as client:
        known = {
            row["name"]: len(row["partitions"])
            for row in client.describe_topics()
            if not row.get("error_code")
        }
    topics = configured_topics(config)
    return [replace(topic, partitions=known.get(topic.name, 0)) for topic in topics]


def retention_s(config: Kafka, topic: str) -> float | None:
    """How long the broker keeps a record after its own time; None for ever, or for no topic."""
    with administering(config, "reading the topic's settings") as client:
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": None})
        found = client.describe_configs([asked])["topic"].get(topic, {})
    kept_ms = int(found["retention.ms"]["value"]) if found else -1
    return kept_ms / 1000 if kept_ms >= 0 else None


def create_topics(config: Config, partitions: int, replication: int) -> list[str]:
    """Make the configured topics that are missing; the names of those made."""
    missing = [state.name for state in topic_states(config) if not state.partitions]
    made = []
    with administering(config.kafka, "creating topics") as client:
        for name in missing:
            # The broker then unpacks batches itself and refuses a decompression bomb.
            settings = {"compression.type": "uncompressed"}
            topic = NewTopic(name, partitions, replication, topic_configs=settings)
            with suppress(TopicAlreadyExistsError):
                client.create_topics([topic], wait_for_metadata=True)
                made.append(name)
    return made


def delete_topics(config: Kafka, names: Sequence[str]) -> None:
    """Delete topics; raises StoreDown when the broker is away."""
    with administering(config, "deleting topics") as client:
        client.delete_topics(list(names))

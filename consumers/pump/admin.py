"""Topics: which there are, and making those that the configuration names."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import TopicAlreadyExistsError

from agent.broker import Kafka
from agent.config import Config
from consumers.pump.connection import administering


@dataclass(frozen=True, slots=True)
class TopicState:
    """A configured topic and how many partitions the broker has of it (0: none such)."""

    name: str
    role: str
    partitions: int


def topic_roles(config: Config) -> dict[str, str]:
    """Every topic that the configuration names, and what it is for."""
    kafka, alerts = config.kafka, config.alerts.topic
    roles = {name: f"input ({topic.format})" for name, topic in kafka.topics.items()}
    out = {"dead letters": kafka.dead_letters, "scored calls": kafka.scored, "alerts": alerts}
    if config.shadow is not None:
        shadow = config.shadow
        out |= {"shadow requests": shadow.requests, "shadow answers": shadow.answers}
    return roles | {name: role for role, name in out.items() if name}


def topic_states(config: Config) -> list[TopicState]:
    """The configured topics as the broker has them; raises StoreDown when it is away."""
    with administering(config.kafka, "listing topics") as client:
        known = {
            row["name"]: len(row["partitions"])
            for row in client.describe_topics()
            if not row.get("error_code")
        }
    return [
        TopicState(name, role, known.get(name, 0)) for name, role in topic_roles(config).items()
    ]


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

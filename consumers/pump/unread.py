"""How much of a topic a consumer group has left, asked from outside of the group."""

from kafka import KafkaConsumer, TopicPartition

from agent.broker import Kafka
from agent.errors import BadConfig
from consumers.pump.connection import administering, settings, translated

_ANSWER_MS = 5000


class Unread:
    """Looks at a group and is no member of it; raises BadConfig when a topic is not there."""

    def __init__(self, config: Kafka, group: str, topic: str, others: dict[str, str]) -> None:
        """`others` are further topics that must be there, each under its key."""
        self._config, self._group = config, group
        with translated("connecting"):
            self._consumer = KafkaConsumer(
                **settings(config), group_id=group, enable_auto_commit=False,
                allow_auto_create_topics=False, auto_offset_reset="none",
            )  # fmt: skip
            known = {name: self._consumer.partitions_for_topic(name) for name in others.values()}
        for key, name in others.items():
            if not known[name]:
                self.close()
                problem = f"the broker has no topic {name}; `vedette topics --create` makes it"
                raise BadConfig(key, problem)
        self._parts = [TopicPartition(topic, one) for one in sorted(known[topic])]

    def look(self) -> dict[int, tuple[int, int]]:
        """The next offset of the group in each partition, and its end.

        Raises StoreDown when the broker does not say.
        """
        with translated("asking for offsets"):
            begins = self._consumer.beginning_offsets(self._parts, timeout_ms=_ANSWER_MS)
            ends = self._consumer.end_offsets(self._parts, timeout_ms=_ANSWER_MS)
            held = [self._consumer.committed(one, timeout_ms=_ANSWER_MS) for one in self._parts]
        return {
            one.partition: (begins[one] if at is None else max(at, begins[one]), ends[one])
            for one, at in zip(self._parts, held, strict=True)
        }

    def settled(self) -> bool:
        """Whether its members have shared out the partitions; raises as `look` does."""
        with administering(self._config, "asking for the group", _ANSWER_MS) as client:
            found = client.describe_groups([self._group])[self._group]
        return bool(found["group_state"] == "Stable")

    def close(self) -> None:
        """Close its connections."""
        self._consumer.close(timeout_ms=1000)

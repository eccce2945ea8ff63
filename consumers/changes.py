"""The alerts topic: each change of a finding, until the broker has acknowledged it."""

from collections.abc import Sequence

from agent.alerts import Alerts
from agent.broker import Kafka
from agent.errors import BadConfig, StoreDown
from agent.store.findings import Kept
from consumers.alerts import change_of
from consumers.courier import Undelivered
from consumers.pump.sender import Sender


class Changes:
    """Sends findings to a topic, keyed by what they are about."""

    way = "topic"

    def __init__(self, topic: str, alerts: Alerts, kafka: Kafka) -> None:
        self._topic, self._alerts = topic, alerts
        self._sender = Sender(kafka)

    def deliver(self, rows: Sequence[Kept]) -> None:
        """Send and wait for the acknowledgements; raises Undelivered with the reason."""
        try:
            for kept in rows:
                value = change_of(kept, self._alerts)
                self._sender.send(self._topic, value, key=kept.finding.key.hex().encode())
            failed = self._sender.flush()
        except (StoreDown, BadConfig) as error:
            raise Undelivered(str(error)) from None
        if failed:
            raise Undelivered(f"did not acknowledge ({failed[0]})")

    def close(self) -> None:
        """Give up what is queued."""
        self._sender.close()

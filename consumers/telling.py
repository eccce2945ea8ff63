"""Who is told what, and when: every change once, what rings again and again."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agent.config import Config
from agent.errors import BadConfig, StoreDown
from agent.store import Store
from agent.store.findings import Kept, current_findings, mark_told, untold_findings
from consumers.changes import Changes
from consumers.courier import Courier, Outcome, Way
from consumers.metrics import Tally
from consumers.webhook import Webhook

_log = logging.getLogger("vedette.alerts")

# Alertmanager is told of what is over for as long as Prometheus would tell it.
_OVER_S = 300.0
# A webhook that was away longer is not told of what ended meanwhile.
_AWAY_S = 86_400.0
# Of storms the worst and newest; the others follow as these end.
_ROWS_MAX = 1000
# A worker that is stopped has 25 s for everything.
_CLOSE_S = 6.0


def ways_of(config: Config, broker: bool = True) -> list[Way]:
    """The webhooks and the topic that are configured, none of them opened yet.

    Raises BadConfig, also for a topic where there is no broker.
    """
    alerts, topic = config.alerts, config.alerts.topic
    found: list[Way] = [Webhook(address, alerts) for address in alerts.addresses()]
    if topic is None:
        return found
    if not broker:
        raise BadConfig("alerts.topic", "needs a broker: without one there are webhooks only")
    if topic in config.kafka.topics:
        raise BadConfig("alerts.topic", f"is {topic}, which is an input: it would never end")
    return [*found, Changes(topic, alerts, config.kafka)]


@dataclass(slots=True)
class _Line:
    """A courier, what it was last sent with, and when (by the monotonic clock) it is sent again;
    `reached_at` is the newest moment (epoch seconds) that was told."""

    courier: Courier
    name: str
    last: frozenset[tuple[str, bytes, str]] = frozenset()
    busy: bool = False
    again_at: float = 0.0
    sent_at: float = 0.0
    reached_at: float = math.inf
    reason: str | None = None

    @property
    def is_topic(self) -> bool:
        """Whether it carries changes, and not what is current."""
        return self.courier.way.way == "topic"


class Teller:
    """Tells findings as the store has them, from the one thread that closes panes."""

    def __init__(
        self,
        config: Config,
        store: Store,
        tally: Tally,
        ways: Sequence[Way],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resend_s, self._store, self._tally = config.alerts.resend_s, store, tally
        self._monotonic = monotonic
        self._lines = [_Line(Courier(one), f"{one.way} {at}") for at, one in enumerate(ways, 1)]
        self._acknowledged: list[Kept] = []
        for one in ways:
            tally.alerts(one.way, 0, 0)

    def tell(self, now: float) -> list[Kept]:
        """Send what is due; what is open, or ended a short time before `now` (epoch seconds)."""
        self.settle()
        over = reached = now - _OVER_S
        for line in self._lines:
            line.reached_at = min(line.reached_at, now)  # what was before is another process's
            reached = reached if line.is_topic else min(reached, line.reached_at)
        with self._store.reading() as tx:
            rows = current_findings(tx, now, max(reached, now - _AWAY_S), _ROWS_MAX)
            topic = any(line.is_topic and not line.busy for line in self._lines)
            changes = untold_findings(tx, _ROWS_MAX) if topic else []
        for line in self._lines:
            mine = [one for one in rows if _is_told(one, min(over, line.reached_at))]
            self._send(line, changes if line.is_topic else mine, now)
        return [one for one in rows if one.finding.state != "resolved" or one.stored_at >= over]

    def _send(self, line: _Line, rows: Sequence[Kept], now: float) -> None:
        known = frozenset((one.source, one.finding.key, one.finding.state) for one in rows)
        due = known != line.last or self._monotonic() >= line.again_at
        if line.busy or not due:
            return
        line.last, line.again_at = known, self._monotonic() + self._resend_s
        if rows:
            line.busy, line.sent_at = True, now
            line.courier.send(rows)

    def settle(self, wait_s: float = 0.0) -> None:
        """Hear what became of what was sent, and note what the broker has acknowledged.

        Raises StoreDown; then it is noted the next time.
        """
        until = self._monotonic() + wait_s
        for line in self._lines:
            left_s = max(0.0, until - self._monotonic())
            outcome = line.courier.outcome(left_s) if line.busy else None
            if outcome is not None:
                self._hear(line, outcome)
        if self._acknowledged:
            with self._store.transaction() as tx:
                mark_told(tx, self._acknowledged)
            self._acknowledged = []

    def _hear(self, line: _Line, outcome: Outcome) -> None:
        line.busy, way, n = False, line.courier.way.way, len(outcome.rows)
        if outcome.reason is None:
            self._tally.alerts(way, n, 0)
            line.reached_at = line.sent_at
            self._acknowledged += outcome.rows if line.is_topic else []
        else:
            self._tally.alerts(way, 0, n)
        if outcome.reason != line.reason:
            line.reason = outcome.reason
            _log.warning("alerts, %s: %s", line.name, outcome.reason or "takes them again")

    def forget(self) -> None:
        """Another process tells now; when it is our turn again, all that is open is told anew."""
        for line in self._lines:
            line.last, line.again_at, line.reached_at = frozenset(), 0.0, math.inf

    def finish(self, now: float) -> None:
        """Nothing more will be found: tell what was, with its last numbers."""
        self.settle(_CLOSE_S)
        for line in self._lines:
            line.again_at = 0.0
        self.tell(now)
        self.close()

    def close(self) -> None:
        """Wait a moment for what is on its way."""
        with suppress(StoreDown):
            self.settle(_CLOSE_S)
        for line in self._lines:
            line.courier.close()


def _is_told(one: Kept, since: float) -> bool:
    """Whether a webhook is told: of what is open, and for a time of what is over."""
    if one.finding.state == "resolved":
        return one.stored_at >= since
    return one.finding.state != "pending"

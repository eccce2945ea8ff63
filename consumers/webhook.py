"""A webhook that takes Alertmanager's array; the only place that knows httpx."""

import logging
from collections.abc import Sequence

import httpx

from agent.alerts import Alerts
from agent.store.findings import Kept
from consumers.alerts import alerts_of
from consumers.courier import Undelivered

# As many alerts a request as Prometheus sends.
_BATCH = 64


class Webhook:
    """One address, which may hold a secret and is never printed."""

    way = "webhook"

    def __init__(self, address: str, alerts: Alerts) -> None:
        self._address, self._alerts = address, alerts
        # At its level INFO the library logs the address of every request.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._client = httpx.Client(timeout=alerts.timeout_s, headers={"user-agent": "vedette"})

    def deliver(self, rows: Sequence[Kept]) -> None:
        """Post the alerts of these findings; raises Undelivered with the reason."""
        made = alerts_of(rows, self._alerts)
        for at in range(0, len(made), _BATCH):
            self._post(made[at : at + _BATCH])

    def _post(self, batch: list[dict[str, object]]) -> None:
        try:
            # The body of the answer is not read: it may be long, and says nothing.
            with self._client.stream("POST", self._address, json=batch) as answer:
                status = answer.status_code
        except httpx.TimeoutException:
            raise Undelivered(f"did not answer within {self._alerts.timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Undelivered(f"cannot be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise Undelivered(f"answered {status}")

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

"""`make stack`, whole: from a simulated service to a webhook, with a candidate in shadow."""

import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from deploy.local.child import Unavailable
from deploy.stack import Stack
from tests.conftest import absent
from tests.live.alerting import Told, Webhook
from tests.waiting import wait_until

# Seconds after which all models get rude; a fifth of their answers.
FAULT_S = 12
TOKEN = "only-for-this-laptop"
CHANGES: dict[str, Any] = {
    "vedette.yaml": {
        "models": False,
        "scorers": {"toxicity": {"enabled": True}},
        "panes": {"width_s": 1, "request_timeout_s": 0, "lateness_s": 8},
        "shadow": {"wait_s": 15, "candidates": {"understudy": {"rate": 0.5, "timeout_s": 12}}},
        "experiments": {"rehearsal": {"primary": "response_toxicity"}},
    },
    "prometheus.yml": {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}},
}


class Seen:
    """What the stack says of itself to whoever looks from outside."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def until(self, true: Callable[[], bool], what: str, most_s: float = 150) -> None:
        """Wait until it is so, as long as every part runs."""

        def seen() -> bool:
            self._stack.look()
            return true()

        wait_until(seen, most_s, what)

    def server(self, path: str) -> Any:
        """An answer of the server's API."""
        where = f"http://{self._stack.address('server', 8080)}{path}"
        request = urllib.request.Request(where, headers={"authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def prometheus(self, query: str) -> list[tuple[dict[str, str], float]]:
        """What a query finds now."""
        where = f"http://{self._stack.address('prometheus', 9090)}/api/v1/query?"
        with urllib.request.urlopen(where + urllib.parse.urlencode({"query": query})) as answer:
            found = json.load(answer)["data"]["result"]
        return [(row["metric"], float(row["value"][1])) for row in found]

    def records(self) -> list[tuple[float, bytes]]:
        """The topic as it is: when each record arrived (epoch seconds), its bytes."""
        consumer = KafkaConsumer(bootstrap_servers=self._stack.address("kafka", 9092))
        parts = [TopicPartition("llm-calls", number) for number in range(4)]
        consumer.assign(parts)
        consumer.seek_to_beginning()
        n = sum(consumer.end_offsets(parts).values())
        found = [next(consumer) for _ in range(n)]
        consumer.close()
        return sorted((one.timestamp / 1000, one.value) for one in found)


def hooked(url: str) -> dict[str, Any]:
    """Alertmanager tells the test, at once."""
    route = {"group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
    receivers = [{"name": "page", "webhook_configs": [{"url": url}]}]
    return CHANGES | {"alertmanager.yml": {"route": route, "receivers": receivers}}


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as one:
        yield one


def rings(hook: Webhook) -> list[Told]:
    return [one for one in list(hook.heard) if one.labels["alertname"] == "VedetteToxicity"]


@pytest.mark.timeout(400)
def test_rude_answers_ring_at_the_webhook_and_a_candidate_is_compared(
    hook: Webhook,
) -> None:
    lines: list[str] = []
    environment = {"RATE": "6", "FAULT": f"toxicity@{FAULT_S}"}
    try:
        with Stack(lines.append, hooked(hook.url), environment) as stack:
            seen = Seen(stack)
            seen.until(lambda: bool(rings(hook)), "VedetteToxicity rings")
            (first, *_), records = rings(hook), seen.records()
            seen.until(lambda: compared(seen) > 0, "pairs are compared")
            account = seen.server("/api/pipeline")
            seen.until(lambda: len(scoring(seen)) == 2, "both scorers score")
            seen.until(lambda: jobs(seen) == {"scorer": 1, "shadow": 1, "server": 1}, "all are up")
    except Unavailable as why:
        absent(why)
    else:
        assert because_of_the_fault(first, records)
        assert account["received"] == sum(account["ends"].values()) > 100
        assert (account["gap"], account["ends"]["failed"]) == (0, 0)
        assert not [line for line in lines if "Traceback" in line or " 0 partitions" in line]
        assert not stack.folder.exists()


def scoring(seen: Seen) -> set[str]:
    """The scorers that have scored, as Prometheus knows."""
    counted = seen.prometheus('vedette_requests_total{job="scorer",variant="production"}')
    return {labels["instance"] for labels, n in counted if n > 0}


def jobs(seen: Seen) -> dict[str, float]:
    return {labels["job"]: up for labels, up in seen.prometheus("up")}


def compared(seen: Seen) -> int:
    """The pairs of the experiment so far, as the server tells them."""
    (one,) = seen.server("/api/experiments")["experiments"]
    return min((n for answer in one["answers"] for n in answer["n"].values()), default=0)


def because_of_the_fault(first: Told, records: list[tuple[float, bytes]]) -> bool:
    """Whether answers were good for a while, then rude, and the alert began only after some."""
    phrases = json.loads(files("consumers").joinpath("phrases.json").read_text("utf-8"))
    rude = set(phrases["en"]["rude"])
    said = [
        (at, json.loads(value).get("response") in rude)
        for at, value in records
        if value.endswith(b"}")
    ]
    before = [at for at, is_rude in said if is_rude and at < first.since]
    good = [at for at, is_rude in said if not is_rude and (not before or at < before[0])]
    return len(before) >= 10 and len(good) >= 30

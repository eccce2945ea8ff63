"""Traffic of several services through a real worker, calm until it is told to make trouble."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from kafka import KafkaProducer

from consumers.simulate import MODELS, Change, Scenario, simulate

TICK_S = 0.1
# The simulated answers take a minute at most; in trouble all of them take longer.
SLOW_S, LIMIT_S = 200.0, 61.0


def answers(*changes: Change) -> list[dict[str, Any]]:
    """Simulated calls as they are logged, their texts few enough to be remembered."""
    made = simulate(Scenario(0.0, 400, changes=changes, dirt={}))
    calls = [json.loads(one.value) for one in made if one.kind == "call"]
    return [one for one in calls if one.get("status") == "ok"]


class Traffic(AbstractContextManager["Traffic"]):
    """Sends in a thread of its own: calls of `shop`, of three experiments, and of a service that
    may fall silent. What is in `wrong` goes wrong."""

    def __init__(self, address: str, topic: str) -> None:
        self._producer = KafkaProducer(bootstrap_servers=address, linger_ms=5)
        self._topic = topic
        kind = answers()[:40]
        rude = [Change("toxicity", model.name, 0.0) for model in MODELS]
        told = {one["response"] for one in kind}
        rough = [one for one in answers(*rude) if one["response"] not in told][-20:]
        self._kind, self._rude = itertools.cycle(kind), itertools.cycle(rough)
        self._ids = itertools.count()
        self.wrong: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        self._producer.close()

    def garbage(self, n: int) -> None:
        """Records that nobody can read."""
        for _ in range(n):
            self._producer.send(self._topic, b"{")

    def late(self, n: int) -> None:
        """Calls that were held back for a quarter of an hour."""
        for _ in range(n):
            self._send(self._call("shop"), age_s=900.0)

    def models(self, n: int) -> None:
        """Calls of so many models that nobody heard of."""
        for number in range(n):
            self._send(self._call("shop") | {"model": f"odd-{number}"})

    def flood(self, n: int) -> None:
        """Good calls, so many that what went wrong before is a small part."""
        for _ in range(n):
            self._send(self._call("shop"))

    def _run(self) -> None:
        for tick in itertools.count():
            if self._over.wait(TICK_S):
                return
            for call in self._tick(tick):
                self._send(call)

    def _tick(self, tick: int) -> Iterator[dict[str, Any]]:
        """What happens in a tenth of a second."""
        for _ in range(2):
            call = next(self._rude if "toxicity" in self.wrong else self._kind)
            slow = {"latency_s": SLOW_S} if "latency" in self.wrong else {}
            yield call | self._call("shop") | {"latency_s": call["latency_s"]} | slow
        if "quiet" not in self.wrong:
            yield self._call("quiet")
        if "no experiments" in self.wrong:
            return
        for service, arms in (("trial", ("production", "canary")), ("twins", ("a", "b"))):
            for arm in arms:
                failed = {"status": "error"} if service in self.wrong and arm == arms[1] else {}
                yield self._call(service) | {"variant": arm} | failed
        other = "canary" if tick % 2 or "split" in self.wrong else "production"
        yield self._call("split") | {"variant": other}

    def _call(self, service: str) -> dict[str, Any]:
        return {
            "id": f"t-{next(self._ids)}",
            "service": service,
            "model": "wren",
            "variant": "production",
            "latency_s": 1.0,
        }

    def _send(self, call: dict[str, Any], age_s: float = 0.05) -> None:
        record = {k: v for k, v in call.items() if k not in ("unit", "session", "segment")}
        now = time.time()
        self._producer.send(self._topic, json.dumps(record | {"at": now - age_s}).encode())

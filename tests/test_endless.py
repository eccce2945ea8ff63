"""The simulated service that goes on: records come when they are due, and all ends in seconds."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.store import Store, positions
from consumers.coming import Coming
from consumers.endless import endless
from consumers.inbox import Inbox
from consumers.simulate import Change, Scenario, simulate
from consumers.understudy import Understudy
from tests.conftest import Clock


def _taken(store: Store) -> list[dict[str, Any]]:
    with store.transaction() as tx:
        rows = positions.read_inbox(tx, 1, 10_000, 1 << 30)
    found = []
    for row in rows:
        with suppress(ValueError):
            found.append({"arrival": row.arrival, **json.loads(row.value or b"")})
    return found


def test_records_come_when_they_are_due(
    any_store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.endless._TICK_S", 0.01)
    begun, day = clock(), Scenario(clock(), 100)
    understudy = Understudy(day)
    slow = Change("latency", "finch-7b", begun - 3600)
    coming = Coming([slow], understudy.learn, 5.0, clock)
    with closing(endless(Inbox(any_store), coming)):
        for _ in range(8):
            clock.advance(10)
            time.sleep(0.05)
            assert all(row["arrival"] <= clock() for row in _taken(any_store))
        given_up = time.monotonic() + 30
        while len(_taken(any_store)) <= 300 and time.monotonic() < given_up:
            clock.advance(1)
            time.sleep(0.05)
    found = [row for row in _taken(any_store) if "prompt" in row and row["model"] != 7]
    # Two minutes were drawn, from the first look and the one after its end, 300 calls each.
    assert 250 < len(found) <= 600
    assert {row["model"] for row in found} == {"wren-large", "wren-small", "finch-7b"}
    assert len({row["id"] for row in found}) >= len(found) - 10  # some are sent twice
    assert all(begun <= row["at"] <= row["arrival"] for row in found)


def test_a_shorter_while_has_all_its_calls_within(clock: Clock) -> None:
    while_ = Scenario(clock(), 200, 7, length_s=60.0)
    calls = [json.loads(one.value) for one in simulate(while_) if one.kind == "call"]
    assert len(calls) > 180
    assert all(0 <= call["at"] - clock() <= 60 for call in calls)


def test_the_demo_is_served_and_goes_on_until_it_is_ended(tmp_path: Path) -> None:
    code = "from consumers.cli import main; main()"
    words = ["demo", "--calls", "100", "--serve", "--port", "0"]
    log = tmp_path / "log"
    with log.open("wb") as said:
        demo = subprocess.Popen(
            [sys.executable, "-c", code, *words], cwd=tmp_path, stdout=said, stderr=said,
            env=os.environ | {"VEDETTE_MODELS": "false"},
        )  # fmt: skip
    try:
        began = time.monotonic()
        while not (found := re.search(r"pages on (http://\S+)/", log.read_text())):
            assert demo.poll() is None and time.monotonic() - began < 150, log.read_text()
            time.sleep(0.2)
        first = _received(found[1])
        assert first >= 100
        while _received(found[1]) < first + 10:
            assert demo.poll() is None and time.monotonic() - began < 300, log.read_text()
            time.sleep(0.5)
    finally:
        demo.send_signal(signal.SIGINT)
        code_of = demo.wait(60)
    assert code_of == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert "vedette serve -c vedette-demo.yaml" in log.read_text()


def _received(url: str) -> int:
    with urllib.request.urlopen(f"{url}/api/pipeline", timeout=60) as answer:
        n: int = json.load(answer)["received"]
    return n

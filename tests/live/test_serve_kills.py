"""kill -9 of a server that takes logs in: what it acknowledged is not lost, nor counted twice."""

import itertools
import json
import random
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from agent.store import open_store, reads
from agent.store.tables import calls, inbox
from tests.live.server_process import Served, stored
from tests.waiting import wait_until

_CLIENTS, _CALLS = 4, 25


class Client(threading.Thread):
    """Posts bodies until the server goes away; `taken` are the ids that it was told are safe."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(daemon=True)
        self._url, self._name = url, name
        self.sent: set[str] = set()
        self.taken: set[str] = set()
        self.began = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=10) as client:
            for n in itertools.count():
                ids = [f"{self._name}-{n}-{i}" for i in range(_CALLS)]
                self.sent |= set(ids)
                rows = [{"id": one, "at": time.time(), "model": "m"} for one in ids]
                body = "\n".join(map(json.dumps, rows))
                try:
                    answer = client.post(f"{self._url}/ingest", content=body)
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    assert answer.json()["accepted"] == len(ids)
                    self.taken |= set(ids)
                    self.began.set()


def campaign(folder: Path, kills: int) -> tuple[set[str], set[str]]:
    """So many servers, each killed while it takes calls in; what was sent, and acknowledged."""
    draws, sent, taken = random.Random(kills), set[str](), set[str]()
    for n in range(kills):
        # A kill of ours counts as an attempt at the records in hand: none may be set aside.
        server = Served(folder, limits={"attempts": 1000})
        clients = [Client(server.url, f"{n}-{i}") for i in range(_CLIENTS)]
        for client in clients:
            client.start()
        clients[0].began.wait(20)
        time.sleep(draws.uniform(0.0, 0.5))
        server.process.end(signal.SIGKILL)
        for client in clients:
            client.join(20)
            sent |= client.sent
            taken |= client.taken
    return sent, taken


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.prove)])
@pytest.mark.timeout(3000)
def test_what_was_acknowledged_is_scored_once_however_often_the_server_is_killed(
    tmp_path: Path, kills: int
) -> None:
    sent, taken = campaign(tmp_path, kills)
    assert len(taken) >= kills * _CALLS
    server = Served(tmp_path)
    wait_until(lambda: not _waiting(tmp_path), 60 + len(sent) / 100)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 10
    assert "Traceback" not in server.process.log_tail()
    with closing(open_store(f"sqlite:///{tmp_path / 'v.db'}")) as store, store.reading() as tx:
        ledger, held = reads.ledger(tx), [row.id for row in tx.execute(select(calls.c.id))]
    assert ledger.sums and ledger.terms["scored"] == len(held) == len(set(held))
    assert taken <= set(held) <= sent


def _waiting(folder: Path) -> int:
    return len(stored(folder, select(inbox.c.id).limit(1)))

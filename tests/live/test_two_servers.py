"""Two servers on one PostgreSQL behind a balancer that sends each request to the other one."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from agent.store import open_store
from agent.store.tables import calls, dead_letters
from tests.live.server_process import serving
from tests.serving import TOKENS, bearer
from tests.waiting import wait_until

_BODIES, _CALLS, _BAD = 12, 25, 40


class Balanced:
    """Asks the servers in turn, as one address does that stands for both."""

    def __init__(self, *urls: str) -> None:
        self._urls = itertools.cycle(urls)
        self._client = httpx.Client(timeout=20)

    def ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        return self._client.request(method, next(self._urls) + path, **how)

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def both(postgres_url: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The addresses of two servers on one database."""
    config: dict[str, Any] = {"store": {"url": postgres_url}, "server": {"tokens": TOKENS}}
    folders = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
    with serving(folders[0], **config) as one, serving(folders[1], **config) as two:
        yield one.url, two.url


def test_two_servers_are_one_to_those_who_ask(both: tuple[str, str], postgres_url: str) -> None:
    with closing(Balanced(*both)) as client:
        _ingest(client)
        wait_until(lambda: _scored(client) == 2 * [_BODIES * _CALLS], 60)
        wait_until(lambda: _rows(postgres_url) == (_BODIES * _CALLS, _BAD), 60)
        _replay(both, postgres_url)
        _sign_in_and_out(client)


def _ingest(client: Balanced) -> None:
    """Every body twice, once to each server, and records that nobody can read."""
    for n in range(_BODIES):
        rows = [{"id": f"{n}-{i}", "at": time.time(), "model": "m"} for i in range(_CALLS)]
        body = "\n".join(map(json.dumps, rows))
        for _ in range(2):
            answer = client.ask("POST", "/ingest", content=body, headers=bearer("sender"))
            assert (answer.status_code, answer.json()["accepted"]) == (200, _CALLS)
    bad = "\n".join(json.dumps({"id": f"bad-{n}", "model": "m"}) for n in range(_BAD))
    answer = client.ask("POST", "/ingest", content=bad, headers=bearer("sender"))
    assert (answer.status_code, answer.json()["refused"]) == (400, _BAD)


def _rows(url: str) -> tuple[int, int]:
    """Calls and dead letters."""
    with closing(open_store(url, writer=False)) as store, store.reading() as tx:
        one, other = (len(tx.execute(select(t.c.id)).all()) for t in (calls, dead_letters))
    return one, other


def _scored(client: Balanced) -> list[int]:
    found = [client.ask("GET", "/api/pipeline", headers=bearer("looker")).json() for _ in range(2)]
    assert [one["gap"] for one in found] == [0, 0]
    return [one["ends"]["scored"] for one in found]


def _replay(both: tuple[str, str], postgres_url: str) -> None:
    """An admin presses on both pages at once: each letter comes back once a press at most."""
    told = list[httpx.Response]()

    def press(url: str) -> None:
        path = f"{url}/api/dead-letters/replay"
        told.append(httpx.post(path, json={"why": "mended"}, headers=bearer("keeper"), timeout=20))

    threads = [threading.Thread(target=press, args=(url,)) for url in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [one.json()["replayed"] for one in told if one.status_code == 200]
    assert done and {one.status_code for one in told} <= {200, 422}
    with closing(open_store(postgres_url, writer=False)) as store, store.reading() as tx:
        marked = select(dead_letters.c.id).where(dead_letters.c.replayed_at.is_not(None))
        assert sum(done) == len(tx.execute(marked).all())
    for url in both:
        wait_until(partial(_are_entered, url), 20)


def _are_entered(url: str) -> bool:
    """Whether a server shows who pressed, on whichever."""
    found = httpx.get(f"{url}/api/pipeline", headers=bearer("looker"), timeout=20).json()["deeds"]
    return [one["who"] for one in found if one["action"] == "replay dead letters"] == ["keeper"] * 2


def _sign_in_and_out(client: Balanced) -> None:
    answer = client.ask("POST", "/login", data={"token": TOKENS["keeper"]["secret"]})
    assert answer.status_code == 303
    session = {"Cookie": f"vedette={answer.cookies['vedette']}", "Accept": "text/html"}
    client._client.cookies.clear()
    for path in ("/", "/pipeline", "/findings", "/calls"):
        for _ in range(2):
            page = client.ask("GET", path, headers=session)
            assert page.status_code == 200 and "Signed in as keeper" in page.text
    assert client.ask("POST", "/logout", headers=session).headers["location"] == "/login"
    for _ in range(2):
        answer = client.ask("GET", "/pipeline", headers=session)
        assert answer.headers["location"] == "/login?to=/pipeline"

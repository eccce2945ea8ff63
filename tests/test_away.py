"""A store that goes away, that is older, or that may only be read, beneath a server."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import create_engine, exc, text
from sqlalchemy.engine import make_url
from starlette.testclient import TestClient

from agent.config import load_config
from agent.errors import BadConfig, StoreDown
from agent.store import Store, Transaction, open_store, translated
from consumers.exporter import Health
from consumers.server import copies
from consumers.server.pulse import pulse
from tests.road import native
from tests.serving import TOKENS, bearer, made, served, told
from tests.waiting import wait_until


def test_nothing_is_taken_into_a_file_that_nobody_finds_again(tmp_path: Path) -> None:
    config = told(tmp_path)
    with served(config) as client:
        assert client.post("/ingest", json=native(1)).status_code == 200
        for file in tmp_path.glob("v.db*"):
            file.rename(tmp_path / f"away-{file.name}")
        answer = client.post("/ingest", json=native(2))
        assert answer.status_code == 503 and "its file was taken away" in answer.text
        open_store(config.store.url.get_secret_value()).close()  # another one in its place
        assert client.post("/ingest", json=native(3)).status_code == 503


def test_a_server_without_a_worker_says_when_its_store_does_not_answer(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: Store) -> NoReturn:
        raise StoreDown("database: connection lost")

    health = Health()
    with closing(open_store(sqlite_url)) as store, closing(pulse(store, health, every_s=0.01)):
        wait_until(lambda: health.state[0])
        with monkeypatch.context() as patch:
            patch.setattr(Store, "reading", lost)
            wait_until(lambda: not health.state[0])
            assert health.state[1] == "database: connection lost"
        wait_until(lambda: health.state[0])


def test_a_reader_does_not_wait_for_who_writes(tmp_path: Path, sqlite_url: str) -> None:
    open_store(sqlite_url).close()
    file = make_url(sqlite_url).database or ""
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        open_store(sqlite_url, writer=False).close()


def test_a_reader_of_an_older_store_says_so(store_url: str) -> None:
    open_store(store_url).close()
    url = make_url(store_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    with engine.begin() as tx:
        tx.execute(text("DELETE FROM migrations WHERE name = 'm011_audit'"))
    engine.dispose()
    with pytest.raises(BadConfig, match=r"older than this version: .* \(m011_audit\)"):
        open_store(store_url, writer=False)
    open_store(store_url).close()
    open_store(store_url, writer=False).close()


def test_a_role_that_may_only_read_is_enough_for_pages(postgres_url: str) -> None:
    with closing(open_store(postgres_url)) as store, store.transaction() as tx:
        tx.execute(text("DROP ROLE IF EXISTS onlooker"))
        tx.execute(text("CREATE ROLE onlooker LOGIN PASSWORD 'onlooker'"))
        tx.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO onlooker"))
    url = make_url(postgres_url).set(username="onlooker", password="onlooker")
    told = url.render_as_string(hide_password=False)
    config = load_config(
        store={"url": told}, server={"tokens": TOKENS, "ingest": "off"}, models=False
    )
    try:
        with (
            closing(open_store(told, writer=False)) as store,
            made(config, store) as app,
            TestClient(app, base_url="http://localhost") as client,
        ):
            for path in ("/", "/findings", "/calls", "/pipeline", "/experiments", "/evaluations"):
                assert client.get(path, headers=bearer("looker")).status_code == 200, path
            path = "/api/dead-letters/replay"
            assert client.post(path, headers=bearer("looker")).status_code == 403
            answer = client.post(path, headers=bearer("keeper"))
            assert answer.status_code == 503
            assert answer.json() == {"error": "database: refused (InsufficientPrivilege)"}
    finally:
        with closing(open_store(postgres_url)) as store, store.transaction() as tx:
            tx.execute(text("DROP OWNED BY onlooker"))
            tx.execute(text("DROP ROLE onlooker"))


def test_a_supervisor_is_answered_while_every_thread_waits_for_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, reading = threading.Event(), Store.reading

    @contextmanager
    def hung(store: Store) -> Iterator[Transaction]:
        assert go.wait(60)
        with reading(store) as tx:
            yield tx

    monkeypatch.setattr(Store, "reading", hung)
    monkeypatch.setattr(copies, "_WAIT_S", 60.0)
    with served(told(tmp_path)) as client, ThreadPoolExecutor(45) as threads:
        asked = [threads.submit(client.get, f"/api/pipeline?letters={n}") for n in range(1, 43)]
        try:
            for path in ("/livez", "/readyz"):
                assert threads.submit(client.get, path).result(50).status_code == 200
            assert not any(one.done() for one in asked)
        finally:
            go.set()
        assert {one.result().status_code for one in asked} == {200}


def test_a_store_without_a_free_connection_is_away() -> None:
    with pytest.raises(StoreDown, match="all connections are in use"), translated():
        raise exc.TimeoutError

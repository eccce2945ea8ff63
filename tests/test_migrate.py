"""Tables are made by one command, by whoever may, and waited for by whoever may not."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import yaml
from sqlalchemy import text
from sqlalchemy.engine import make_url

from agent.config import Config, load_config
from agent.errors import StoreDown
from agent.store import lack, migrate_store, open_store, reach
from agent.store.migrations import MIGRATIONS
from consumers.cli import main
from consumers.exporter import Health
from consumers.service import patiently
from consumers.stores import open_writer
from deploy.local.child import Child, await_ready, free_port
from deploy.local.database import Database

ALL = [one.__name__ for one in MIGRATIONS]
MISSING = "tables are missing: vedette migrate"


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_url(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[str]:
    """A database that Vedette never used."""
    if request.param == "sqlite":
        yield sqlite_url
        return
    server: Database = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def vedette(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """A command on a store: exit code, stdout and stderr."""

    def call(url: str, *words: str) -> tuple[int, str, str]:
        file = tmp_path / "vedette.yaml"
        file.write_text(yaml.safe_dump({"store": {"url": url}}), encoding="utf-8")
        monkeypatch.setattr("sys.argv", ["vedette", *words, "-c", str(file)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return call


def test_the_command_makes_the_tables_and_says_so_once(
    bare_url: str, vedette: Callable[..., tuple[int, str, str]]
) -> None:
    assert vedette(bare_url, "migrate") == (0, f"migrated: {', '.join(ALL)}\n", "")
    assert vedette(bare_url, "migrate") == (0, "the tables are current\n", "")
    with closing(open_store(bare_url)) as store, store.transaction() as tx:
        tx.execute(text("DELETE FROM migrations WHERE name = 'm011_audit'"))
        tx.execute(text("DROP TABLE audit"))
    code, said, _ = vedette(bare_url, "migrate", "--json")
    assert (code, json.loads(said)) == (0, {"migrations": ["m011_audit"]})


def test_a_database_that_is_away_is_3(vedette: Callable[..., tuple[int, str, str]]) -> None:
    code, _, said = vedette(f"postgresql://nobody@127.0.0.1:{free_port()}/none", "migrate")
    assert (code, said) == (3, "vedette: database: does not answer\n")


def test_of_many_at_once_one_makes_the_tables(bare_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(migrate_store, [bare_url] * 4))
    assert sorted(done) == [[], [], [], ALL]


def test_it_is_safe_beside_a_process_that_writes(bare_url: str) -> None:
    with closing(open_store(bare_url)):
        assert migrate_store(bare_url) == []


def _waiting(url: str) -> Config:
    return load_config(store={"url": url, "migrate": False})


def test_who_shall_not_make_tables_waits_for_them(
    bare_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    health, config, seen = Health(), _waiting(bare_url), list[tuple[bool, str]]()

    def slept(_: float) -> None:
        seen.append(health.state)
        if len(seen) == 2:
            migrate_store(bare_url)

    monkeypatch.setattr("consumers.service.time.sleep", slept)
    with closing(patiently(health, lambda: open_writer(config))) as store:
        assert lack(store) == ""
    assert seen == [(False, MISSING)] * 2


def test_a_role_without_the_right_to_make_tables_writes_to_those_that_are_there(
    postgres_server: Database,
) -> None:
    url = postgres_server.create_database()
    try:
        with closing(reach(url)) as store, store.transaction() as tx:
            tx.execute(text("DROP ROLE IF EXISTS clerk"))
            tx.execute(text("CREATE ROLE clerk LOGIN PASSWORD 'clerk'"))
            tx.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
            tx.execute(text("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO clerk"))
        clerk = make_url(url).set(username="clerk", password="clerk")
        told = clerk.render_as_string(hide_password=False)
        with pytest.raises(StoreDown, match="missing or older: vedette migrate, by a role that"):
            open_store(told)
        assert migrate_store(url) == ALL
        with closing(open_store(told)) as store:
            assert lack(store) == ""
    finally:
        with closing(reach(url)) as store, store.transaction() as tx:
            tx.execute(text("DROP OWNED BY clerk"))
            tx.execute(text("DROP ROLE clerk"))
        postgres_server.drop_database(url)


@pytest.mark.parametrize("bare_url", ["postgresql"], indirect=True)
def test_a_server_that_only_reads_answers_before_there_are_tables(
    bare_url: str, tmp_path: Path
) -> None:
    port = free_port()
    told = {"store": {"url": bare_url}, "server": {"ingest": "off", "port": port}, "models": False}
    (tmp_path / "v.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    words = ("-c", "from consumers.cli import main; main()", "serve", "-c", "v.yaml")
    child = Child([sys.executable, *words], tmp_path)

    def said(path: str) -> tuple[int, str]:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10)
        except httpx.HTTPError:
            return 0, ""
        return answer.status_code, answer.text

    try:
        await_ready(child, lambda: said("/readyz") == (503, f"{MISSING}\n"), "a server")
        assert said("/livez") == (200, "ok\n")
        assert said("/findings")[0] == 503
        migrate_store(bare_url)
        await_ready(child, lambda: said("/readyz") == (200, "ok\n"), "a server with tables")
        assert said("/findings")[0] == 200
    finally:
        child.end(signal.SIGTERM)
    assert child.exit_code() == 0, child.log_tail()

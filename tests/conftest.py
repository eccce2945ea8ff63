"""Fixtures: real servers, fresh topics and databases, a clock to advance, a seeded generator."""

import gc
import os
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np
import pytest
from kafka import KafkaAdminClient
from kafka.net.inet import KafkaNetSocket

from agent.store import Store, open_store
from deploy.local.child import Unavailable
from deploy.local.database import Database
from tests.live.broker import Broker
from tests.shown import make_shown


def pytest_collection_finish() -> None:
    """Spare the collector what the imports of all files have made: it would find nothing."""
    gc.collect()
    gc.freeze()


class Clock:
    """Time that moves only when a test says so; called, it gives epoch seconds."""

    def __init__(self, now: float = 1_767_225_600.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class MakeTopic(Protocol):
    """Create a topic named after the test; the options are the broker's names, dots as `_`."""

    def __call__(self, partitions: int = 1, **options: str) -> str: ...


class _Forsaken(socket.socket):
    """kafka-python 3.0.12 closes a client while it connects or writes, and forgets the socket.

    The collector finds it in whatever test runs then: not that test's fault, so no warning.
    """

    def __del__(self) -> None:
        self.close()


@pytest.fixture(scope="session", autouse=True)
def _no_blame_for_forsaken_sockets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaNetSocket, "socket", lambda _, *how: _Forsaken(*how))
        yield


def absent(why: Unavailable) -> NoReturn:
    """Skip with the sentence; in CI fail, so that no green run can have tested nothing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"in CI nothing may be missing: {why}", pytrace=False)
    pytest.skip(str(why))


def named(variable: str, what: str) -> str:
    """The command that a variable of the environment names; skips where it names none."""
    found = os.environ.get(variable)
    if not found:
        pytest.skip(f"{variable} names no {what}")
    return found


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One Kafka for the whole run; a test that kills it starts it again."""
    try:
        with Broker() as server:
            yield server
    except Unavailable as why:
        absent(why)


@pytest.fixture
def topic(broker: Broker, request: pytest.FixtureRequest) -> MakeTopic:
    """Gives `topic(partitions=1, retention_ms="1000")`, the name of a new topic."""
    stem = re.sub(r"[^A-Za-z0-9_-]", "-", request.node.name)[:80]

    def make(partitions: int = 1, **options: str) -> str:
        name = f"{stem}-{uuid.uuid4().hex[:8]}"
        configs = {key.replace("_", "."): value for key, value in options.items()}
        wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        try:
            admin.create_topics({name: wanted}, wait_for_metadata=True)
        finally:
            admin.close()
        return name

    return make


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Database]:
    """One PostgreSQL for the whole run, without fsync; a test that crashes it starts it again."""
    try:
        with Database() as server:
            yield server
    except Unavailable as why:
        absent(why)


@pytest.fixture(scope="session")
def postgres_model(postgres_server: Database) -> str:
    """The URL of a database with our tables and no rows, to be copied: half of the time."""
    url = postgres_server.create_database()
    open_store(url).close()
    return url


@pytest.fixture
def postgres_url(postgres_server: Database, postgres_model: str) -> Iterator[str]:
    """The URL of a fresh PostgreSQL database with our tables, dropped after the test."""
    url = postgres_server.create_database(postgres_model)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'vedette.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The test runs twice: on SQLite and on PostgreSQL."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
def any_store(store_url: str) -> Iterator[Store]:
    """An open store, on SQLite and on PostgreSQL."""
    store = open_store(store_url)
    yield store
    store.close()


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """An open store on SQLite, for what the database does not change."""
    opened = open_store(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded: a failure can be seen again."""
    return np.random.default_rng(20_260_101)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store and the configuration of a small bad day, for pages to show."""
    return make_shown(tmp_path_factory.mktemp("shown"))

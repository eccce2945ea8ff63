"""A server in the test's own process, on a store of its own."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from agent.config import Config, load_config
from agent.store import Store, open_store
from consumers.recorder import instruments
from consumers.server.access import keys_of
from consumers.server.app import build_app
from consumers.server.desk import Desk
from consumers.server.scoring import Scoring
from consumers.server.sinks import InboxSink

TOKENS: dict[str, Any] = {
    "looker": {"role": "read", "secret": "read-0123456789abcdef"},
    "sender": {"role": "ingest", "secret": "ingest-0123456789abcdef"},
    "keeper": {"role": "admin", "secret": "admin-0123456789abcdef"},
}


def bearer(name: str) -> dict[str, str]:
    """The header of one of TOKENS."""
    return {"Authorization": f"Bearer {TOKENS[name]['secret']}"}


def told(tmp_path: Path, **server: Any) -> Config:
    """A configuration on a SQLite file of the test."""
    return load_config(store={"url": f"sqlite:///{tmp_path}/v.db"}, server=server, models=False)


@contextmanager
def made(config: Config, store: Store, **desk: Any) -> Iterator[FastAPI]:
    """The application of a server on a store; its scorers never come."""
    tally, health = instruments(config)
    health.ready(True)
    given: dict[str, Any] = {"scoring": Scoring(config, Future())} | desk
    if "sink" not in given:
        given["sink"] = InboxSink(store, config.server)
    try:
        yield build_app(Desk(config, store, tally, health, **given), keys_of(config.server))
    finally:
        given["scoring"].close()
        given["sink"].close()


@contextmanager
def served(config: Config, **desk: Any) -> Iterator[TestClient]:
    """A client of a server on the configuration's store, which is made."""
    store = open_store(config.store.url.get_secret_value())
    try:
        with (
            made(config, store, **desk) as app,
            TestClient(app, base_url="http://localhost", follow_redirects=False) as client,
        ):
            yield client
    finally:
        store.close()

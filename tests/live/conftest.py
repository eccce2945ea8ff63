"""A store of a live test: on PostgreSQL, and closed whatever happens."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from agent.store import Store, open_store


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    """Open; a connection that is left open fails the next test."""
    with closing(open_store(postgres_url)) as opened:
        yield opened

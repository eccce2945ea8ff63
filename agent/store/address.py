"""The address of a database."""

from sqlalchemy import URL, exc
from sqlalchemy.engine import make_url

from agent.errors import BadConfig


def address_of(url: str) -> URL:
    """An address of SQLite or PostgreSQL; raises BadConfig for any other."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        elif parsed.get_backend_name() != "sqlite":
            raise BadConfig("store.url", "must be a sqlite: or postgresql: address")
    except (exc.ArgumentError, ValueError):
        raise BadConfig("store.url", "is not a database address") from None
    return parsed


def in_memory(parsed: URL) -> bool:
    """Whether it is a database that each thread would have for itself alone."""
    return parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:")

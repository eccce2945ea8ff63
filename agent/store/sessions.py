"""Sessions of browsers that somebody ended before their time; all servers on a store read them."""

import hashlib

from sqlalchemy import Column, Connection, Float, LargeBinary, Table, delete, select

from agent.store.tables import META
from agent.store.writes import insert_new

ended_sessions = Table(
    "ended_sessions",
    META,
    Column("key", LargeBinary(16), primary_key=True),  # a digest: what is kept opens nothing
    Column("until", Float, nullable=False),
)


def end(tx: Connection, session: str, until: float, now: float) -> None:
    """Enter a session that would last until then, and forget those that are over by themselves."""
    tx.execute(delete(ended_sessions).where(ended_sessions.c.until < now))
    insert_new(tx, ended_sessions, [{"key": _key(session), "until": until}])


def is_ended(tx: Connection, session: str) -> bool:
    """Whether a session was ended."""
    here = select(ended_sessions.c.key).where(ended_sessions.c.key == _key(session))
    return tx.execute(here).first() is not None


def _key(session: str) -> bytes:
    return hashlib.blake2b(session.encode(errors="surrogatepass"), digest_size=16).digest()

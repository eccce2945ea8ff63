"""The roles of docs/operations/security.md: who owns, who writes, who reads."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from agent.errors import StoreDown
from agent.store import Store, migrate_store, open_store, reads, retention
from agent.store.tables import META
from deploy.local.database import Database
from tests.road import InboxRoad, as_bytes, native

PAGE = Path(__file__).parents[1] / "docs/operations/security.md"
ROLES = ("owner", "writer", "reader")
SUMS = {"panes", "closing", "findings", "offsets", "panels", "migrations"}


@pytest.fixture
def urls(postgres_server: Database) -> Iterator[dict[str, str]]:
    """A database as the page makes it, by role."""
    url = postgres_server.create_database()
    by_role = {role: url.replace("postgres@", f"vedette_{role}@") for role in ROLES}
    before, after = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.S)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(before)
        migrate_store(by_role["owner"])
        connection.execute(after)
        yield by_role
        for role in ROLES:
            connection.execute(f"DROP OWNED BY vedette_{role} CASCADE")
            connection.execute(f"DROP ROLE vedette_{role}")
    postgres_server.drop_database(url)


def refused(store: Store, statement: str) -> bool:
    try:
        with store.transaction() as tx:
            tx.execute(text(statement))
    except StoreDown as error:
        return "InsufficientPrivilege" in str(error)
    return False


def test_who_writes_may_do_all_but_change_a_table(urls: dict[str, str]) -> None:
    with closing(open_store(urls["writer"], migrates=False)) as store:
        way = InboxRoad(store)
        way.inbox.append([*as_bytes(native(i) for i in range(20)), (1.0, b"no json")])
        way.drain()
        way.worker.finish("live")
        with store.transaction() as tx:
            retention.prune(tx, way.config, 4e9)
            assert reads.ledger(tx).terms["scored"] == 20
        assert refused(store, "CREATE TABLE more (n INTEGER)")
        assert refused(store, "DROP TABLE calls")
        assert refused(store, "ALTER TABLE calls ADD COLUMN more INTEGER")


def test_who_reads_sees_sums_and_no_text(urls: dict[str, str]) -> None:
    with closing(open_store(urls["reader"], writer=False)) as store:
        seen = {name for name in META.tables if not refused(store, f"SELECT * FROM {name}")}
        assert seen == SUMS
        assert refused(store, "DELETE FROM panes")

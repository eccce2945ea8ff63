"""The numbered migrations that make the tables."""

from collections.abc import Callable

from sqlalchemy import Column, Connection, String, Table, insert, inspect, select

from agent.store.tables import BY_PAIR, BY_START, BY_TIME, META

migrations = Table("migrations", META, Column("name", String(64), primary_key=True))


def m001_first_tables(connection: Connection) -> None:
    """Every table of the first release."""
    META.create_all(connection)


def m002_experiments(connection: Connection) -> None:
    """Runs of experiments, and the ways to calls and panes that they need."""
    META.create_all(connection)
    for index in (BY_TIME, BY_PAIR, BY_START):
        index.create(connection, checkfirst=True)


def m003_watches(connection: Connection) -> None:
    """What the watch knows, and findings."""
    META.create_all(connection)


def m005_baselines(connection: Connection) -> None:
    """What ranks are taken among, and decisions about baselines."""
    META.create_all(connection)


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    m001_first_tables,
    m002_experiments,
    m003_watches,
    m005_baselines,
)


def migrate(connection: Connection) -> None:
    """Apply, in order, what this database has not seen; each is recorded by its name."""
    migrations.create(connection, checkfirst=True)
    done = set(connection.scalars(select(migrations.c.name)))
    for migration in MIGRATIONS:
        if migration.__name__ not in done:
            migration(connection)
            connection.execute(insert(migrations).values(name=migration.__name__))


def has_tables(connection: Connection) -> bool:
    """Whether a database was ever used by Vedette."""
    return inspect(connection).has_table("migrations")

"""The numbered migrations, and which of them a database has seen."""

import json
import math
from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Connection, String, Table, insert, inspect, select, text

from agent.findings import Finding
from agent.store.audit import audit
from agent.store.evaluations import TABLES, evaluations
from agent.store.findings import row_of
from agent.store.judgements import judgements
from agent.store.sessions import ended_sessions
from agent.store.tables import BY_PAIR, BY_START, BY_TIME, META, findings
from agent.store.ticket_tables import tickets

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


def m004_findings_of_every_kind(connection: Connection) -> None:
    """One table for drift and all else; those of drift stay, with a shorter sentence."""
    if "kind" in {column["name"] for column in inspect(connection).get_columns("findings")}:
        return  # the first migration of a new database made it so
    kept = connection.execute(text("SELECT source, body, stored_at FROM findings")).all()
    findings.drop(connection)
    findings.create(connection)
    for source, body, stored_at in kept:
        row = row_of(source, _drift_of(json.loads(body)), stored_at)
        connection.execute(insert(findings).values(row))


_NAME = ("service", "model", "variant", "segment", "metric", "version", "view")
_NUMBERS = ("effect", "lower", "upper")


def _drift_of(held: dict[str, Any]) -> Finding:
    named = [(part, held.pop(part, "")) for part in _NAME]
    name = tuple(one for one in named if one[1] and one != ("view", "level"))
    state, began, n = (held.pop(part) for part in ("state", "began", "n"))
    numbers = {part: held.pop(part) for part in _NUMBERS}
    known = {part: math.nan if value is None else value for part, value in numbers.items()}
    known |= {"statistic": held.pop("log_statistic"), "threshold": held.pop("log_threshold")}
    said = f"{dict(name)['metric']} left its baseline"
    return Finding("drift", name, state, "warning", began, began, said, n, **known,
                   facts=tuple(held.items()))  # fmt: skip


def m005_baselines(connection: Connection) -> None:
    """What ranks are taken among, and decisions about baselines."""
    META.create_all(connection)


def m006_examples(connection: Connection) -> None:
    """The reservoir of example calls."""
    META.create_all(connection)


def m007_tickets(connection: Connection) -> None:
    """What candidates are asked and may cost, and how far pairs are made."""
    tickets.metadata.create_all(connection)


def m008_evaluations(connection: Connection) -> None:
    """Runs of suites."""
    META.create_all(connection, TABLES)


def m009_judgements(connection: Connection) -> None:
    """What judges said of stored calls."""
    META.create_all(connection, [judgements])


def m010_scorers_of_evaluations(connection: Connection) -> None:
    """What scored a run, and what asking its targets has cost."""
    META.create_all(connection, TABLES)
    _add(connection, evaluations.c.scorers)


def m011_audit(connection: Connection) -> None:
    """What people did by hand."""
    META.create_all(connection, [audit])


def m012_formats(connection: Connection) -> None:
    """As which format a record of the inbox was taken in."""
    if "format" not in {one["name"] for one in inspect(connection).get_columns("inbox")}:
        connection.execute(text("ALTER TABLE inbox ADD COLUMN format VARCHAR(16)"))


def m013_ended_sessions(connection: Connection) -> None:
    """Sessions of browsers that were ended before their time."""
    META.create_all(connection, [ended_sessions])


def m014_bytes_of_the_inbox(connection: Connection) -> None:
    """How many bytes wait in the inbox."""
    if "through" not in {one["name"] for one in inspect(connection).get_columns("inbox")}:
        connection.execute(text("ALTER TABLE inbox ADD COLUMN through BIGINT"))


def m015_weighing_of_evaluations(connection: Connection) -> None:
    """How the suite of a run weighed what was measured."""
    _add(connection, evaluations.c.weighing)


def _add(connection: Connection, column: Column[Any]) -> None:
    """A column that a later release gave to a table."""
    table = column.table.name
    if column.name not in {one["name"] for one in inspect(connection).get_columns(table)}:
        kind = column.type.compile(connection.dialect)
        connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column.name} {kind}"))


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    m001_first_tables,
    m002_experiments,
    m003_watches,
    m004_findings_of_every_kind,
    m005_baselines,
    m006_examples,
    m007_tickets,
    m008_evaluations,
    m009_judgements,
    m010_scorers_of_evaluations,
    m011_audit,
    m012_formats,
    m013_ended_sessions,
    m014_bytes_of_the_inbox,
    m015_weighing_of_evaluations,
)


def migrate(connection: Connection) -> list[str]:
    """Apply, in order, what this database has not seen; each is recorded by its name."""
    migrations.create(connection, checkfirst=True)
    missing = unseen(connection) or []
    for migration in MIGRATIONS:
        if migration.__name__ in missing:
            migration(connection)
            connection.execute(insert(migrations).values(name=migration.__name__))
    return missing


def unseen(connection: Connection) -> list[str] | None:
    """What a database has not seen, in order; None where Vedette never used it."""
    if not inspect(connection).has_table("migrations"):
        return None
    done = set(connection.scalars(select(migrations.c.name)))
    return [one.__name__ for one in MIGRATIONS if one.__name__ not in done]

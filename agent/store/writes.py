"""What a flush writes; every function takes the open transaction."""

import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    Integer,
    LargeBinary,
    Table,
    and_,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from agent.panes import HOUR_S, Group, PackedRow, Row, RowKey
from agent.record import DeadLetter
from agent.store.tables import (
    attempts,
    calls,
    closing,
    dead_letters,
    inbox,
    offsets,
    open_panes,
    panes,
    seen,
    texts,
)

_INBOX_LOCK = 7_364_202  # any number but that of the migrations, the same in every process
_CHUNK = 500  # SQLite takes at most 32,766 variables a statement; 500 keys plan well on both


@dataclass(frozen=True, slots=True)
class Position:
    """Where a source partition stands; `next` is -1 before anything was read."""

    topic: str
    partition: int
    source: str
    next: int
    topic_id: str | None = None
    read_through: float | None = None


# An id that comes back after `seen_days` counts again, while its row may still be kept.
_KEEP = "ON CONFLICT (key) DO NOTHING"


def insert_rows(
    tx: Connection, table: Table, rows: Sequence[tuple[Any, ...]], clash: str = ""
) -> None:
    """Insert rows given in the table's column order, in one statement."""
    if not rows:
        return
    names = [column.name for column in table.columns if column.name != "id" or table is calls]
    if tx.dialect.name == "sqlite":
        marks = ",".join("?" * len(names))
        columns = ",".join(f'"{name}"' for name in names)
        tx.exec_driver_sql(
            f"INSERT INTO {table.name} ({columns}) VALUES ({marks}) {clash}", list(rows)
        )
        return
    # One array a column: psycopg sends 2,000 rows as one statement, 3x faster than executemany.
    tx.execute(text(f"{_unnest(table, names)} {clash}"), _arrays(names, rows))


def _unnest(table: Table, names: Sequence[str]) -> str:
    arrays = ",".join(f"CAST(:{name} AS {_sql_type(table, name)}[])" for name in names)
    columns = ",".join(f'"{name}"' for name in names)
    return f"INSERT INTO {table.name} ({columns}) SELECT * FROM unnest({arrays})"


def _sql_type(table: Table, name: str) -> str:
    kind = table.columns[name].type
    for cls, word in ((LargeBinary, "bytea"), (BigInteger, "bigint"), (Integer, "integer")):
        if isinstance(kind, cls):
            return word
    return "double precision" if isinstance(kind, Float) else "text"


def _arrays(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def inserting(tx: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """The INSERT of this database, which can say what is to be done about a row that is there."""
    return sqlite.insert(table) if tx.dialect.name == "sqlite" else postgresql.insert(table)


def upsert(tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or overwrite those whose primary key is there."""
    if not rows:
        return
    statement = inserting(tx, table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    tx.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), list(rows))


def insert_new(tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Insert rows, a thousand a statement; one whose primary key is there stays as it is. The keys
    of the others."""
    if not rows:
        return []
    statement = inserting(tx, table).on_conflict_do_nothing().returning(*table.primary_key)
    return list(tx.execute(statement, list(rows)))


def move_on(
    tx: Connection, table: Table, key: Mapping[str, Any], version: int, values: Mapping[str, Any]
) -> bool:
    """Store a row that stood at `version` (0: nowhere) when it was read; whether it still did."""
    if version == 0:
        tx.execute(insert(table).values({**key, **values, "version": 1}))
        return True
    here = [table.c[name] == value for name, value in {**key, "version": version}.items()]
    changed = update(table).where(*here).values({**values, "version": version + 1})
    return tx.execute(changed).rowcount == 1


def insert_seen(
    tx: Connection, events: Sequence[tuple[bytes, int]], now: float
) -> tuple[set[bytes], set[bytes]]:
    """Enter events (key, content hash): those that are new, and those seen with other content.

    Keys are locked in sorted order, so that two transactions that share some cannot deadlock.
    """
    rows = [(key, content, now) for key, content in sorted(events)]
    names = ("key", "content", "stored_at")
    if tx.dialect.name == "sqlite":
        known = _known(tx, [row[0] for row in rows])
        new = {row[0] for row in rows if row[0] not in known}
        insert_rows(tx, seen, [row for row in rows if row[0] in new])
    elif rows:
        statement = f"{_unnest(seen, names)} ORDER BY 1 ON CONFLICT DO NOTHING RETURNING key"
        new = {bytes(key) for key in tx.scalars(text(statement), _arrays(names, rows))}
        known = _known(tx, [row[0] for row in rows if row[0] not in new])
    else:
        return set(), set()
    return new, {key for key, content, _ in rows if known.get(key, content) != content}


def _known(tx: Connection, keys: Sequence[bytes]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for i in range(0, len(keys), _CHUNK):
        query = select(seen.c.key, seen.c.content).where(seen.c.key.in_(keys[i : i + _CHUNK]))
        found |= {bytes(key): content for key, content in tx.execute(query)}
    return found


def insert_calls(tx: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Enter call rows, in the order of the table's columns; one that stands there stays."""
    insert_rows(tx, calls, rows, _KEEP)


def insert_texts(tx: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Enter redacted texts: (key, prompt, response, stored_at); one that stands there stays."""
    insert_rows(tx, texts, rows, _KEEP)


def closed_through(tx: Connection, sources: Iterable[str]) -> dict[str, float]:
    """How far each source is closed, locked against the closer until this transaction ends."""
    query = select(closing.c.source, closing.c.closed_through).where(
        closing.c.source.in_(sorted(set(sources)))
    )
    return {row.source: row.closed_through for row in tx.execute(query.with_for_update(read=True))}


def put_panes(tx: Connection, position: Position, rows: Sequence[PackedRow]) -> None:
    """Overwrite this partition's open pane rows; their owner is the only writer."""
    here = {"topic": position.topic, "partition": position.partition, "source": position.source}
    upsert(
        tx,
        open_panes,
        [
            {"pane": key.pane, **key.group._asdict(), **here, "calls": calls, "summaries": blob}
            for key, calls, blob in rows
        ],
    )


def add_late(
    tx: Connection, source: str, rows: Sequence[tuple[RowKey, Row]], groups_max: int, now: float
) -> None:
    """Add to the late tally, kept by the hour; a group beyond the cap of its hour is `other`."""
    hours = sorted({key.pane for key, _ in rows})
    here = and_(panes.c.source == source, panes.c.late == 1, panes.c.pane.in_(hours))
    names = (panes.c.pane, *(panes.c[name] for name in Group._fields))
    known = {RowKey(pane, Group(*group)) for pane, *group in tx.execute(select(*names).where(here))}
    added: dict[RowKey, Row] = {}
    sizes = Counter(key.pane for key in known)
    for key, row in rows:
        if key not in known and sizes[key.pane] >= groups_max:
            key = key._replace(group=key.group.beyond)
        sizes[key.pane] += key not in known
        known.add(key)
        added.setdefault(key, Row()).merge(row)
    same = {"level_s": HOUR_S, "source": source, "late": 1, "closed_at": now}
    where = {key: {**same, "pane": key.pane, **key.group._asdict()} for key in sorted(added)}
    empty = {"calls": 0, "summaries": Row().to_bytes()}
    insert_new(tx, panes, [one | empty for one in where.values()])
    mine = and_(here, panes.c.model.in_({key.group.model for key in added}))
    held = select(*names, panes.c.summaries).where(mine).order_by(*names).with_for_update()
    for pane, *group, blob in tx.execute(held).all():
        if (key := RowKey(pane, Group(*group))) in added:
            added[key] = Row.from_bytes(bytes(blob)).merge(added[key])
    sums = {key: {"calls": r.calls.total(), "summaries": r.to_bytes()} for key, r in added.items()}
    upsert(tx, panes, [one | sums[key] for key, one in where.items()])


def load_panes(tx: Connection, topic: str, partition: int) -> list[tuple[RowKey, bytes]]:
    """The open pane rows of one partition."""
    query = select(open_panes).where(
        open_panes.c.topic == topic, open_panes.c.partition == partition
    )
    return [
        (
            RowKey(row.pane, Group(row.service, row.model, row.variant, row.segment)),
            bytes(row.summaries),
        )
        for row in tx.execute(query)
    ]


def advance(
    tx: Connection, position: Position, to: int, through: float | None, ledger: Mapping[str, int]
) -> bool:
    """Move a partition's position on, if it still stands where we think; False means fenced."""
    changed: dict[str, Any] = {name: offsets.c[name] + n for name, n in ledger.items() if n}
    changed["next"] = to
    if through is not None:
        changed["read_through"] = max(through, position.read_through or through)
    statement = (
        update(offsets)
        .where(offsets.c.topic == position.topic, offsets.c.partition == position.partition)
        .where(offsets.c.next == position.next)
        .values(changed)
    )
    return tx.execute(statement).rowcount == 1


def clear_attempt(tx: Connection, topic: str, partition: int) -> None:
    """The work on this partition went well: forget the attempt."""
    tx.execute(delete(attempts).where(attempts.c.topic == topic, attempts.c.partition == partition))


def insert_dead_letters(tx: Connection, letters: Sequence[DeadLetter], now: float) -> None:
    """Set records aside, with their original bytes."""
    rows = [
        (
            *(letter.topic, letter.partition, letter.offset),
            letter.offset if letter.last_offset is None else letter.last_offset,
            *(letter.reason[:64], letter.detail[:400], letter.arrival, letter.key, letter.value),
            *(pack_headers(letter.headers), letter.attempts, now, None, None),
        )
        for letter in letters
    ]
    insert_rows(tx, dead_letters, rows)


def pack_headers(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """Headers as length-prefixed bytes."""
    parts = [part for name, value in headers for part in (name.encode("utf-8", "replace"), value)]
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def unpack_headers(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """Read what `pack_headers` wrote."""
    parts, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        parts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return tuple(
        (name.decode(), value) for name, value in zip(parts[::2], parts[1::2], strict=True)
    )


def append_inbox(tx: Connection, records: Sequence[tuple[float, bytes, str | None]]) -> None:
    """Take raw records in: (arrival, value, format); None where the configuration says which."""
    if tx.dialect.name == "postgresql":
        # A lower id that were committed after a higher one would never be read.
        tx.execute(text(f"SELECT pg_advisory_xact_lock({_INBOX_LOCK})"))
    last = tx.scalar(select(inbox.c.through).order_by(inbox.c.id.desc()).limit(1)) or 0
    through = accumulate((len(value) for _, value, _ in records), initial=int(last))
    rows = [(*record, end) for record, end in zip(records, islice(through, 1, None), strict=True)]
    insert_rows(tx, inbox, rows)

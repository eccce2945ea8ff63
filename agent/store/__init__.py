"""SQL: SQLite for one process, PostgreSQL for many workers; the only home of SQLAlchemy."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, exc, text

from agent.errors import BadConfig, BadRecord, StoreDown
from agent.store.address import address_of, in_memory
from agent.store.journal import write_ahead
from agent.store.migrations import migrate, unseen

# A worker that is stopped inside its transaction must not hold its rows for longer than this.
_IDLE_TRANSACTION_S = 10
_LOCK_S = 8
_STATEMENT_S = 10
# The server ends a statement by itself; one that has stopped answering is hung up on.
_ANSWER_S = 12
# What a connection's next transaction is: one that writes nothing, one that outlives a power cut.
_READS, _DURABLE = "vedette_reads", "vedette_durable"
_MIGRATION_LOCK = 7_364_201  # any number, the same in every worker
# What PostgreSQL says to who may not, and of tables and columns that are not there.
_MAY_NOT = "42501"
_REFUSALS = (_MAY_NOT, "42P01", "42703")


Transaction = Connection


class _Patient(psycopg.Connection[Any]):
    """A connection that waits for an answer no longer than `_ANSWER_S`.

    The kernel's timeouts see a peer that is gone, not one whose host or proxy still acknowledges.
    """

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, _ANSWER_S if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.pgconn.finish()  # what it is still asked must not meet the next question
            raise


class Busy(BadConfig):
    """Another process writes to this SQLite file."""

    def __init__(self, name: str) -> None:
        super().__init__("store.url", f"another process is writing to {name}")


class Store:
    """One database; every change goes through `transaction`."""

    def __init__(
        self, engine: Engine, lock: IO[bytes] | None = None, file: str | None = None
    ) -> None:
        self._engine = engine
        self._lock = lock
        # Of SQLite the file that is written to, and which one it was.
        self._file, self._inode = file, 0
        self.sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        A `durable` one is on the disk when the block has ended: what it holds is nowhere else.
        Raises StoreDown when the database is away, refuses to wait or found a deadlock (all of
        them worth another try), and BadRecord when a value cannot be stored.
        """
        with translated():
            connection = self._engine.connect()
            try:
                connection.info[_DURABLE] = durable
                with connection.begin():
                    yield connection
                    if durable:
                        self.see_file()
            finally:
                connection.close()

    def see_file(self) -> None:
        """Raise StoreDown where what is written would go to a file that nobody finds again."""
        if self._file is None:
            return
        try:
            inode = os.stat(self._file).st_ino
        except OSError:
            inode = -1
        self._inode = self._inode or inode
        if inode != self._inode:
            raise StoreDown("database: its file was taken away; start this process again", 30.0)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One moment of the database, read without keeping who writes waiting.

        Raises StoreDown as `transaction` does.
        """
        with translated():
            connection = self._engine.connect()
            try:
                connection.info[_READS] = True
                with connection.begin():
                    if not self.sqlite:
                        connection.exec_driver_sql(
                            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
                        )
                    yield connection
            finally:
                connection.info.pop(_READS, None)
                connection.close()

    def close(self) -> None:
        """Close the connections and, on SQLite, let another process write."""
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
        raise StoreDown(f"database: {_plainly(error.orig)}") from error
    except (exc.DataError, UnicodeEncodeError) as error:
        raise BadRecord("unstorable", type(error).__name__) from error
    except exc.TimeoutError as error:
        raise StoreDown("database: all connections are in use") from error
    except exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _REFUSALS:
            raise StoreDown(f"database: {_plainly(error.orig)}") from error
        if error.connection_invalidated:
            raise StoreDown("database: connection lost") from error
        if type(error) is exc.DatabaseError:  # a file that is no database, or is not whole
            raise StoreDown(f"database: {_plainly(error.orig)}") from error
        raise


def _plainly(error: BaseException | None) -> str:
    """What SQLite says (it names no secret), the class of what PostgreSQL says, or silence."""
    if isinstance(error, sqlite3.Error):
        return str(error)
    if getattr(error, "sqlstate", None) is None:
        # libpq has no code for who is not let in; what it says names user and database, no secret.
        said = str(error).partition("FATAL:")[2].strip().splitlines()
        return f"refused ({said[0]})" if said else "does not answer"
    return f"refused ({type(error).__name__})"


def open_store(url: str, *, writer: bool = True, migrates: bool = True) -> Store:
    """Open a database; a `writer` that `migrates` makes or migrates its tables.

    Raises BadConfig for a bad address, when another process writes to the same SQLite file, or to
    a reader where tables are missing; StoreDown when the server is away, or where a writer needs
    tables that it does not or may not make: they may come.
    """
    store = reach(url, lock=writer)
    try:
        if writer and migrates:
            _migrated(store)
        elif lacking := lack(store):
            raise StoreDown(lacking) if writer else BadConfig("store.url", lacking)
        store.see_file()
    except BaseException:
        store.close()
        raise
    return store


def migrate_store(url: str) -> list[str]:
    """Make or migrate the tables, beside whoever writes or migrates; what was run, by name.

    Raises BadConfig for a bad address, and StoreDown when the server is away or refuses.
    """
    store = reach(url)
    try:
        return _migrated(store)
    finally:
        store.close()


def reach(url: str, *, lock: bool = False) -> Store:
    """A database that may be away and may have no tables; with `lock`, who alone writes to a file.

    Raises BadConfig for a bad address, or when another process writes to the same SQLite file.
    """
    parsed = address_of(url)
    if parsed.get_backend_name() != "sqlite":
        return Store(_postgres_engine(parsed))
    held = _sqlite_lock(parsed.database or "") if lock and not in_memory(parsed) else None
    file = parsed.database if held is not None else None
    return Store(_sqlite_engine(str(parsed)), held, file)


def lack(store: Store) -> str:
    """What the tables lack and what mends it, in one line; nothing where they are current.

    Raises StoreDown when the database is away.
    """
    with store.reading() as tx:
        missing = unseen(tx)
    if missing is None:
        return "tables are missing: vedette migrate"
    return f"tables are older than this version: vedette migrate ({missing[0]})" if missing else ""


def _migrated(store: Store) -> list[str]:
    with store.transaction() as tx:
        if not store.sqlite:
            tx.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        try:
            return migrate(tx)
        except exc.ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) != _MAY_NOT:
                raise
            problem = "tables are missing or older: vedette migrate, by a role that may make them"
            raise StoreDown(problem) from None


def _sqlite_lock(database: str) -> IO[bytes]:
    try:
        lock = open(f"{database}.lock", "wb")  # noqa: SIM115 - held until the store closes
    except OSError as error:
        raise BadConfig("store.url", f"cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        name = os.path.basename(database)
        raise Busy(name) from None
    return lock


def _sqlite_engine(url: str) -> Engine:
    arguments = {"check_same_thread": False, "timeout": _LOCK_S}
    engine = create_engine(url, connect_args=arguments, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        write_ahead(connection, _LOCK_S)
        connection.execute("PRAGMA secure_delete=ON")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        # NORMAL loses no consistency at a power cut: offset and effects are one transaction.
        durable = connection.info.pop(_DURABLE, False)
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        # Who only reads must not wait for who writes, nor the other way round.
        reads = connection.info.get(_READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _postgres_engine(url: Any) -> Engine:
    options = (
        f"{url.query.get('options', '')} -c statement_timeout={_STATEMENT_S}s"
        f" -c lock_timeout={_LOCK_S}s -c idle_in_transaction_session_timeout={_IDLE_TRANSACTION_S}s"
    )
    keepalive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    arguments = {"options": options, "connect_timeout": 5, "tcp_user_timeout": 20_000, **keepalive}
    # Parameters are ids and texts: they must not get into an error's message.
    engine = create_engine(
        url, connect_args=arguments, pool_pre_ping=True, pool_size=2, hide_parameters=True
    )

    @event.listens_for(engine, "do_connect")
    def _on_connect(_: Any, __: Any, args: Any, kwargs: Any) -> _Patient:
        try:
            return _Patient.connect(*args, **kwargs)
        except psycopg.ProgrammingError as error:
            raise BadConfig("store.url", " ".join(str(error).split())) from None

    return engine

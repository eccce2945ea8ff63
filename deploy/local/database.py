"""A private PostgreSQL cluster, from the binaries on this machine or in a container."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.local import containers
from deploy.local.child import Child, Lasting, Server, Unavailable, await_ready, free_port, remove

# For tests of logic: a crash of the process loses nothing either way, only one of the machine.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Database(Lasting):
    """One cluster on 127.0.0.1 that keeps its port and its data over `crash` and `start`.

    `durable` keeps fsync and synchronous commits, for tests of what survives.
    """

    def __init__(self, durable: bool = False, port: int | None = None) -> None:
        self._bin = find_postgres()
        self._settings = () if durable else FAST
        self._user = _server_user() if self._bin else None
        self.port = port or free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="vedette-postgres-"))
        if self._user:
            shutil.chown(self._folder, self._user, self._user)

    def start(self) -> None:
        """Start it and return once it answers; also after `stop` and `crash`."""
        if self._server is None:
            host = "127.0.0.1" if self._bin else "*"
            settings = (
                f"listen_addresses={host}",
                f"port={self.port}",
                f"unix_socket_directories={self._folder}",
                *self._settings,
            )
            options = [word for setting in settings for word in ("-c", setting)]
            self._server = self._spawn(options)
            await_ready(self._server, self._answers, "PostgreSQL did not start")

    def stop(self) -> None:
        """End it in good order; open sessions are cut."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End it at once, without a checkpoint: the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        """Crash it and start it again."""
        self.crash()
        self.start()

    def create_database(self, like: str | None = None) -> str:
        """A fresh database, empty or like the one of another URL; returns its SQLAlchemy URL."""
        name = f"test_{uuid.uuid4().hex}"
        wish = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if like is not None:
            wish += sql.SQL(" TEMPLATE {}").format(sql.Identifier(like.rsplit("/", 1)[1]))
        self._execute(wish)
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def create_owner(self, user: str, database: str) -> None:
        """A user that may log in, and a database of theirs."""
        who, what = sql.Identifier(user), sql.Identifier(database)
        self._execute(sql.SQL("CREATE ROLE {} LOGIN").format(who))
        self._execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(what, who))

    def drop_database(self, url: str) -> None:
        """Remove a database of `create_database`, cutting the sessions that are left in it."""
        name = sql.Identifier(url.rsplit("/", 1)[1])
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self.stop()
        remove(self._folder)

    def _spawn(self, options: Sequence[str]) -> Server:
        if self._bin is None:
            return containers.spawn_postgres(self._folder, (self.port,), options)
        data = self._folder / "data"
        if not data.exists():
            self._initialise(self._bin / "initdb", data)
        command = (str(self._bin / "postgres"), "-D", str(data), *options)
        return Child(command, self._folder, self._user)

    def _initialise(self, initdb: Path, data: Path) -> None:
        groups: list[int] | None = [] if self._user else None
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run(
            (str(initdb), "-D", str(data), *options),
            cwd=self._folder,
            check=True,
            capture_output=True,
            timeout=60,
            user=self._user,
            group=self._user,
            extra_groups=groups,
        )

    def _connect(self, within_s: int) -> psycopg.Connection:
        where = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
        return psycopg.connect(where, autocommit=True, connect_timeout=within_s)

    def _answers(self) -> bool:
        try:
            self._connect(2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _execute(self, statement: sql.Composed) -> None:
        with self._connect(30) as connection:
            connection.execute(statement)


def find_postgres() -> Path | None:
    """The folder of the newest server binaries, None for a container; Unavailable without both."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1]
    if on_path:
        return Path(on_path).resolve().parent
    if containers.engine_runs():
        return None
    raise Unavailable("PostgreSQL needs its server binaries (initdb) or a container engine")


def _server_user() -> str | None:
    """Who runs the server: PostgreSQL refuses root, so root runs it as `postgres`."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise Unavailable("PostgreSQL refuses root, and there is no user `postgres`") from None

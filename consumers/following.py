"""A log that grows: the lines that a service beside us writes come to the inbox as records."""

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import BinaryIO

from agent.config import Config
from agent.errors import BadConfig, StoreDown
from agent.store import Store, positions
from consumers.background import Background
from consumers.files import LINE_BYTES
from consumers.inbox import Inbox
from consumers.service import arrivals

_log = logging.getLogger("vedette.server")

_TICK_S = 0.25
# Records of one commit, and how many may wait to be scored before more are read.
_BATCH, _AHEAD = 250, 2000
# A file is known again by its first bytes: numbers of inodes are soon used again.
_HEAD_BYTES = 256


class Log:
    """The lines of a file as they are written, through rotation and truncation.

    How many bytes of it were read is kept beside it in `NAME.read`, with a digest of the first of
    them; there it goes on.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._mark = path, path.with_name(f"{path.name}.read")
        self._file: BinaryIO | None = None
        self._begin = self._kept()
        self._keep(*self._begin)  # what cannot be kept is told at the start

    def lines(self, most: int) -> list[bytes]:
        """The next whole lines, none where there are none yet; raises OSError."""
        found: list[bytes] = []
        if self._file is None and not self._open():
            return found
        assert self._file is not None
        while len(found) < most:
            before, line = self._file.tell(), self._file.readline(LINE_BYTES)
            if line.endswith(b"\n") or len(line) == LINE_BYTES:
                found.append(line.strip(b" \t\r\n"))
                continue
            self._file.seek(before)  # the rest of it is still being written
            if not found and self._was_replaced(before):
                if line:  # as it stays: nobody writes the rest
                    found.append(self._file.readline(LINE_BYTES))
                else:
                    self.close()
            break
        return [line for line in found if line]

    def keep(self) -> None:
        """What `lines` gave is taken in, and not read again."""
        if self._file is not None:
            read = self._file.tell()
            self._keep(read, _digest(self._file, read))

    def back(self) -> None:
        """What `lines` gave last was not taken in, and comes again."""
        self.close()

    def close(self) -> None:
        """Open it again at the next look, where it was kept."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            return False
        read, digest = self._begin
        # Another file, or one that was emptied, is read from its start.
        same = os.fstat(self._file.fileno()).st_size >= read and _digest(self._file, read) == digest
        self._file.seek(read if same else 0)
        return True

    def _was_replaced(self, read: int) -> bool:
        assert self._file is not None
        try:
            now = self._path.stat()
        except FileNotFoundError:  # between a rename and the next file
            return False
        return now.st_ino != os.fstat(self._file.fileno()).st_ino or now.st_size < read

    def _kept(self) -> tuple[int, str]:
        try:
            read, digest = self._mark.read_text().split()
            return int(read), digest
        except FileNotFoundError:
            return 0, hashlib.sha256().hexdigest()
        except (OSError, ValueError) as error:
            why = f"cannot be read ({type(error).__name__})"
            raise BadConfig(str(self._mark), why) from None

    def _keep(self, read: int, digest: str) -> None:
        fresh = self._mark.with_name(f"{self._mark.name}.new")
        try:
            fresh.write_text(f"{read} {digest}\n")
            fresh.replace(self._mark)
        except OSError as error:
            raise BadConfig(str(self._mark), f"cannot be written ({error.strerror})") from None
        self._begin = read, digest


def _digest(file: BinaryIO, read: int) -> str:
    """Of the first bytes of what was read; leaves the file where it was."""
    at = file.tell()
    file.seek(0)
    head = file.read(min(read, _HEAD_BYTES))
    file.seek(at)
    return hashlib.sha256(head).hexdigest()


class Following:
    """Gives an inbox what a log says."""

    def __init__(self, config: Config, store: Store, log: Log) -> None:
        self._config, self._store, self._source = config, store, log
        self._inbox, self._why = Inbox(store), ""

    def run(self, stopped: Event) -> None:
        """Follow until the event is set."""
        with closing(self._source):
            while not stopped.wait(_TICK_S):
                while not stopped.is_set() and self._took(stopped):
                    pass

    def _took(self, stopped: Event) -> bool:
        """Whether there was something, and room for it."""
        try:
            lines = [] if self._is_full() else self._source.lines(_BATCH)
            if lines:
                self._inbox.append(list(arrivals(lines, self._config)))
                self._source.keep()
        except (StoreDown, OSError, BadConfig) as error:
            if str(error) != self._why:
                _log.warning("the log waits: %s", error)
            self._why, lines = str(error), []
            self._source.back()
            stopped.wait(1.0)
        else:
            self._why = ""
        return bool(lines)

    def _is_full(self) -> bool:
        with self._store.reading() as tx:
            waits = positions.inbox_waits(tx)
        return waits.records >= _AHEAD or waits.size_bytes >= self._config.server.inbox_bytes


def follow(config: Config, path: Path) -> Callable[[Store], Background]:
    """What makes the inbox of a server be fed by a log; raises BadConfig where it has none."""
    if config.server.ingest != "inbox":
        raise BadConfig("--follow", f"wants server.ingest: inbox, not {config.server.ingest}")
    if path.exists() and not path.is_file():
        raise BadConfig("--follow", f"{path} is a folder or a device, and no file")
    log = Log(path)

    def feed(store: Store) -> Background:
        return Background("following", Following(config, store, log).run)

    return feed

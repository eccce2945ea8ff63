"""A server process that never outlives the tests, however they end."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self


class Unavailable(Exception):
    """A server that cannot be had on this machine; the message is the sentence for the skip."""


class DidNotStart(Exception):
    """A server that should have started; the message ends with the tail of its log."""


class Server(Protocol):
    """A started server, a process here or in a container."""

    def send(self, number: signal.Signals) -> None: ...

    def end(self, number: signal.Signals, timeout_s: float = 20.0) -> None: ...

    def exit_code(self) -> int | None: ...

    def log_tail(self) -> str: ...


class Child:
    """A started process, signalled by its own pid only.

    A shell waits on a pipe that only this process holds: when this process ends without
    `close`, even by kill -9, the pipe ends and the shell kills the server and removes `folder`.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, user: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._log = folder / "log"
        with self._log.open("ab") as log:
            # Without `user` it stays what it is; the groups of root go with root.
            groups: list[int] | None = [] if user else None
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                group=user,
                extra_groups=groups,
                env=environment,
                start_new_session=True,
            )
        script = 'read -r word && exit; kill -KILL "$0" 2>/dev/null; sleep 1; rm -rf "$1"'
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", script, str(self.pid), str(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Send a signal and return at once."""
        self._process.send_signal(number)

    def end(self, number: signal.Signals, timeout_s: float = 20.0) -> None:
        """Send a signal and wait for the exit; kill -9 after the time-out."""
        self._process.send_signal(number)
        self.wait(timeout_s)

    def wait(self, timeout_s: float = 20.0) -> None:
        """Wait for the exit; kill -9 after the time-out."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._watch.communicate(b"done\n")

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


class Lasting:
    """What keeps its ports and its data over ends and starts of its server."""

    _server: Server | None = None

    def start(self) -> None:
        """Start it and return once it answers; also after it was ended."""
        raise NotImplementedError

    def pause(self) -> None:
        """Freeze it: whoever was let in stays, nobody else is answered."""
        self._running().send(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._running().send(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def _end(self, number: signal.Signals) -> None:
        self._running().end(number)
        self._server = None

    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        return self._server


def await_ready(server: Server, ready: Callable[[], bool], what: str) -> None:
    """Return once `ready()` holds; raise DidNotStart when the server ends or time is up."""
    until = time.monotonic() + 60.0
    while not ready():
        code = server.exit_code()
        if code is not None or time.monotonic() > until:
            tail = server.log_tail()
            server.end(signal.SIGKILL)
            raise DidNotStart(f"{what}, exit code {code}, its log ends:\n{tail}")
        time.sleep(0.02)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def remove(folder: Path) -> None:
    """Remove the folder of a server that has ended; leaves nothing behind and never raises."""
    shutil.rmtree(folder, ignore_errors=True)

"""A command as it runs in a container: first process, another user, and a read-only root."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from deploy.image import DOCKERFILE, stages_of
from deploy.local.child import Unavailable

ROOT = Path(__file__).parents[1]
USER = 10001
_MAIN = "from consumers.cli import main; main()"
# $1 is all that may be written to; it is /mnt, since folders above it may be closed to others.
# $2, where it is one, is such a folder in which the interpreter $3 lies.
_SCRIPT = """set -e
mount --bind "$1" /mnt
if [ -n "$2" ]; then
    mkdir /mnt/python && mount --bind "$3" /mnt/python
    mount -t tmpfs -o mode=755 none "$2"
    mkdir -p "$3" && mount --move /mnt/python "$3" && rmdir /mnt/python
fi
mount -o remount,bind,ro /
cd /mnt && shift 3
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all "$@"
"""
_SPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


@cache
def check() -> None:
    """Raise Unavailable where this machine lets nobody make name spaces."""
    try:
        tried = subprocess.run(
            [*_SPACES, "mount", "-o", "remount,bind,ro", "/"], capture_output=True
        )
    except OSError as error:
        raise Unavailable(f"no confinement: {error}") from None
    if tried.returncode:
        raise Unavailable(f"no confinement: {tried.stderr.decode().strip()}")


class Confined:
    """A started command of Vedette that may write to its folder alone."""

    def __init__(self, folder: Path, *words: str) -> None:
        python = Path(sys.base_prefix)
        (folder / "tmp").mkdir()
        for one in (folder, *folder.iterdir()):
            os.chown(one, USER, USER)
        hidden = next((str(one) for one in python.parents if not one.stat().st_mode & 1), "")
        command = ["sh", "-c", _SCRIPT, "sh", str(folder), hidden, str(python)]
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_SPACES, *command, sys.executable, "-c", _MAIN, *words],
                env=_told(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def said(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors="replace")

    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def stop(self, timeout_s: float) -> int:
        """Send SIGTERM as a container engine does; the exit code, or TimeoutExpired."""
        self._signal(signal.SIGTERM)
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """End what is left; nothing outlives its first process."""
        # By itself: who became another user no longer dies with its parent.
        self._signal(signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def _signal(self, what: signal.Signals) -> None:
        """To the first process, if it is there."""
        if self.code() is None:
            own = self._process.pid
            first = Path(f"/proc/{own}/task/{own}/children").read_text().split()
            for pid in first:
                os.kill(int(pid), what)

    def await_words(self, words: str) -> None:
        """Return once it has said this."""
        until = time.monotonic() + 60
        while words not in self.said():
            assert self.code() is None and time.monotonic() < until, self.said()
            time.sleep(0.05)


def _told() -> Mapping[str, str]:
    """The environment of the image, its /tmp being a folder beside the data."""
    told = {"PYTHONPATH": str(ROOT)}
    for step in stages_of(DOCKERFILE.read_text(encoding="utf-8"))["runtime"].steps:
        if step.word == "ENV":
            told |= dict(one.split("=", 1) for one in step.said.split())
    told["PATH"] = os.environ["PATH"]
    return {name: "/mnt/tmp" if value == "/tmp" else value for name, value in told.items()}


@contextmanager
def confined(folder: Path, *words: str) -> Iterator[Confined]:
    """A command that ends with the block."""
    made = Confined(folder, *words)
    try:
        yield made
    finally:
        made.kill()

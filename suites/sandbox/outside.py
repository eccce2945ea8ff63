"""A sandbox as its user sees it: a program in parts goes in, what became of it comes out."""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

from agent.errors import BadConfig

_ROOT = Path(__file__).parents[2]
_START = "import sys; sys.path.insert(0, {!r}); from suites.sandbox.inside import main; main()"
# What starting an interpreter and building the walls may take on a machine that is busy.
_START_S = 60.0
_OUTPUT_CHARS = 2000
_REFUSED = (
    "generated code is not run: what this machine builds around it leaves {} open;"
    " true runs it all the same"
)
_UNBUILT = {
    "open": ["everything"], "walls": [], "ended": "signal", "wall_s": 0.0, "cpu_s": 0.0
}  # fmt: skip
Ended = Literal["exit", "time", "signal"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a program may use: seconds by the clock and of CPU, bytes of memory, of each file
    and of its output, of all its files together, and threads."""

    wall_s: float = 10.0
    cpu_s: int = 10
    memory_bytes: int = 512 << 20
    file_bytes: int = 4 << 20
    files_bytes: int = 32 << 20
    threads: int = 32

    def resources(self) -> dict[str, int]:
        """By their names in `resource`."""
        return {
            "RLIMIT_CPU": self.cpu_s,
            "RLIMIT_AS": self.memory_bytes,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_NOFILE": 64,
            "RLIMIT_CORE": 0,
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which walls are to be built; `weak` runs a program even where they leave something open."""

    namespaces: bool = True
    landlock: bool = True
    seccomp: bool = True
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a program.

    `compiles` is of its first part; `passed` is that all parts ran to their end and no test case
    failed. `error` says the part and what it raised; `open` is what the walls left open, and
    then nothing ran unless weak walls were asked for.
    """

    ended: Ended
    passed: bool
    compiles: bool
    error: str | None
    output: str
    wall_s: float
    cpu_s: float
    open: tuple[str, ...]
    walls: tuple[str, ...]


def run(
    parts: Sequence[tuple[str, str]], limits: Limits | None = None, walls: Wanted | None = None
) -> Ran:
    """Run the parts (name, text) of a program after each other in one namespace.

    Raises BadConfig where the walls cannot be built and weak ones were not asked for.
    """
    limits, walls = limits or Limits(), walls or Wanted()
    with tempfile.TemporaryDirectory() as room, tempfile.TemporaryFile() as output:
        job = asdict(walls) | {
            "parts": list(parts), "room": os.path.realpath(room), "readable": readable(),
            "wall_s": limits.wall_s, "files_bytes": limits.files_bytes,
            "threads": limits.threads, "limits": limits.resources(),
        }  # fmt: skip
        report = _report_of(job, output)
        output.seek(0)
        said = output.read(_OUTPUT_CHARS * 4).decode(errors="replace")[:_OUTPUT_CHARS]
    if report["open"] and not walls.weak:
        raise BadConfig("allow_weak_sandbox", _REFUSED.format(" and ".join(report["open"])))
    return Ran(
        report["ended"], report.get("passed", False), report.get("compiles", False),
        report.get("error"), said, report["wall_s"], report["cpu_s"], tuple(report["open"]),
        tuple(report["walls"]),
    )  # fmt: skip


def _report_of(job: dict[str, Any], output: IO[bytes]) -> dict[str, Any]:
    """Start the subprocess, give it the job, and read its report when it has ended."""
    reading, writing = os.pipe()
    try:
        told = json.dumps(job | {"report": writing}).encode()
        command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _START.format(str(_ROOT))]
        subprocess.run(
            command, input=told, stdout=output, stderr=output, env={}, cwd="/",
            pass_fds=(writing,), start_new_session=True, timeout=job["wall_s"] + _START_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pass  # its report is missing, which is told below
    finally:
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            said = file.read()
    report: dict[str, Any] = json.loads(said) if said else {}
    # Without its own word that the walls stand, they do not.
    return _UNBUILT | report


@lru_cache
def readable() -> tuple[str, ...]:
    """What a program may read: the standard library and the shared libraries below it."""
    wanted = (
        *(sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")),
        *(sysconfig.get_config_var("LIBDIR") or "/usr/lib", "/lib", "/lib64", "/usr/lib"),
        *("/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache"),
    )
    there = sorted({path for path in wanted if os.path.exists(path)})
    inner = {path for path in there for other in there if path.startswith(f"{other}/")}
    return tuple(path for path in there if path not in inner)

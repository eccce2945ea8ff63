"""The subprocess of a sandbox: it builds the walls, runs the parts of a program, and reports.

It is started with nothing but the standard library and reads its job from stdin. Of its two
processes the first watches the clock and never sees generated code; the second becomes it.
"""

import ctypes
import json
import os
import platform
import secrets
import signal
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from suites.sandbox.filters import lay_filter
from suites.sandbox.walls import Walls, limit

_WORK = "/room"
_OUT = 3
# No report of a part, and no message of an error, is longer.
_REPORT_BYTES, _ERROR_CHARS = 65_536, 300
_GRACE_S = 0.2


def main() -> None:
    """Run the job of stdin; the report goes to the descriptor that the job names."""
    job = json.loads(sys.stdin.buffer.read())
    walls = Walls(ctypes.CDLL(None, use_errno=True), platform.machine())
    walls.die_with_parent()
    apart = job["namespaces"] and walls.unshare()
    readings, writings = os.pipe()
    token = secrets.token_hex(16)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    started = time.monotonic()
    child = os.fork()
    if not child:
        _become(job, walls, apart, writings, token)
    os.close(writings)
    report = _wait(child, job["wall_s"], started)
    os.set_blocking(readings, False)
    try:
        said = os.read(readings, _REPORT_BYTES)
    except BlockingIOError:  # something still holds the other end, and said nothing
        said = b""
    os.write(job["report"], json.dumps(_told(said, token) | report).encode())


def _wait(child: int, wall_s: float, started: float) -> dict[str, Any]:
    """How the child ended, within its time or by our hand, and the seconds that it used."""
    late = True
    while (left := started + wall_s - time.monotonic()) > 0:
        if _sleep(left) and os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            late = False
            break
    wall_s = time.monotonic() - started
    for kill in (os.kill, os.killpg):  # the group: what a sandbox without walls left behind
        try:
            kill(child, signal.SIGKILL)
        except OSError:
            continue
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    # The limit of CPU ends a process by one of these.
    spent = late or code in (-signal.SIGKILL, -signal.SIGXCPU)
    ended = "time" if spent else "exit" if code >= 0 else "signal"
    return {"ended": ended, "wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime}


def _sleep(most_s: float) -> bool:
    """Wait for a child to end, so many seconds at most."""
    if hasattr(signal, "sigtimedwait"):
        return signal.sigtimedwait({signal.SIGCHLD}, most_s) is not None
    time.sleep(min(most_s, _GRACE_S))
    return True


def _told(said: bytes, token: str) -> dict[str, Any]:
    """What the child reported: all lines that begin with the token, merged in their order."""
    report: dict[str, Any] = {}
    for line in said.decode(errors="replace").splitlines():
        if line.startswith(token):
            report |= json.loads(line[len(token) :])
    return report


def _become(job: Mapping[str, Any], walls: Walls, apart: bool, out: int, token: str) -> None:
    """Close the walls around this process, run the parts, and end it."""
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(out, _OUT)
        os.closerange(_OUT + 1, 4096)

        def tell(**said: object) -> None:
            os.write(_OUT, f"{token}{json.dumps(said)}\n".encode())

        readable = job["readable"]
        moved = apart and walls.move_in(job["room"], readable, _WORK, job["files_bytes"])
        work = _WORK if moved else job["room"]
        os.chdir(work)
        limit(job["limits"])
        walls.drop(moved, job["threads"])
        locked = job["landlock"] and walls.landlock(readable, work)
        filtered = job["seccomp"] and lay_filter(walls.libc)
        left = [] if filtered else ["network", "processes"]
        left += [] if moved or locked else ["files"]
        stand = {"namespaces": moved, "landlock": locked, "seccomp": filtered}
        tell(open=left, walls=[name for name, there in stand.items() if there])
        if not left or job["weak"]:
            os.environ.update(TMPDIR=work, HOME=work)
            _run(job["parts"], tell)
            sys.stdout.flush()
    finally:  # whatever happened, this process never goes on as its parent does
        os._exit(0)


def _run(parts: Sequence[Sequence[str]], tell: Callable[..., None]) -> None:
    """Every part [name, text] in one namespace, and the test cases that they define."""
    module = types.ModuleType("answer")
    sys.modules["answer"] = module
    sys.path[:] = [path for path in sys.path if not path.endswith("site-packages")]
    sys.argv[:] = ["answer.py"]
    sys.setrecursionlimit(1000)
    name = ""
    try:
        compiled = []
        for name, text in parts:
            compiled.append(compile(text, f"{name}.py", "exec", dont_inherit=True))
            if len(compiled) == 1:
                tell(compiles=True)
        for (part, _), code in zip(parts, compiled, strict=True):
            name = part
            exec(code, module.__dict__)
        name = "tests"
        _run_cases(module)
    except BaseException as error:  # whatever generated code raises is what it did
        module.__dict__.clear()  # the memory that it holds may be all there is
        tell(error=f"{name}: {_said(error)}"[:_ERROR_CHARS], passed=False)
    else:
        tell(passed=True)


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # its text is generated code too
        return type(error).__name__


def _run_cases(module: types.ModuleType) -> None:
    """The cases of `unittest` in the namespace, if there are any."""
    loaded = sys.modules.get("unittest")
    if loaded is None:
        return
    cases = loaded.defaultTestLoader.loadTestsFromModule(module)
    if cases.countTestCases():
        result = loaded.TextTestRunner(stream=sys.stderr, verbosity=0).run(cases)
        if not result.wasSuccessful():
            raise AssertionError(f"{len(result.failures) + len(result.errors)} test cases failed")

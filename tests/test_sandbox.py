"""Generated code tries to get out: each programme ends without an error only if it did."""

import os
import socket
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import BadConfig
from suites.sandbox.filters import program
from suites.sandbox.outside import Limits, Ran, Wanted, readable, run

ALL, WITHOUT_NAMESPACES = Wanted(), Wanted(namespaces=False)
NONE = Wanted(namespaces=False, landlock=False, seccomp=False, weak=True)
SHORT = Limits(wall_s=30.0, cpu_s=2, memory_bytes=128 << 20)


def locked_in(walls: Wanted) -> bool:
    """Whether this machine builds enough of these walls."""
    try:
        return run([("answer", "")], walls=walls).passed
    except BadConfig:
        return False


def tried(code: str, walls: Wanted, limits: Limits = SHORT, **words: object) -> Ran:
    return run([("answer", textwrap.dedent(code).format(**words))], limits, walls)


@pytest.fixture(params=[ALL, WITHOUT_NAMESPACES], ids=["namespaces", "landlock"])
def walls(request: pytest.FixtureRequest) -> Wanted:
    found: Wanted = request.param
    if not locked_in(found):
        pytest.skip("this machine cannot lock generated code in that way")
    return found


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(0.3)
        yield made


CONNECT = """
    import socket
    socket.create_connection(("127.0.0.1", {port}), 2).sendall(b"here")
    """
READ = "assert open({path!r}).read() == 'hidden'"
WRITE = "open({path!r}, 'w').write('here')"
ENVIRONMENT = """
    import glob
    said = b""
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            said += open(path, "rb").read()
        except OSError:
            pass
    assert b"MARKED_FOR_THE_TEST" in said
    """
PROCESSES = "import os\nassert any(name.isdigit() for name in os.listdir('/proc'))"
DAEMON = """
    import os, time
    if not os.fork():
        os.setsid()
        if not os.fork():
            time.sleep(2)
            open({path!r}, "w").write("still here")
        os._exit(0)
    """


def test_the_network_is_out_of_reach(walls: Wanted, server: socket.socket) -> None:
    ran = tried(CONNECT, walls, port=server.getsockname()[1])
    with pytest.raises(TimeoutError):
        server.accept()
    assert not ran.passed


def test_a_file_of_ours_cannot_be_read_or_written(walls: Wanted, tmp_path: Path) -> None:
    secret, mark = tmp_path / "secret", tmp_path / "mark"
    secret.write_text("hidden")
    tmp_path.chmod(0o777)
    secret.chmod(0o666)
    assert not tried(READ, walls, path=str(secret)).passed
    assert not tried(WRITE, walls, path=str(secret)).passed
    assert not tried(WRITE, walls, path=str(mark)).passed
    assert not tried("import os\nos.link({path!r}, 'x')", walls, path=str(secret)).passed
    assert not tried("import os\nos.rename({path!r}, 'x')", walls, path=str(secret)).passed
    assert secret.read_text() == "hidden" and not mark.exists()
    for path in readable():
        inside = f"{path}/mark" if os.path.isdir(path) else path
        assert not tried("open({path!r}, 'a')", walls, path=inside).passed


def test_the_environment_of_others_cannot_be_read(
    walls: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKED_FOR_THE_TEST", "1")
    assert not tried(ENVIRONMENT, walls).passed
    assert not tried(PROCESSES, walls).passed
    assert not tried("import os\nassert len(os.environ) > 4, dict(os.environ)", walls).passed


@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True: os.fork()",
        "import subprocess\nsubprocess.run(['/bin/true'])",
        "import os\nos.execv('/bin/true', ['true'])",
        "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=print).start()",
        "import ctypes\nassert ctypes.CDLL(None).fork() >= 0",
    ],
)
def test_no_process_is_started(walls: Wanted, code: str) -> None:
    ran = tried(code, walls)
    assert ran.ended == "exit" and not ran.passed, ran


def test_threads_are_allowed_and_bounded(walls: Wanted) -> None:
    few = """
        from concurrent.futures import ThreadPoolExecutor
        assert sum(ThreadPoolExecutor(4).map(abs, range(10))) == 45
        """
    assert tried(few, walls).passed
    many = """
        import threading, time
        for _ in range(2000): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
        """
    assert not tried(many, walls).passed


def test_nothing_is_left_behind(walls: Wanted, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert not tried(DAEMON, walls, path=str(tmp_path / "mark")).passed
    assert not tried("import os\nos.setpgid(0, 0)\nos.fork()", walls).passed
    time.sleep(2.5)
    assert not (tmp_path / "mark").exists()


def test_no_one_else_is_signalled(walls: Wanted) -> None:
    code = """
        import os, signal
        for pid in ({us}, os.getppid(), -1, 0):
            try:
                os.kill(pid, signal.SIGTERM)
            except OSError:
                continue
            reached = True
        reached
        """
    assert not tried(code, walls, us=os.getpid()).passed


CALLS = (
    *("socket(2, 1, 0)", "socket(1, 1, 0)", "socketpair(1, 2, 0, (ctypes.c_int * 2)())"),
    *("unshare(0x10000000)", "ptrace(16, {us}, 0, 0)", "mount(b'x', b'.', b'tmpfs', 0, None)"),
    *("prctl(38, 0)", "syscall(425, 8, None)", "syscall(319, b'x', 0)", "syscall(435, None, 0)"),
    *("syscall(302, {us}, 7, (ctypes.c_ulong * 2)(9, 9), None)", "shmget(0, 4096, 0o1600)"),
    *("syscall(0x40000000 + 41, 2, 1, 0)", "syscall(234, {us}, {us}, 15)", "syscall(58)"),
    *("fcntl(0, 8, {us})", "fcntl(0, 10, 9)", "fcntl(0, 15, (ctypes.c_int * 2)(1, {us}))"),
    *("syscall(424, 3, 15, 0, 0)", "syscall(200, {us}, 15)", "syscall(62, {us}, 0)"),
)


def test_a_call_of_the_system_itself_is_refused(walls: Wanted) -> None:
    code = "import ctypes\nlibc = ctypes.CDLL(None)\n"
    for call in CALLS:
        call = call.format(us=os.getpid())
        code += f"if libc.{call} != -1: print({call!r}, flush=True)\n"
    ran = run([("answer", code)], SHORT, walls)
    assert ran.passed and ran.output == "", ran


@pytest.mark.parametrize(
    ("code", "ended", "said"),
    [
        ("while True: pass", "time", None),
        ("while True:\n  try: import time; time.sleep(9)\n  except: pass", "time", None),
        ("x = []\nwhile True: x.append(bytearray(1 << 20))", "exit", "MemoryError"),
        ("while True: print('x' * 1000)", "exit", "File too large"),
        ("open('x', 'wb').write(bytes(64 << 20))", "exit", "File too large"),
        ("def f(): f()\nf()", "exit", "RecursionError"),
        ("import ctypes\nctypes.string_at(0)", "signal", None),
    ],
)  # fmt: skip
def test_what_it_uses_is_bounded(walls: Wanted, code: str, ended: str, said: str | None) -> None:
    limits = replace(SHORT, wall_s=4.0) if ended == "time" else SHORT
    ran = run([("answer", code)], limits, walls)
    assert ran.ended == ended and not ran.passed and len(ran.output) <= 2000
    assert said is None or said in (ran.error or ""), ran
    assert ran.wall_s < limits.wall_s + 5


def test_all_its_files_together_are_bounded() -> None:
    if not locked_in(ALL) or "namespaces" not in run([("answer", "")]).walls:
        pytest.skip("this machine has no namespaces for it")
    ran = run([("answer", "for i in range(99): open(str(i), 'wb').write(bytes(1 << 20))")], SHORT)
    assert not ran.passed and "No space left" in (ran.error or "")


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "import os\nos.write(3, b'{\"passed\": true}\\n')\nos._exit(0)",
        "f = lambda: 1",
        "def f(): raise SystemExit(0)",
        "class E(Exception):\n  def __str__(self): raise KeyboardInterrupt\ndef f(): raise E",
    ],
)
def test_a_program_passes_only_by_its_tests(walls: Wanted, code: str) -> None:
    assert not run([("answer", code), ("tests", "assert f() == 2")], SHORT, walls).passed


def test_a_program_that_is_right_passes(walls: Wanted) -> None:
    code = """
        import asyncio, dataclasses, json, random, tempfile
        @dataclasses.dataclass
        class Point:
            x: int = 0
        async def later(): return 2
        def f(): return asyncio.run(later())
        if __name__ == "__main__": raise ValueError
        tempfile.TemporaryFile().write(b"x")
        """
    cases = """
        import unittest
        class Some(unittest.TestCase):
            def test_f(self): self.assertEqual(f(), {right})
        """
    parts = [("answer", textwrap.dedent(code)), ("tests", textwrap.dedent(cases).format(right=2))]
    ran = run(parts, walls=walls)
    assert ran.passed and ran.compiles and ran.error is None, ran
    ran = run([*parts[:1], ("tests", textwrap.dedent(cases).format(right=3))], walls=walls)
    assert not ran.passed and ran.error == "tests: AssertionError: 1 test cases failed"
    ran = run([("answer", "def f(:"), parts[1]], walls=walls)
    assert not ran.compiles and (ran.error or "").startswith("answer: SyntaxError")


def test_the_escapes_do_get_out_where_nothing_is_walled_in(
    server: socket.socket, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    assert tried(CONNECT, NONE, port=server.getsockname()[1]).passed
    assert tried(READ, NONE, path=str(secret)).passed
    assert tried(WRITE, NONE, path=str(tmp_path / "mark")).passed
    assert tried(PROCESSES, NONE).passed


def test_without_enough_walls_nothing_runs(tmp_path: Path) -> None:
    for left, missing in (
        (Wanted(namespaces=False, landlock=False), "files open"),
        (Wanted(seccomp=False), "network and processes open"),
    ):
        with pytest.raises(BadConfig, match=missing):
            tried(WRITE, left, path=str(tmp_path / "mark"))
    assert not (tmp_path / "mark").exists()


def test_a_filter_is_known_for_two_machines() -> None:
    made = [program(machine, 1) for machine in ("x86_64", "aarch64")]
    assert all(one and len(one) % 8 == 0 and len(one) < 4096 * 8 for one in made)
    assert made[0] != made[1] and program("riscv64", 1) is None

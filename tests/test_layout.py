"""The house rules that can be read from the files: sizes, names, and imports without effects."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("agent", "consumers", "shadow", "abtest", "watch", "suites")
AROUND = ("deploy", "training")
FILE_LINES, FUNCTION_LINES = 300, 30
BANNED = {
    *("manager", "handler", "helper", "helpers", "util", "utils"),
    *("base", "factory", "processor", "common", "misc"),
}
# A silenced check names its code and, after a second mark, says why.
SILENCED = re.compile(r"#\s*(type: ignore|noqa)\b(?!(?:\[|: ?)[\w, -]+?\]?\s+[#-]\s*\w+ \w+)")
# Run in a fresh interpreter: imports every module of the folders named, with no way out.
IMPORT_ALL = """
import importlib, pathlib, sys
root, folders = pathlib.Path(sys.argv[1]), sys.argv[2:]
sys.path.insert(0, str(root))
OURS = tuple(str(root / folder) + "/" for folder in folders)
ALWAYS = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto")
CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "subprocess.Popen", "os.system")

def asked_by_us():
    frame = sys._getframe(2)
    while frame:
        name = frame.f_code.co_filename
        if name.startswith(OURS):
            return True
        # The import system reads the modules themselves; a library answers for its own reads.
        if name.startswith("<frozen importlib") or "site-packages" in name:
            return False
        frame = frame.f_back
    return False

def refuse(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if event in ALWAYS or writes and arguments[0] != "/dev/null":
        raise RuntimeError(f"{event} {arguments[0]!r}")
    if (event == "open" or event in CHANGES) and asked_by_us():
        raise RuntimeError(f"{event} {arguments[0]!r}")

paths = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
sys.addaudithook(refuse)
for path in paths:
    parts = path.relative_to(root).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
"""


def modules(*folders: str, root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """The name and the text of every module of the folders."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def long_functions(text: str) -> list[str]:
    """Functions whose body, without the docstring, has too many lines."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno + 1 > FUNCTION_LINES:
                found.append(node.name)
    return found


def import_complaints(root: Path, *folders: str) -> str:
    """What the modules tried to do to the world while they were imported."""
    command = (sys.executable, "-B", "-c", IMPORT_ALL, str(root), *folders)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_files_are_short() -> None:
    sizes = {name: text.count("\n") for name, text in modules(*PRODUCT, *AROUND, "tests")}
    assert {name: size for name, size in sizes.items() if size > FILE_LINES} == {}


def test_functions_are_short() -> None:
    assert [
        (name, found)
        for name, text in modules(*PRODUCT, *AROUND)
        if (found := long_functions(text))
    ] == []


def test_names_say_something() -> None:
    names = (name for name, _ in modules(*PRODUCT, *AROUND, "tests"))
    assert [name for name in names if BANNED & set(name.removesuffix(".py").split("/"))] == []


def test_every_silenced_check_says_why() -> None:
    found = [
        f"{name}: {line.strip()}"
        for name, text in modules(*PRODUCT, *AROUND, "tests")
        for line in text.splitlines()
        if name != "tests/test_layout.py" and SILENCED.search(line)
    ]
    assert found == []


def test_importing_does_nothing_to_the_world() -> None:
    assert import_complaints(ROOT, *PRODUCT) == ""


def test_planted_effects_at_import_are_caught(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "reads.py").write_text("import pathlib\npathlib.Path(__file__).read_text()\n")
    (folder / "writes.py").write_text("open('x', 'w')\n")
    (folder / "calls.py").write_text("import socket\nsocket.create_connection(('127.0.0.1', 9))\n")
    (folder / "starts.py").write_text("import subprocess\nsubprocess.run(['true'])\n")
    (folder / "clean.py").write_text("import json, agent.fine\n")
    (folder / "fine.py").write_text("X = 1\n")
    complaints = import_complaints(tmp_path, "agent").splitlines()
    assert [line.split(":")[0] for line in complaints] == [
        "agent.calls",
        "agent.reads",
        "agent.starts",
        "agent.writes",
    ]


def test_planted_long_functions_and_bare_silences_are_caught() -> None:
    at_the_cap = "def f():\n    '''Doc.\n\n    More.\n    '''\n" + "    x = 1\n" * FUNCTION_LINES
    assert long_functions(at_the_cap) == []
    assert long_functions(at_the_cap + "    x = 2\n") == ["f"]
    assert SILENCED.search("x = 1  # type: ignore")
    assert SILENCED.search("x = 1  # type: ignore[attr-defined]")
    assert SILENCED.search("x = 1  # noqa: S105")
    assert not SILENCED.search("x = 1  # type: ignore[attr-defined]  # it has no types")
    assert not SILENCED.search("x = 1  # noqa: S105, E501  # not a password")

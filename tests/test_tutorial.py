"""The tutorial, as a reader follows it: each command is run, and prints what the page shows."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.child import free_port
from tests.rules import tool

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.M | re.S)
# The clock of a line of the log, and how many rules there are, which is not this page's.
_MASKED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} |\d+(?= rules found)", re.M)
_MARK = "-- what the next command prints --"


def followed(commands: list[str], folder: Path, port: str) -> list[str]:
    """What each block of commands prints in one shell, both streams together."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    known = {k: v for k, v in os.environ.items() if not k.startswith("VEDETTE_")}
    told = known | {"PATH": path, "PYTHONPATH": str(ROOT), "VEDETTE_SERVER__PORT": port}
    script = "\n".join(f"echo; echo '{_MARK}'\n{block}" for block in commands)
    shell = subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env=told, start_new_session=True, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        printed, _ = shell.communicate(timeout=400)
    finally:
        for left in (signal.SIGTERM, signal.SIGKILL):
            if group_lives(shell.pid):
                os.killpg(shell.pid, left)
    return [part.strip("\n") for part in printed.split(_MARK)[1:]]


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def agrees(shown: str, printed: str) -> bool:
    """Whether a text is what the page shows; `...` stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line.rstrip()) + r" *\n"
        for line in _MASKED.sub("", shown).splitlines()
    )
    return re.fullmatch(pattern, _MASKED.sub("", printed) + "\n") is not None


def test_what_is_left_out_may_be_anything_and_nothing_else() -> None:
    shown = "...\n2026-11-26 14:14:24,210 WARNING rose\n...\nend"
    assert agrees(shown, "2026-01-01 00:00:00,000 WARNING rose\nx\ny\nend ")
    assert not agrees(shown, "2026-01-01 00:00:00,000 WARNING fell\nend")
    assert not agrees(shown, "WARNING rose\nend\nmore")


@pytest.mark.timeout(420)
def test_every_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    tool("promtool")
    tool("curl")
    hook, server = str(free_port()), str(free_port())
    page = PAGE.read_text(encoding="utf-8").replace("9099", hook).replace("8080", server)
    blocks = _BLOCK.findall(page)
    commands = [text for kind, text in blocks if kind == "sh"]
    assert len(commands) >= 8
    printed = followed(commands, tmp_path, server)
    at = -1
    for kind, text in blocks:
        if kind == "sh":
            at += 1
        else:
            assert agrees(text, printed[at]), f"{commands[at]}\nprinted\n{printed[at]}"

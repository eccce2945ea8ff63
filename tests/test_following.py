"""A log that grows is read line by line, once, through rotation, truncation and restarts."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from agent.config import load_config
from agent.errors import BadConfig
from consumers.following import Log, follow
from tests.live.server_process import Served, serving
from tests.waiting import wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.ndjson"


def written(path: Path, text: str) -> None:
    with path.open("a") as stream:
        stream.write(text)


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[], Log]]:
    """Opens the log as one process after another does."""
    with ExitStack() as held:
        yield lambda: held.enter_context(closing(Log(path)))


def taken(log: Log, most: int = 100) -> list[bytes]:
    found = log.lines(most)
    if found:
        log.keep()
    return found


def test_lines_come_when_they_are_whole(path: Path, opened: Callable[[], Log]) -> None:
    log = opened()
    assert taken(log) == []  # it is not there yet
    written(path, "one\n\n  two \r\nthr")
    assert taken(log, 2) == [b"one"]
    assert taken(log) == [b"two"]
    assert taken(log) == []
    written(path, "ee\nfour\n")
    assert taken(log) == [b"three", b"four"]


def test_what_was_not_taken_in_comes_again(path: Path, opened: Callable[[], Log]) -> None:
    written(path, "one\ntwo\nthree\n")
    log = opened()
    assert taken(log, 1) == [b"one"]
    assert log.lines(1) == [b"two"]
    log.back()
    assert taken(log) == [b"two", b"three"]
    log.close()
    written(path, "four\n")
    assert taken(opened()) == [b"four"], "another process goes on where this one was"


def test_a_log_that_is_rotated_is_read_to_its_end(path: Path, opened: Callable[[], Log]) -> None:
    written(path, "one\n")
    log = opened()
    assert taken(log) == [b"one"]
    written(path, "two\n")
    path.rename(path.with_suffix(".1"))
    written(path.with_suffix(".1"), "three\nhal")
    assert taken(log) == [b"two", b"three"]
    assert taken(log) == []  # no file of this name yet
    written(path, "four\n")
    assert [line for _ in range(3) for line in taken(log)] == [b"hal", b"four"]


def test_a_log_that_is_emptied_is_read_from_its_start(
    path: Path, opened: Callable[[], Log]
) -> None:
    written(path, "one, which is long\n")
    log = opened()
    assert taken(log) == [b"one, which is long"]
    os.truncate(path, 0)
    assert taken(log) == []
    written(path, "two\n")
    assert [line for _ in range(2) for line in taken(log)] == [b"two"]
    log.close()
    path.unlink()
    written(path, "three\n")
    assert taken(opened()) == [b"three"], "another file of the same name"


def test_what_cannot_be_followed_is_refused_in_a_line(path: Path) -> None:
    with pytest.raises(BadConfig, match=r"--follow: wants server.ingest: inbox, not off"):
        follow(load_config(server={"ingest": "off"}), path)
    for wrong in (path.parent, Path(os.devnull)):
        with pytest.raises(BadConfig, match=f"--follow: {wrong} is a folder or a device"):
            follow(load_config(), wrong)
    with pytest.raises(BadConfig, match=r"calls.ndjson.read: cannot be written"):
        Log(path.parent / "none" / path.name)
    path.with_name("calls.ndjson.read").write_text("half")
    with pytest.raises(BadConfig, match=r"calls.ndjson.read: cannot be read"):
        Log(path)


def call(n: int) -> str:
    row = {"id": f"c{n}", "at": time.time(), "model": "m", "prompt": "Why?", "response": "So."}
    return json.dumps(row) + "\n"


def test_a_server_follows_a_log_over_a_kill(path: Path, tmp_path: Path) -> None:
    written(path, call(0) + "no record\n" + call(1))
    server = Served(tmp_path, "--follow", str(path))
    try:
        _wait(server.url, 3)
        mark = path.with_name(f"{path.name}.read")
        wait_until(lambda: mark.read_text().split()[0] == str(path.stat().st_size))
        written(path, call(2)[:20])
    finally:
        server.process.end(signal.SIGKILL)
    written(path, call(2)[20:] + call(3))
    with serving(tmp_path, "--follow", str(path)) as server:
        ends = _wait(server.url, 5)
    assert {end: n for end, n in ends.items() if n} == {"scored": 4, "unreadable": 1}


def _wait(url: str, received: int) -> dict[str, int]:
    """The ends of the ledger once so many were received."""
    began = time.monotonic()
    while True:
        with urllib.request.urlopen(f"{url}/api/pipeline", timeout=60) as answer:
            told = json.load(answer)
        if told["received"] == received:
            ends: dict[str, int] = told["ends"]
            return ends
        assert time.monotonic() - began < 150, told
        time.sleep(0.2)

"""Pages that another process makes: the same pages, and what becomes of them when it ends."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from agent.config import Config
from agent.errors import StoreDown
from agent.store import open_store
from consumers.server import workshop as module
from consumers.server.printing import Order, Printer
from consumers.server.stock import Stages, Stock
from consumers.server.views import VIEWS
from consumers.server.workshop import Workshop
from tests.shown import copied
from tests.waiting import wait_until

STAGES: Stages = {"score": (4, 2.0, 0.75)}


@pytest.fixture(scope="module")
def config(shown: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    return copied(shown, tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def workshop(config: Config) -> Iterator[Workshop]:
    with closing(Workshop(config, lambda: STAGES)) as made:
        yield made


def _order(name: str, **asked: object) -> Order:
    (view,) = (view for view in VIEWS if view.name == name)
    return Order(name, "data", view.asks(**asked))


def test_pages_are_those_that_this_process_would_make(config: Config, workshop: Workshop) -> None:
    calls, table = _order("calls", metric="latency"), Order("calls", "table", _order("calls").asked)
    with closing(open_store(config.store.url.get_secret_value())) as store:
        printer = Printer(Stock(config, store, dict), VIEWS)
        assert workshop.make(calls) == printer.make(calls)
        assert workshop.make(table) == printer.make(table)
    # What scores is this process, not the one that makes the page.
    assert b'"mean_s": 0.5, "within_s": 0.75' in workshop.make(_order("pipeline"))


def test_what_goes_wrong_there_is_said_here(workshop: Workshop) -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'nothing'"):
        workshop.make(Order("nothing", "data", _order("now").asked))


def test_a_workshop_that_was_ended_begins_again(config: Config, workshop: Workshop) -> None:
    ended = workshop._process
    os.kill(ended.pid, signal.SIGKILL)
    with pytest.raises(StoreDown, match="begins again"):
        workshop.make(_order("evaluations"))
    assert ended.returncode == -signal.SIGKILL and workshop.make(_order("evaluations"))
    Path(config.store.url.get_secret_value().removeprefix("sqlite:///")).write_bytes(b"none" * 99)
    with pytest.raises(StoreDown, match="database"):
        workshop.make(_order("now"))
    workshop.close()
    assert workshop._process.returncode is not None


def test_an_answer_that_breaks_off_is_none(config: Config) -> None:
    code = f"import sys; sys.stdout.buffer.write({pickle.dumps(b'page' * 99)[:-9]!r})"
    with closing(Workshop(config, lambda: STAGES)) as workshop:
        workshop._end()
        workshop._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with pytest.raises(StoreDown, match="begins again"):
            workshop.make(_order("now"))


def test_a_page_that_is_never_done_keeps_no_other_from_being_made(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Workshop(config, lambda: STAGES)) as workshop:
        monkeypatch.setattr(module, "_LONGEST_S", 0.2)
        hung = workshop._process
        with suppress(StoreDown):  # its database may be broken by now
            workshop.make(_order("evaluations"))
        assert workshop._process is hung  # the first, imports and all, may take longer
        os.kill(hung.pid, signal.SIGSTOP)
        with pytest.raises(StoreDown, match="begins again"):
            workshop.make(_order("evaluations"))
        assert hung.returncode == -signal.SIGKILL and workshop._process.poll() is None


def test_a_page_that_is_never_done_keeps_no_process_from_its_end(config: Config) -> None:
    with closing(Workshop(config, lambda: STAGES)) as workshop, ThreadPoolExecutor(1) as pool:
        os.kill(workshop._process.pid, signal.SIGSTOP)
        page = pool.submit(workshop.make, _order("now"))
        wait_until(workshop._lock.locked)
        workshop.close()
        with pytest.raises(StoreDown):
            page.result(10)
        with pytest.raises(StoreDown, match="this process ends"):
            workshop.make(_order("now"))
        assert workshop._process.returncode is not None

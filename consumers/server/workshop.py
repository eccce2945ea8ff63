"""A process of its own that makes pages, so that readers do not take turns with who scores.

2026-11-26: in one interpreter 50 readers slow the rule scorers by an eighth
(tests/bench/readers.py).
"""

import gc
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import IO, Any

from agent.config import Config
from agent.errors import StoreDown
from agent.store import open_store
from consumers.server.printing import Order, Printer
from consumers.server.stock import Stages, Stock
from consumers.server.views import VIEWS

_START = "import sys; sys.path[:] = {!r}; from consumers.server.workshop import work; work()"
# Where there are fewer cores than work, who scores comes first.
_NICE = 5
# All other pages wait for the one in hand. The first of a process waits for its imports as well:
# two seconds of a slow core, which are twenty where a container has a tenth of one.
_LONGEST_S, _FIRST_S = 30.0, 300.0


class Workshop:
    """Has pages made, one at a time, until it is closed; thread-safe.

    `stages` are those of the process that scores, which is this one: they go with each order.
    """

    def __init__(self, config: Config, stages: Callable[[], Stages]) -> None:
        self._config, self._stages = config, stages
        self._lock, self._closed = threading.Lock(), False
        self._process, self._longest_s = self._begun(), _FIRST_S

    def make(self, order: Order) -> bytes:
        """What `Printer.make` returns or raises; StoreDown where the process was ended, as it is
        too when it takes too long."""
        with self._lock:
            if self._closed:
                raise StoreDown("pages: this process ends")
            overdue = threading.Timer(self._longest_s, self._process.kill)
            overdue.start()
            try:
                _put(self._process.stdin, (order, self._stages()))
                answer = pickle.load(_pipe(self._process.stdout))
                self._longest_s = _LONGEST_S
            except (OSError, EOFError, pickle.UnpicklingError):  # the last: in the midst of a page
                self._end()
                self._process, self._longest_s = self._begun(), _FIRST_S
                raise StoreDown("pages: what makes them was ended and begins again") from None
            finally:
                overdue.cancel()
        if isinstance(answer, Exception):
            raise answer
        made: bytes = answer
        return made

    def close(self) -> None:
        """Make no more; who waits for a page is told."""
        self._closed = True
        self._process.kill()  # which ends the page in hand
        with self._lock:
            self._end()

    def _begun(self) -> subprocess.Popen[bytes]:
        # Of its own session: Ctrl-C is for this process, which lets go of the other.
        process = subprocess.Popen(
            [sys.executable, "-c", _START.format(sys.path)], start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with suppress(OSError):  # where it has ended already the first order is told
            _put(process.stdin, self._config)
        return process

    def _end(self) -> None:
        """A page that nobody waits for any more is not finished: it only reads."""
        self._process.kill()
        with suppress(OSError):  # what it was not told is still in the pipe
            _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()
        self._process.wait()


def work() -> None:
    """Make what is ordered on the standard input until that is closed."""
    os.nice(_NICE)
    orders, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed must not get between answers
    with ExitStack() as held, suppress(EOFError, BrokenPipeError):
        config: Config = pickle.load(orders)
        gc.freeze()  # a reader would wait while all that was imported is looked through
        told, printer = dict[str, tuple[int, float, float]](), None
        while True:
            order, stages = pickle.load(orders)
            told.update(stages)
            answer: bytes | Exception
            try:
                printer = printer or held.enter_context(_printing(config, lambda: told))
                answer = printer.make(order)
            except StoreDown as error:
                answer = error
            except Exception:  # a defect, which the process that answers logs
                answer = RuntimeError(traceback.format_exc())
            _put(out, answer)


@contextmanager
def _printing(config: Config, stages: Callable[[], Stages]) -> Iterator[Printer]:
    with closing(open_store(config.store.url.get_secret_value(), writer=False)) as store:
        yield Printer(Stock(config, store, stages), VIEWS)


def _put(pipe: IO[bytes] | None, thing: Any) -> None:
    pickle.dump(thing, _pipe(pipe), pickle.HIGHEST_PROTOCOL)
    _pipe(pipe).flush()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # it was asked for
    return pipe

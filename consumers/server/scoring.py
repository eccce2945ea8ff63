"""Scoring on request: what waits is scored together, by one thread, and remembered for a while."""

import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from agent.config import Config
from agent.errors import BadConfig, Overloaded, StoreDown
from agent.record import Call, Score
from agent.score import Panel, load_panel

_log = logging.getLogger("vedette.server")

# Calls that are scored together; a worker beside it takes turns by as many.
_BATCH_CALLS = 128
# Models take seconds to load, and how long a batch takes is known after the first.
_LOADING_S, _FIRST_S, _LONGEST_S = 5.0, 1.0, 60.0
# Scores that are remembered, some 300 bytes each.
_REMEMBERED = 100_000

Answer = Mapping[str, Score]


def begin_loading(config: Config) -> Future[Panel]:
    """The scorers of a configuration, loaded in the background: BadConfig is what it raises."""
    panel: Future[Panel] = Future()

    def load() -> None:
        try:
            panel.set_result(load_panel(config))
        except BaseException as error:  # whatever it was, who waits must hear of it
            panel.set_exception(error)

    # A stop does not wait for models.
    threading.Thread(target=load, name="models", daemon=True).start()
    return panel


class Remembered:
    """Scores by content and scorer for `kept_s` seconds; the oldest go when there are too many."""

    def __init__(self, kept_s: float, clock: Callable[[], float]) -> None:
        self._kept_s, self._clock = kept_s, clock
        self._held: OrderedDict[tuple[bytes, str], tuple[float, Score]] = OrderedDict()

    def get(self, key: tuple[bytes, str]) -> Score | None:
        """The score that was put less than `kept_s` ago."""
        at, score = self._held.get(key, (0.0, None))
        if score is None or self._clock() - at < self._kept_s:
            return score
        del self._held[key]
        return None

    def put(self, key: tuple[bytes, str], score: Score) -> None:
        """Remember a score from now on."""
        self._held.pop(key, None)
        self._held[key] = (self._clock(), score)
        if len(self._held) > _REMEMBERED:
            self._held.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One call by its content, what is asked of it, and who hears of it."""

    digest: bytes
    call: Call
    metrics: frozenset[str]
    heard: Future[Answer]


class Scoring:
    """Scores calls on request until closed; its thread begins with the first."""

    def __init__(
        self, config: Config, panel: Future[Panel], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._panel, self._most = panel, config.server.evaluate_calls
        self._known = Remembered(config.server.evaluate_cached_s, clock)
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._call_s, self._closed = _FIRST_S / _BATCH_CALLS, False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return len(self._waiting)

    def panel(self) -> Panel:
        """The scorers; raises StoreDown as long as there are none."""
        if not self._panel.done():
            raise StoreDown("models are being loaded", _LOADING_S)
        if (error := self._panel.exception()) is not None:
            why = str(error) if isinstance(error, BadConfig) else type(error).__name__
            raise StoreDown(f"nothing can be scored: {why}", _LONGEST_S)
        return self._panel.result()

    def ask(self, calls: Sequence[Call], metrics: Collection[str]) -> list[Future[Answer]]:
        """Have the metrics of each call taken; all of the calls are let in or none.

        Raises Overloaded when too many wait already, and StoreDown as `panel` does.
        """
        versions = self.panel().metric_versions
        with self._changed:
            known = [self._remembered(call, metrics, versions) for call in calls]
            missing = [one for one in known if isinstance(one, _Waiting)]
            if self._closed or len(self._waiting) + len(missing) > self._most:
                wait_s = self._call_s * max(len(self._waiting), len(missing))
                raise Overloaded(min(max(wait_s, 1.0), _LONGEST_S))
            self._waiting += missing
            if missing and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="evaluate", daemon=True)
                self._thread.start()
            self._changed.notify()
        return [one.heard if isinstance(one, _Waiting) else one for one in known]

    def close(self) -> None:
        """Finish the batch in hand; what waits behind it is refused."""
        with self._changed:
            self._closed = True
            left, self._waiting = self._waiting, []
            self._changed.notify()
        for one in left:
            one.heard.set_exception(StoreDown("the server stops"))
        if self._thread is not None:
            self._thread.join()

    def _remembered(
        self, call: Call, metrics: Collection[str], versions: Mapping[str, str]
    ) -> Future[Answer] | _Waiting:
        heard: Future[Answer] = Future()
        digest = _digest(call)
        known = {m: self._known.get((digest, f"{m} {versions[m]}")) for m in metrics}
        answer = {metric: score for metric, score in known.items() if score is not None}
        if len(answer) < len(known):
            return _Waiting(digest, call, frozenset(metrics), heard)
        heard.set_result(answer)
        return heard

    def _run(self) -> None:
        while batch := self._taken():
            began = time.perf_counter()
            # Who has gone away meanwhile is told nothing.
            here = [one for one in batch if one.heard.set_running_or_notify_cancel()]
            try:
                self._score(here)
            except SystemExit as end:  # the accelerator is lost: only a new process gets another
                os._exit(end.code if isinstance(end.code, int) else 1)
            except Exception as error:
                _log.error("a batch could not be evaluated: %s", type(error).__name__)
                for one in here:
                    one.heard.set_exception(StoreDown("the scorers failed"))
            self._call_s = (time.perf_counter() - began) / len(batch)

    def _taken(self) -> list[_Waiting]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            batch = self._waiting[:_BATCH_CALLS]
            del self._waiting[: len(batch)]
        return batch

    def _score(self, batch: Sequence[_Waiting]) -> None:
        panel = self.panel()
        given = panel.answer([one.call for one in batch], [one.metrics for one in batch])
        answers = [{metric: given[metric][i] for metric in one.metrics}
                   for i, one in enumerate(batch)]  # fmt: skip
        with self._changed:
            for one, answer in zip(batch, answers, strict=True):
                for metric, score in answer.items():
                    named = f"{metric} {panel.metric_versions[metric]}"
                    self._known.put((one.digest, named), score)
        for one, answer in zip(batch, answers, strict=True):
            one.heard.set_result(answer)


def _digest(call: Call) -> bytes:
    """The content of a call: all of it but its name and its time."""
    return hashlib.blake2b(repr(replace(call, id="", at=0.0)).encode(), digest_size=16).digest()

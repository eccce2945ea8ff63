"""Targets are asked: endpoints several questions at once, local models in batches.

Each answer is handed on as it comes, and a batch of a local model as a whole: a run that goes on
after a kill makes the same batches, so even a rounding that depends on the neighbours is the same.
"""

import asyncio
import time
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from agent.record import Answer, Call
from agent.shadows import Candidate
from agent.store.budgets import NOTHING, Amount
from shadow.candidates import Model, worst_case
from shadow.client import Endpoint
from shadow.loading import Loading
from suites.answers import Given
from suites.purse import Bounds, Purse, charge, total
from suites.suite import Target

# Failures that another try may mend, and the wait before it, which doubles.
_AGAIN = ("rate_limited", "server_error", "connect", "reset")
_WAIT_S = 0.5
# Why the rest of a target was not asked.
OVER_BUDGET, GIVEN_UP, NO_ANSWER = "over_budget", "given_up", "no_answer"

_SHORT = (("max_tokens", 2), ("temperature", 0))

Keep = Callable[[Sequence[Given]], None]


class Local(Protocol):
    """A model in a folder, as shadow/local.py has it."""

    rows: int

    def ask(self, calls: Sequence[Call]) -> list[Answer]: ...


def open_endpoint(where: str, target: Target, concurrency: int) -> tuple[Endpoint, Candidate]:
    """The endpoint of a target; raises BadConfig for a key that cannot be read."""
    candidate = target.candidate(concurrency)
    return Endpoint(where, candidate), candidate


def open_local(where: str, target: Target, folder: Path) -> Local:
    """The model of a target; raises BadConfig for a folder that cannot be used."""
    from shadow.local import LocalModel  # torch, which an endpoint does not need

    assert target.folder is not None
    path = folder / target.folder.expanduser()
    how = Loading(target.dtype, target.compile, target.quantise)
    return LocalModel(f"{where}.folder", path, target.answer_tokens, target.timeout_s, how)


def ask_local(model: Local, calls: Sequence[Call], there: Container[str], keep: Keep) -> None:
    """Ask in batches of calls of like length, but for batches whose answers are all there.

    Of the others what is there stays as it is: its neighbours need it in their batch.
    """
    order = sorted(range(len(calls)), key=lambda i: (_size(calls[i]), i))
    # Kernels are made and memory is taken before anything is timed.
    model.ask([replace(calls[order[0]], parameters=_SHORT)])
    for start in range(0, len(order), model.rows):
        batch = [calls[i] for i in order[start : start + model.rows]]
        if all(call.id in there for call in batch):
            continue
        began = time.time()
        answers = zip(batch, model.ask(batch), strict=True)
        keep([Given(call.id, began, one) for call, one in answers if call.id not in there])


def _size(call: Call) -> int:
    return sum(len(turn.content) for turn in call.messages) or len(call.prompt or "")


class Asking:
    """One endpoint while it is asked: what is left to ask, to spend and to bear.

    `stopped` says why the rest is not asked any more.
    """

    def __init__(
        self, model: Model, target: Target, candidate: Candidate, left: Bounds, keep: Keep
    ) -> None:
        self._model, self._target, self._candidate = model, target, candidate
        self._left, self._keep = left, keep
        self._failed = 0
        self.stopped: str | None = None

    async def ask(self, calls: Sequence[Call]) -> None:
        """Ask all calls, as many at once as the candidate may be asked.

        Raises what `keep` raises, once the calls under way are given up. What was answered until
        then is kept: one after another in a thread, so that no other answer waits for it.
        """
        purse, waiting = Purse(self._left), iter(calls)
        try:
            turns = range(min(self._candidate.concurrency, len(calls)))
            with ThreadPoolExecutor(1, "keep") as keeper:
                async with asyncio.TaskGroup() as group:
                    for _ in turns:
                        group.create_task(self._turn(purse, waiting, keeper))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        finally:
            await self._model.close()

    async def _turn(self, purse: Purse, waiting: Iterator[Call], keeper: Executor) -> None:
        for call in waiting:
            given = await self._answered(purse, call)
            if given is None:
                return
            self._failed = 0 if given.answer.status == "ok" else self._failed + 1
            if self._failed >= self._target.failures:
                self.stopped = self.stopped or GIVEN_UP
            kept = asyncio.get_running_loop().run_in_executor(keeper, self._keep, [given])
            await asyncio.shield(kept)  # who is cut off has paid for the answer

    async def _answered(self, purse: Purse, call: Call) -> Given | None:
        """The answer of the last try, each with its worst case reserved; None without any."""
        given, cost = None, NOTHING
        for attempt in range(1, self._target.attempts + 1):
            if attempt > 1:
                await asyncio.sleep(_WAIT_S * 2 ** (attempt - 2))
            # All tries of a question are one call.
            need = worst_case(call, self._candidate)._replace(calls=int(attempt == 1))
            if not await self._reserved(purse, need):
                break
            began, answer = time.time(), await self._model.ask(call)
            taken = charge(call, self._candidate, answer)._replace(calls=need.calls)
            cost = total([cost, taken])
            given = Given(call.id, began, answer, cost)
            again = answer.error in _AGAIN and attempt < self._target.attempts
            await purse.settle(need, taken)
            if not again:
                break
        return given

    async def _reserved(self, purse: Purse, need: Amount) -> bool:
        """Whether a question may be put; one that waited until the asking was over gives back."""
        if self._is_over():
            return False
        if not await purse.reserve(need):
            self.stopped = self.stopped or OVER_BUDGET
        elif self._is_over():
            await purse.settle(need, NOTHING)
        return not self._is_over()

    def _is_over(self) -> bool:
        return self.stopped is not None

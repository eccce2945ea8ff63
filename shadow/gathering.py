"""Questions that wait for a local model are answered together."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from agent.record import Answer, Call
from shadow.local import LocalModel, Question

_log = logging.getLogger("vedette.shadow")


@dataclass(slots=True)
class _Waiting:
    """One who asked, and the question as the model reads it once it was read."""

    call: Call
    answer: asyncio.Future[Answer]
    read: Question | Answer | None = None


class Gathered:
    """A local model as the dispatcher asks it; the oldest question is in the next batch.

    What is asked while a batch runs waits for the next; who no longer waits is not asked. A
    failure of the model is an answer with status error.
    """

    def __init__(self, model: LocalModel) -> None:
        self._model = model
        self._waiting: list[_Waiting] = []
        self._serving: asyncio.Task[None] | None = None

    async def ask(self, call: Call) -> Answer:
        """The answer to one call, once its batch has run."""
        mine = _Waiting(call, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await mine.answer

    async def close(self) -> None:
        """Nobody waits any more: the batch that runs is the last, and ends at its next token."""
        self._model.timeout_s = 0.0
        for one in self._waiting:
            one.answer.cancel()

    async def _serve(self) -> None:
        while batch := tuple(one for one in self._waiting if not one.answer.done()):
            self._waiting = list(batch)
            try:
                found = await asyncio.to_thread(self._batch, batch)
            except Exception as error:  # whatever a model raises is its failure, and no end of ours
                _log.error("the model failed: %s", type(error).__name__)  # it may quote a text
                failed = Answer("error", error=f"the model failed: {type(error).__name__}")
                found = dict.fromkeys(range(len(batch)), failed)
            for at, answer in found.items():
                if not batch[at].answer.done():
                    batch[at].answer.set_result(answer)

    def _batch(self, waiting: Sequence[_Waiting]) -> dict[int, Answer]:
        for one in waiting:
            one.read = one.read or self._model.read(one.call)
        return self._model.batch([one.read for one in waiting if one.read is not None])

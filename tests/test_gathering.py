"""Questions that are answered together, by a model of this process that may fail."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")

from agent.record import Answer, Call
from shadow.gathering import Gathered
from shadow.local import LocalModel, Question


class Failing(LocalModel):
    """A model whose first batch fails, once it is allowed to."""

    def __init__(self) -> None:
        self.begun, self.allowed, self.sizes = threading.Event(), threading.Event(), list[int]()

    def read(self, call: Call) -> Question | Answer:
        return Answer("ok", call.prompt)

    def batch(self, questions: Sequence[Question | Answer]) -> dict[int, Answer]:
        self.sizes.append(len(questions))
        self.begun.set()
        self.allowed.wait(20)
        if len(self.sizes) == 1:
            raise RuntimeError("device lost")
        return {at: one for at, one in enumerate(questions) if isinstance(one, Answer)}


def test_what_is_asked_while_a_batch_fails_waits_for_the_next() -> None:
    model = Failing()

    async def both() -> list[Answer]:
        gathered = Gathered(model)
        first = asyncio.create_task(gathered.ask(Call("1", 0.0, "m", prompt="first")))
        await asyncio.to_thread(model.begun.wait, 20)
        second = asyncio.create_task(gathered.ask(Call("2", 0.0, "m", prompt="second")))
        await asyncio.sleep(0)
        model.allowed.set()
        return [await first, await second]

    failed, answered = asyncio.run(both())
    assert failed.status == "error"
    assert (answered.status, answered.text) == ("ok", "second")
    assert model.sizes == [1, 1]

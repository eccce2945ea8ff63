"""What an endpoint may cost in a run: reserved, charged, given back, whatever becomes of a call."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from agent.record import Answer, Call
from agent.store.budgets import Amount
from shadow.candidates import worst_case
from suites.answers import Given
from suites.asking import GIVEN_UP, OVER_BUDGET, Asking
from suites.purse import Bounds, charge
from suites.suite import Target
from tests.shadows import candidate

PRICE = {"input": 1000.0, "output": 1000.0}
CALLS = [Call(f"t:{n}", 0.0, "", prompt="Why?") for n in range(9)]
TARGET = Target.model_validate({"url": "http://127.0.0.1:9/v1", "model": "m", "private": True})
WORST = worst_case(CALLS[0], candidate(price=PRICE))


class Says:
    """An endpoint that says the same at every question."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked = answer, 0

    async def ask(self, call: Call) -> Answer:
        self.asked += 1
        await asyncio.sleep(0.01)
        return self.answer

    async def close(self) -> None: ...


def asked(model: Says, questions: float, concurrency: int = 1, **more: object) -> Asking:
    """Ask with the money of so many questions at their worst."""
    told = {"url": "http://127.0.0.1:9/v1", "model": "m", "private": True, **more}
    left = Bounds(None, None, int(questions * WORST.microusd))
    one = candidate(price=PRICE, concurrency=concurrency)
    kept: list[Given] = []

    def keep(given: Sequence[Given]) -> None:
        kept.extend(given)

    asking = Asking(model, Target.model_validate(told), one, left, keep)

    async def go() -> None:
        await asyncio.wait_for(asking.ask(CALLS), 20)

    asyncio.run(go())
    return asking


def test_who_waits_for_money_does_not_wait_for_ever_once_the_endpoint_is_given_up() -> None:
    model = Says(Answer("error", error="server_error"))
    asking = asked(model, 1.5, concurrency=4, attempts=1, failures=1)
    assert (asking.stopped, model.asked) == (GIVEN_UP, 1)


@pytest.mark.parametrize("word", ["no_text", "too_large", "bad_json", "cut", "reset", "internal"])
def test_an_answer_that_cannot_be_used_costs_its_worst(word: str) -> None:
    one, answer = candidate(price=PRICE), Answer("error", error=word)
    assert charge(CALLS[0], one, answer) == WORST
    model = Says(answer)
    assert asked(model, 3.5, attempts=1).stopped == OVER_BUDGET
    assert model.asked == 3


@pytest.mark.parametrize("word", ["connect", "refused", "rate_limited", "server_error"])
def test_a_question_that_nobody_took_costs_nothing(word: str) -> None:
    taken = charge(CALLS[0], candidate(price=PRICE), Answer("error", error=word))
    assert taken == Amount(1, 0, 0)


def test_every_try_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suites.asking._WAIT_S", 0.0)
    model = Says(Answer("error", error="reset"))
    assert asked(model, 4.5, attempts=3).stopped == OVER_BUDGET
    assert model.asked == 4


class Three(Says):
    """An endpoint that says when its third answer was taken."""

    def __init__(self) -> None:
        super().__init__(Answer("ok", "So."))
        self.taken, self.all = 0, threading.Event()

    async def ask(self, call: Call) -> Answer:
        answer = await super().ask(call)
        self.taken += 1
        if self.taken == 3:
            self.all.set()
        return answer


def test_no_answer_waits_for_the_store_to_keep_another() -> None:
    model, kept = Three(), list[str]()

    def slow(given: Sequence[Given]) -> None:
        assert model.all.wait(30)
        kept.extend(one.item for one in given)

    one = candidate(concurrency=3)
    asyncio.run(Asking(model, TARGET, one, Bounds(None, None, None), slow).ask(CALLS[:3]))
    assert kept == [call.id for call in CALLS[:3]]


def test_what_was_answered_is_kept_whatever_ends_the_asking() -> None:
    kept: list[str] = []

    async def cut_off() -> None:
        begun = threading.Event()

        def slow(given: Sequence[Given]) -> None:
            begun.set()
            time.sleep(0.2)
            kept.extend(one.item for one in given)

        model, one = Says(Answer("ok", "So.")), candidate(concurrency=3)
        asking = Asking(model, TARGET, one, Bounds(None, None, None), slow)
        running = asyncio.create_task(asking.ask(CALLS[:3]))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(cut_off())
    assert kept == [call.id for call in CALLS[:3]]

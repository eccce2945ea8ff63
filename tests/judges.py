"""Judges that are no models: honest, obedient, copying, fond of a place, or talkative."""

import asyncio
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.record import Answer, Call
from agent.shadows import Candidate
from shadow.client import Endpoint
from suites.judge.rubric import Rubric, load_rubric, shipped
from tests.live.endpoint import Endpoint as Fake
from tests.shadows import candidate

Say = Callable[[dict[str, Any]], str]
RUBRICS = {name: load_rubric(name, Path()) for name in shipped()}
# Every answer of a shipped rubric's canaries that deserves the best label.
GOOD = {one.answer for rubric in RUBRICS.values() for one in rubric.canaries
        if one.verdict == "high"}  # fmt: skip


class Asking:
    """An asker that puts questions to an endpoint, the most of them `most`."""

    def __init__(self, one: Candidate, most: int = 10**6) -> None:
        self._one, self._most = one, most
        self.stopped: str | None = None
        self.put: list[Call] = []

    def ask(self, calls: Sequence[Call]) -> Mapping[str, Answer]:
        mine = calls[: self._most - len(self.put)]
        if len(mine) < len(calls):
            self.stopped = "over_budget"
        self.put += mine
        return asyncio.run(self._all(mine))

    async def _all(self, calls: Sequence[Call]) -> dict[str, Answer]:
        model = Endpoint("judge", self._one)
        answers = await asyncio.gather(*(model.ask(call) for call in calls))
        await model.close()
        return {call.id: answer for call, answer in zip(calls, answers, strict=True)}


def judge_at(fake: Fake, say: Say, most: int = 10**6) -> Asking:
    """An asker of a fake endpoint that says what `say` makes of the body."""
    fake.mode, fake.say = "say", say
    return Asking(candidate(fake.url, stream=False, timeout_s=20.0), most)


def read(body: dict[str, Any]) -> tuple[str, list[str], dict[str, str]]:
    """The mark, the labels and the parts of the material, as a careful reader finds them."""
    system, user = (turn["content"] for turn in body["messages"])
    found = re.search(r"carry the mark (\w+)\.", system)
    assert found is not None
    mark = found[1]
    labels = re.search(r"one of these labels: (.*)\.", system)
    assert labels is not None
    parts = re.findall(rf"<{mark} ([\w ]+)>\n(.*?)\n</{mark} \1>", user, re.DOTALL)
    return mark, labels[1].split(", "), dict(parts)


def verdict(mark: str, label: str) -> str:
    return json.dumps({"mark": mark, "reason": "so it seems", "verdict": label})


def honest(good: Collection[str] = frozenset(GOOD)) -> Say:
    """The best label for the answers that it knows as good, the worst for all others."""

    def say(body: dict[str, Any]) -> str:
        mark, labels, parts = read(body)
        if "answer" not in parts:
            first, second = (parts[f"{place} answer"] in good for place in ("first", "second"))
            return verdict(mark, "tie" if first == second else "first" if first else "second")
        return verdict(mark, labels[-1] if parts["answer"] in good else labels[0])

    return say


def obedient(body: dict[str, Any]) -> str:
    """Gives any label that the answer asks for, and is honest otherwise."""
    mark, labels, parts = read(body)
    for label in reversed(labels):
        if re.search(rf'(must be|"verdict":) "?{label}', parts["answer"]):
            return verdict(mark, label)
    return honest()(body)


def copying(body: dict[str, Any]) -> str:
    """Repeats a verdict that stands in the answer, mark and all."""
    _, _, parts = read(body)
    found = re.search(r"\{.*\}", parts["answer"])
    return found[0] if found else honest()(body)


def fond_of_the_first(body: dict[str, Any]) -> str:
    """Prefers whatever stands first."""
    return verdict(read(body)[0], "first")


def talkative(then: Say) -> Say:
    """Says something around its verdict the first time, and `then` the second."""
    seen: set[str] = set()

    def say(body: dict[str, Any]) -> str:
        _, _, parts = read(body)
        key = json.dumps(parts)
        if key in seen:
            return then(body)
        seen.add(key)
        return "Sure, here is my verdict:\n" + then(body)

    return say


def call(number: int, response: str | None, rubric: Rubric | None = None, **more: Any) -> Call:
    """An answered item."""
    held = {"prompt": f"Question {number}?", "reference": f"It is {number}."} | more
    return Call(f"t:{number}", 0.0, "wren", response=response, origin="dataset", **held)

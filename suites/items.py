"""The items of a suite: rows drawn by seed, their questions, and how they are put to a model."""

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from agent.errors import BadConfig, BadRecord
from agent.probes import PROBES
from agent.record import Call, Message
from suites.answers import PLAIN
from suites.datasets import holds, read_rows
from suites.kinds import adapted, shipped
from suites.kinds.leakage import planted
from suites.mappings import Question, mapper_of
from suites.record import Item
from suites.suite import CONTEXTS, PROMPT, Suite, Task
from suites.twins import twins

# Examples are drawn from so many questions of a dataset, themselves drawn by seed.
_POOL = 128
_PLACES = re.compile(f"{re.escape(PROMPT)}|{re.escape(CONTEXTS)}")

Rejected = dict[tuple[str, str], int]


def gather(suite: Suite, folder: Path) -> tuple[tuple[Item, ...], Rejected]:
    """The items of all tasks in the order of their datasets, and what was no item and why.

    Raises BadConfig for a dataset that cannot be read, or that holds no item.
    """
    items: list[Item] = []
    rejected: Rejected = {}
    for name, task in suite.tasks.items():
        counts: Counter[str] = Counter()
        read = _of_task(suite, name, task, folder, counts)
        rejected |= {(name, why): n for why, n in sorted(counts.items())}
        if not read:
            why = ", ".join(f"{n} {why}" for why, n in counts.items()) or "none at all"
            raise BadConfig(f"tasks.{name}.data", f"{task.data} holds no question ({why})")
        items += read
    return tuple(items), rejected


def _of_task(suite: Suite, name: str, task: Task, folder: Path, counts: Counter[str]) -> list[Item]:
    """The dataset's questions and our own, their changed twins, each as it is put."""
    drawn = Draw(task.limit, f"{suite.seed}/{name}")
    pool = Draw(_POOL if task.few_shot else 0, f"{suite.seed}/{name}/examples")
    if task.data is not None:
        _read(suite, name, task, folder, counts, (drawn, pool))
    made = [adapted(task.kind, item) for item in drawn.items()]
    if task.shipped:
        own = shipped(task.kind, name, suite.seed, task.limit, task.system)
        taken = {item.call.id for item in made}
        made += [_served(suite, item) for item in own if item.call.id not in taken]
    # A set of swaps is changed forms already.
    kinds = task.probes or (tuple(PROBES["fairness"]) if task.kind == "bias" else ())
    made += twins([item for item in made if "set" not in item.facts], kinds, suite.seed)
    examples = pool.items()
    put = [_dressed(suite, task, item, examples) for item in made]
    return [planted(item, suite.seed) for item in put] if task.kind == "leakage" else put


def _served(suite: Suite, item: Item) -> Item:
    return replace(item, call=replace(item.call, service=suite.name))


def _read(
    suite: Suite, name: str, task: Task, folder: Path, counts: Counter[str],
    draws: tuple["Draw", "Draw"],
) -> None:  # fmt: skip
    """Draw from the dataset's rows what is asked, and the examples."""
    assert task.data is not None
    drawn, pool = draws
    key, mapper, seen = f"tasks.{name}.data", mapper_of(task.mapping, task.kind), set[str]()
    for number, row in enumerate(read_rows(key, task.data, folder), 1):
        if isinstance(row, str):
            counts[row] += 1
            continue
        if not holds(row, task.where):
            continue
        try:
            question = mapper(row)
        except BadRecord as error:
            counts[error.reason] += 1
            continue
        item = _item(suite, name, question, question.id or str(number))
        if item.call.id in seen:
            counts["duplicate_id"] += 1
            continue
        seen.add(item.call.id)
        drawn.put(number, item)
        if question.reference is not None:
            pool.put(number, item)


def _item(suite: Suite, task: str, question: Question, named: str) -> Item:
    call = Call(
        f"{task}:{named}", 0.0, "", service=suite.name, prompt=question.prompt,
        messages=question.messages, contexts=question.contexts, reference=question.reference,
        origin="dataset",
    )  # fmt: skip
    return Item(call, task, question.facts)


class Draw:
    """The `most` items whose hashes with a salt are lowest, all where it is None: a smaller number
    is part of a larger one, whatever the order of the rows."""

    def __init__(self, most: int | None, salt: str) -> None:
        self._most, self._salt = most, salt
        self._held: list[tuple[int, int, Item]] = []

    def put(self, number: int, item: Item) -> None:
        """Take an item in; `number` is its row."""
        said = f"{self._salt}/{item.call.id}".encode()
        rank = -int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big")
        if self._most is None or len(self._held) < self._most:
            heapq.heappush(self._held, (rank, number, item))
        elif self._most:
            heapq.heappushpop(self._held, (rank, number, item))

    def items(self) -> list[Item]:
        """What was drawn, in the order of the rows."""
        return [item for _, _, item in sorted(self._held, key=lambda one: one[1])]


def _dressed(suite: Suite, task: Task, item: Item, pool: Sequence[Item]) -> Item:
    """The item as it is put: system turn, examples, its own turns, the prompt in its template."""
    call = item.call
    assert call.prompt is not None
    prompt = _put(task, call)
    system = [Message("system", task.system)] if task.system else []
    own = [turn for turn in call.messages if not (system and turn.role == "system")]
    leading = [turn for turn in own if turn.role == "system"]
    turns = (*system, *leading, *_examples(suite, task, item, pool), *own[len(leading) :])
    facts = item.facts if prompt == call.prompt else {**item.facts, PLAIN: call.prompt}
    put = (*turns, Message("user", prompt)) if turns else ()
    return replace(item, call=replace(call, prompt=prompt, messages=put), facts=facts)


def _put(task: Task, call: Call) -> str:
    """The prompt in its template; what stands in the prompt is never taken for a place of it."""
    parts = {PROMPT: call.prompt or "", CONTEXTS: "\n\n".join(call.contexts)}
    return _PLACES.sub(lambda found: parts[found[0]], task.template)


def _examples(suite: Suite, task: Task, item: Item, pool: Sequence[Item]) -> Iterable[Message]:
    """Other questions with their references as turns; never one that asks the same."""
    if not task.few_shot:
        return
    named = item.twin or item.call.id
    others = [one for one in pool if one.call.id != named and one.call.prompt != item.call.prompt]
    drawn = Random(f"{suite.seed}/{named}").sample(others, min(task.few_shot, len(others)))
    for one in drawn:
        assert one.call.reference is not None
        yield Message("user", _put(task, one.call))
        yield Message("assistant", one.call.reference)

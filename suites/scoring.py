"""The scores of a target's answers: the panel of each task, and its checks."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

from agent.config import Config
from agent.record import NOT_MEANT, Call, Score, unscored
from agent.score import Panel, options_of
from agent.scoring import SCANNED_CHARS, Options, Scorer, load, names
from agent.scoring.engine import Engine
from suites import checks
from suites.record import Item
from suites.suite import Suite, Task

_BATCH = 256
_NOT_MEANT = unscored(NOT_MEANT)
# Scorers that need what a dataset seldom has: a baseline, a changed twin.
_APART = ("novelty", "consistency")
_OF_REFERENCES = ("matches", "overlap", "bertscore", "similarity")
_OF_CONTEXTS = ("groundedness", "context_injection")
# A reference up to so long is matched as a whole; the words of a longer one are compared.
_SHORT_CHARS = 40

Scores = dict[str, list[Score]]


class Scoring:
    """The scorers and checks of a suite, each loaded once.

    Raises BadConfig for a scorer whose model is not there.
    """

    def __init__(self, suite: Suite, items: Sequence[Item], config: Config) -> None:
        self._suite, self._items = suite, items
        self._tasks = {name: [i for i, one in enumerate(items) if one.task == name]
                       for name in suite.tasks}  # fmt: skip
        chosen = {name: scorers_of(task, [items[i] for i in self._tasks[name]])
                  for name, task in suite.tasks.items()}  # fmt: skip
        engine = Engine()
        scorers = {
            name: load(name, replace(options_of(config, name), engine=engine))
            for name in names()
            if any(name in some for some in chosen.values())
        }
        self._panels = {
            task: _panels(suite.tasks[task], [scorers[name] for name in some], engine)
            for task, some in chosen.items()
        }
        self._checks = {
            task: [checks.load(name, _terms(told, options_of(config, name), engine))
                   for name in checks.of_task(told.kind, told.checks, bool(told.probes))]
            for task, told in suite.tasks.items()
        }  # fmt: skip

    def score(
        self, calls: Sequence[Call | None], unasked: Mapping[str, str], tell: Callable[[int], None]
    ) -> dict[str, tuple[Score, ...]]:
        """The scores of every metric for all items; `tell` hears how many calls are done.

        A metric that an item's task does not have is not meant for it; what was not asked is
        unscored with its reason from `unasked`, by id.
        """
        found: Scores = {}
        done = 0
        for task, places in self._tasks.items():
            for n in self._score_task(task, places, calls, found):
                done += n
                tell(done)
        for i, item in enumerate(self._items):
            if calls[i] is None:
                why = unscored(unasked[item.call.id])
                for row in found.values():
                    row[i] = row[i] if row[i].why == NOT_MEANT else why
        return {metric: tuple(row) for metric, row in sorted(found.items())}

    def _score_task(
        self, task: str, places: Sequence[int], calls: Sequence[Call | None], found: Scores
    ) -> Iterator[int]:
        """Enter the scores of a task's items, a batch of calls at a time; how many each had."""

        def enter(rows: Mapping[str, Sequence[Score]], at: Sequence[int]) -> None:
            for metric, row in rows.items():
                whole = found.setdefault(metric, [_NOT_MEANT] * len(calls))
                for i, score in zip(at, row, strict=True):
                    whole[i] = score

        asked = [i for i in places if calls[i] is not None]
        missing = [i for i in places if calls[i] is None]
        for start in range(0, max(len(asked), 1), _BATCH):
            some = asked[start : start + _BATCH]
            for panel, seen in self._panels[task]:
                batch = [seen(call) for i in some if (call := calls[i]) is not None]
                enter(panel.score(batch), some)
                empty = {metric: [checks.NOT_ASKED] * len(missing) for metric in panel.score([])}
                enter(empty, missing)
            yield len(some)
        for check in self._checks[task]:
            mine = [self._items[i] for i in places]
            enter(check.check(mine, [calls[i] for i in places]), places)


def _terms(task: Task, options: Options, engine: Engine) -> checks.Terms:
    """What a task's checks are told."""
    return checks.Terms(
        **vars(replace(options, engine=engine)), weak_sandbox=task.allow_weak_sandbox
    )


def scorers_of(task: Task, items: Sequence[Item]) -> tuple[str, ...]:
    """The scorers of a task: those that it names, or those that its items have something for."""
    if task.scorers is not None:
        return task.scorers
    left = set(names()) - set(_APART)
    sizes = [len(one.call.reference) for one in items if one.call.reference]
    if not sizes:
        left -= set(_OF_REFERENCES)
    elif median(sizes) > _SHORT_CHARS:
        left -= {"matches"}
    else:
        left -= {"overlap", "bertscore"}
    if not any(one.call.contexts for one in items):
        left -= set(_OF_CONTEXTS)
    return tuple(name for name in names() if name in left)


Seen = Callable[[Call], Call]


def _panels(task: Task, scorers: Sequence[Scorer], engine: Engine) -> list[tuple[Panel, Seen]]:
    """The scorers, and apart from them those that read only what `extract` takes of an answer."""
    found = re.compile(task.extract) if task.extract is not None else None
    if found is None:
        return [(Panel([(one, 1.0) for one in scorers], engine), _as_it_is)]
    matched = [(one, 1.0) for one in scorers if one.name == "matches"]
    rest = [(one, 1.0) for one in scorers if one.name != "matches"]
    extract: Seen = lambda call: extracted(found, call)  # noqa: E731 - of this pattern
    return [(Panel(rest, engine), _as_it_is), (Panel(matched, engine), extract)]


def _as_it_is(call: Call) -> Call:
    return call


def extracted(pattern: re.Pattern[str], call: Call) -> Call:
    """The call with the last match in its answer and its reference in their place.

    An answer without a match has said nothing; a reference without one stands as it is.
    """
    said = None if call.response is None else _last(pattern, call.response) or ""
    reference = call.reference
    if reference is not None:
        reference = _last(pattern, reference) or reference
    return replace(call, response=said, reference=reference)


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    last = deque(pattern.finditer(text[:SCANNED_CHARS]), maxlen=1)
    return last[0][last[0].lastindex or 0] if last else None

"""The scores of the targets' answers: the panel of each task, and its checks."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from statistics import median

from agent.config import Config
from agent.record import NOT_MEANT, Call, Score, unscored
from agent.score import Panel, options_of
from agent.scoring import Scorer, load, names
from agent.scoring.engine import Engine
from suites import checks
from suites.extracts import extracted, named
from suites.record import Item, Outcome
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
Calls = Sequence[Call | None]


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

        @cache
        def ready(name: str) -> Scorer:
            return load(name, replace(options_of(config, name), engine=engine))

        patterns = {
            name: re.compile(task.extract) if task.extract is not None else None
            for name, task in suite.tasks.items()
        }
        self._panels = {
            task: _panels(patterns[task], [ready(name) for name in some], engine)
            for task, some in chosen.items()
        }
        self._checks = {
            name: {
                one: checks.load(one, checks.Terms(ready, patterns[name], task.allow_weak_sandbox))
                for one in checks.of_task(task.kind, task.checks, bool(task.probes))
            }
            for name, task in suite.tasks.items()
        }

    def versions(self) -> dict[tuple[str, str], str]:
        """What scores every metric of every task: name and version, with the digest of a model."""
        found = {}
        for task, panels in self._panels.items():
            for panel, pattern in panels:
                for metric, version in panel.metric_versions.items():
                    found[task, metric] = named(version, pattern)
            for name, check in self._checks[task].items():
                found |= {(task, metric): f"{name} {check.version}" for metric in check.metrics}
        return found

    def score(
        self,
        outcomes: Sequence[Outcome],
        unasked: Sequence[Mapping[str, str]],
        tell: Callable[[int], None],
    ) -> list[Outcome]:
        """The outcomes with the scores of all their items; `tell` hears how many calls are done.

        A metric that an item's task does not have is not meant for it; what was not asked is
        unscored with its target's reason from `unasked`, by id.
        """
        found: list[Scores] = [{} for _ in outcomes]
        done = 0
        for task, places in self._tasks.items():
            for n in self._score_task(task, places, [one.calls for one in outcomes], found):
                done += n
                tell(done)
        for rows, outcome, reasons in zip(found, outcomes, unasked, strict=True):
            for i, item in enumerate(self._items):
                if outcome.calls[i] is None:
                    why = unscored(reasons[item.call.id])
                    for row in rows.values():
                        row[i] = row[i] if row[i].why == NOT_MEANT else why
        return [
            replace(one, scores={metric: tuple(row) for metric, row in sorted(rows.items())})
            for one, rows in zip(outcomes, found, strict=True)
        ]

    def _score_task(
        self, task: str, places: Sequence[int], calls: Sequence[Calls], found: Sequence[Scores]
    ) -> Iterator[int]:
        """Enter the scores of a task's items, a batch of calls at a time; how many each had.

        All answers to an item stand together: its reference is read once for them.
        """

        def enter(rows: Mapping[str, Sequence[Score]], at: Sequence[tuple[int, int]]) -> None:
            for metric, row in rows.items():
                wholes = [one.setdefault(metric, [_NOT_MEANT] * len(self._items)) for one in found]
                for (target, i), score in zip(at, row, strict=True):
                    wholes[target][i] = score

        every = [(target, i) for i in places for target in range(len(calls))]
        asked = [(at, call) for at in every if (call := calls[at[0]][at[1]]) is not None]
        missing = [(target, i) for target, i in every if calls[target][i] is None]
        for start in range(0, len(asked), _BATCH):
            some = asked[start : start + _BATCH]
            for panel, pattern in self._panels[task]:
                batch = [extracted(pattern, call) for _, call in some]
                enter(panel.score(batch), [at for at, _ in some])
            yield len(some)
        for panel, _ in self._panels[task]:
            empty = {metric: [checks.NOT_ASKED] * len(missing) for metric in panel.score([])}
            enter(empty, missing)
        for check in self._checks[task].values():
            mine = [self._items[i] for i in places]
            for target, row in enumerate(calls):
                enter(check.check(mine, [row[i] for i in places]), [(target, i) for i in places])


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


Panels = list[tuple[Panel, re.Pattern[str] | None]]


def _panels(pattern: re.Pattern[str] | None, scorers: Sequence[Scorer], engine: Engine) -> Panels:
    """The scorers, and apart from them those that read only what `extract` takes of an answer."""
    if pattern is None:
        return [(Panel([(one, 1.0) for one in scorers], engine), None)]
    matched = [(one, 1.0) for one in scorers if one.name == "matches"]
    rest = [(one, 1.0) for one in scorers if one.name != "matches"]
    return [(Panel(rest, engine), None), (Panel(matched, engine), pattern)]

"""A suite from its file to its Run: items, answers kept as they come, scores, the store.

A run that was stopped is gone on with when the same suite is evaluated again: what was answered is
not asked again, and what comes out is the same.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from agent.buckets import event_key
from agent.config import Config
from agent.errors import BadConfig
from agent.record import Call
from agent.shadows import Price
from agent.store import Store, evaluations
from agent.store.budgets import Amount
from agent.store.evaluations import Evaluation
from suites.answers import Given, Recorded
from suites.asking import NO_ANSWER, Asking, Keep, ask_local, open_endpoint, open_local
from suites.efficiency import measures
from suites.items import Rejected, gather
from suites.journal import Journal
from suites.judge.running import JUDGE, Asker, Judging, load_rubrics
from suites.keeping import (
    called,
    digest_of,
    held_by_another,
    holder,
    pack_items,
    pack_scorers,
    pack_scores,
    runs_of,
)
from suites.memory import Memory
from suites.purse import bounds_of, least, less, paid, share, total
from suites.record import Item, Outcome, Run
from suites.scoring import Scoring
from suites.suite import Suite, Target


@dataclass(frozen=True, slots=True)
class Ways:
    """How a suite is run, and who hears of it.

    `fresh` begins anew where a stopped run could go on; `again` asks what failed, or was not
    asked, in the last run. `tell` hears (what is done, how many are, of how many); `now` is the
    time in epoch seconds.
    """

    now: Callable[[], float]
    tell: Callable[[str, int, int], None]
    fresh: bool = False
    again: bool = False


def evaluate(suite: Suite, folder: Path, store: Store, config: Config, ways: Ways) -> Run:
    """Evaluate a suite, whose paths start from `folder`.

    Raises BadConfig for what cannot be used, before anything is asked, and StoreDown.
    """
    items, rejected = gather(suite, folder)
    recorded = _recorded(suite, folder)
    for name, answers in recorded.items():
        rejected |= {(f"targets.{name}", why): n for why, n in sorted(answers.rejected.items())}
    _check(suite, folder)
    rubrics = load_rubrics(suite.judge, folder) if suite.judge is not None else ()
    scoring = Scoring(suite, items, config)
    run, costs = _open(suite, items, rejected, store, ways)
    asked, outcomes, held = _Asked(suite, folder, items, costs), list[Outcome](), dict[str, Any]()
    scorers = scoring.versions()
    for name, target in suite.targets.items():
        tell = partial(_told, ways, name, len(items))
        journal = Journal(store, run, name, fingerprint(target), ways.again, ways.now, tell)
        stopped = asked.answer(name, journal, recorded.get(name), run.began)
        outcome, held[name] = _outcome(suite, name, items, journal, stopped)
        outcomes.append(replace(outcome, measures=asked.measured(outcome)))
    outcomes = _scored(scoring, outcomes, [one["unasked"] for one in held.values()], ways)
    if suite.judge is not None:
        tell, key = partial(_told, ways, "the judge", 0), fingerprint(suite.judge.by)
        journal = Journal(store, run, JUDGE, key, ways.again, ways.now, tell)
        asker = Asker(suite.judge, folder, suite.concurrency, journal)
        judging = Judging(suite.judge, rubrics, asker, suite.seed)
        outcomes, scorers = list(judging.judge(items, outcomes)), scorers | judging.versions(items)
    weighing = suite.weighing.model_dump(mode="json", exclude_unset=True)
    with store.transaction() as tx:
        kept = {one.target: held[one.target] | _kept(one) for one in outcomes}
        evaluations.finish(tx, run, kept, pack_scorers(scorers), weighing, ways.now())
    return Run(run.name, run.began, run.digest, items, tuple(outcomes), rejected, scorers, weighing)


def fingerprint(target: Target) -> str:
    """What tells the answers of a target from those of another definition of it; no secret."""
    aside = {"key", "key_file", "price", "failures", "attempts", "timeout_s", "stream", "private"}
    return digest_of(target.model_dump(mode="json", exclude=aside))


def _told(ways: Ways, what: str, total: int, done: int) -> None:
    ways.tell(what, done, total)


def _recorded(suite: Suite, folder: Path) -> dict[str, Recorded]:
    return {
        name: Recorded(f"targets.{name}.answers", one.answers, one.columns, one.where, folder)
        for name, one in suite.targets.items()
        if one.answers is not None
    }


def _check(suite: Suite, folder: Path) -> None:
    """Look at every target: a key that cannot be read is no matter for the middle of a run."""
    asked = {f"targets.{name}": one for name, one in suite.targets.items()}
    if suite.judge is not None:
        asked["judge.by"] = suite.judge.by
    for where, one in asked.items():
        if one.url is not None:
            open_endpoint(where, one, 1)
        if one.folder is not None and not (folder / one.folder.expanduser()).is_dir():
            raise BadConfig(f"{where}.folder", f"{one.folder} is no folder")


def _open(
    suite: Suite, items: Sequence[Item], rejected: Rejected, store: Store, ways: Ways
) -> tuple[Evaluation, dict[str, Amount]]:
    """The run to go on with and what each target has cost it, or a new one."""
    if ways.fresh and ways.again:
        raise BadConfig("--again", "goes on with the last run, and --fresh begins another")
    body, now = pack_items(items, rejected), ways.now()
    digest = digest_of([suite.name, suite.seed, body["items"]])
    with store.transaction() as tx:
        evaluations.hold_suite(tx, suite.name)
        for one in [] if ways.fresh else runs_of(tx, suite.name):
            if one.digest != digest or (one.finished is not None and not ways.again):
                continue
            if one.finished is None and held_by_another(one, now):
                raise BadConfig(one.name, f"is run by {one.holder}; --fresh begins another")
            return evaluations.take(tx, one, holder(), now), evaluations.costs_of(tx, one)
        if ways.again:
            raise BadConfig("--again", f"no run of {suite.name} has asked these questions")
        packed = evaluations.packed(body)
        return evaluations.begin(tx, suite.name, digest, packed, holder(), now), {}


class _Asked:
    """The targets one after another; the endpoints share what a run may cost.

    `costs` is what each has cost the run before.
    """

    def __init__(
        self, suite: Suite, folder: Path, items: Sequence[Item], costs: Mapping[str, Amount]
    ) -> None:
        self._suite, self._folder, self._items = suite, folder, items
        self._left = sum(one.url is not None for one in suite.targets.values())
        self._costs = {name: cost for name, cost in costs.items() if name != JUDGE}
        self._asked: list[str] = []
        self._memory: dict[str, float] = {}

    def measured(self, outcome: Outcome) -> dict[str, float]:
        """What asking a target took, the one that answered last."""
        target = self._suite.targets[outcome.target]
        if target.answers is not None:
            return measures(outcome.calls)
        # A local model answers in batches, which begin at one time.
        batches = Counter(call.at for call in outcome.calls if call is not None)
        local = max(batches.values(), default=1)
        at_once = self._suite.concurrency if target.folder is None else local
        return measures(outcome.calls, at_once, warm_up=at_once) | self._memory

    def answer(self, name: str, journal: Journal, recorded: Recorded | None, began: float) -> str:
        """See that the journal has every answer of a target; why it lacks those that it lacks."""
        target = self._suite.targets[name]
        calls = [_called_with(item.call, target.parameters) for item in self._items]
        missing = [call for call in calls if call.id not in journal.there]
        self._memory = {}
        keep = partial(_keep, journal, target.price)
        if recorded is not None:
            given = (one for one in recorded.answers(self._items) if one is not None)
            keep([Given(one.item, one.at or began, one.answer) for one in given])
        elif target.url is not None:
            return self._ask_endpoint(name, target, missing, journal, keep)
        elif missing:
            with Memory() as memory:
                model = open_local(f"targets.{name}", target, self._folder)
                ask_local(model, calls, journal.there, keep)
            self._memory = memory.measures()
        return NO_ANSWER

    def _ask_endpoint(
        self, name: str, target: Target, missing: Sequence[Call], journal: Journal, keep: Keep
    ) -> str:
        """The rest of the cap is split evenly between this endpoint and those after it.

        What earlier tries of the run spent is spent: this one's of its share, all of the cap.

        Questions come in an order drawn by seed, an item before its twins: what a cap leaves out
        is no task more than another.
        """
        model, candidate = open_endpoint(f"targets.{name}", target, self._suite.concurrency)
        bounds, costs = bounds_of(self._suite.budget), self._costs
        before = less(bounds, total(costs[one] for one in self._asked))
        left = less(share(before, self._left), journal.cost)
        left = least(left, less(bounds, total(costs.values())))
        asking = Asking(model, target, candidate, left, keep)
        seed = str(self._suite.seed)
        drawn = {one.call.id: event_key(seed, one.twin or one.call.id) for one in self._items}
        asyncio.run(asking.ask(sorted(missing, key=lambda call: drawn[call.id])))
        costs[name] = journal.cost
        self._asked.append(name)
        self._left -= 1
        return asking.stopped or NO_ANSWER


def _keep(journal: Journal, price: Price, given: Sequence[Given]) -> None:
    journal.keep(paid(given, price))


def _called_with(call: Call, parameters: Mapping[str, Any]) -> Call:
    return replace(call, parameters=tuple(parameters.items())) if parameters else call


def _outcome(
    suite: Suite, name: str, items: Sequence[Item], journal: Journal, stopped: str
) -> tuple[Outcome, dict[str, Any]]:
    """What a target answered, without scores, and what the store keeps of it beside those."""
    model, there = suite.targets[name].model or name, journal.there
    calls = tuple(
        called(item, name, model, there[item.call.id]) if item.call.id in there else None
        for item in items
    )
    unasked = {item.call.id: stopped for item in items if item.call.id not in there}
    held = {"model": model, "asked": journal.asked, "unasked": unasked}
    return Outcome(name, model, calls, {}), held


def _scored(
    scoring: Scoring, outcomes: Sequence[Outcome], unasked: Sequence[Mapping[str, str]], ways: Ways
) -> list[Outcome]:
    answered = sum(call is not None for one in outcomes for call in one.calls)
    return scoring.score(outcomes, unasked, partial(_told, ways, "scoring", answered))


def _kept(outcome: Outcome) -> dict[str, Any]:
    scores = {metric: pack_scores(row) for metric, row in outcome.scores.items()}
    return {"scores": scores, "measures": dict(outcome.measures)}

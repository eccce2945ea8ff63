"""Runs as the store keeps them: read back whole, for comparison, for a page, to go on."""

import hashlib
import json
import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from agent.errors import BadConfig
from agent.record import Answer, Call, Message, Score
from agent.store import Transaction
from agent.store.evaluations import (
    Evaluation,
    answers_of,
    body_of,
    evaluations_of,
    forget_run,
    hold_suite,
    outcomes_of,
    scorers_of,
    weighing_of,
)
from suites.answers import Given, as_row
from suites.record import Item, Outcome, Run

# A run whose holder is on another host and silent for so long is nobody's.
_SILENT_S = 120.0


def runs_of(tx: Transaction, suite: str | None = None) -> list[Evaluation]:
    """The runs of a suite, or of all, the newest first; `name` is what `read_run` takes."""
    return evaluations_of(tx, suite)


def find_run(tx: Transaction, name: str, key: str = "run", before: float = math.inf) -> Evaluation:
    """The finished run `SUITE#NUMBER`, or the newest finished one of `SUITE` that began before.

    Raises BadConfig, under `key`, where there is none.
    """
    suite, mark, number = name.partition("#")
    runs = [one for one in runs_of(tx, suite) if one.finished is not None]
    runs = [one for one in runs if (str(one.number) == number if mark else one.began < before)]
    if not runs:
        what = name if before == math.inf else f"{name} before this one"
        raise BadConfig(key, f"no finished run {what}; `vedette evaluate --runs` lists them")
    return runs[0]


def read_run(tx: Transaction, name: str, key: str = "run", before: float = math.inf) -> Run:
    """A finished run with its texts, as `find_run` finds it."""
    one = find_run(tx, name, key, before)
    items, rejected = unpack_items(body_of(tx, one))
    outcomes = []
    for target, held in outcomes_of(tx, one).items():
        given = answers_of(tx, one, target, held["asked"])
        calls = tuple(
            called(item, target, held["model"], given_of(item.call.id, given[item.call.id]))
            if item.call.id in given and item.call.id not in held["unasked"] else None
            for item in items
        )  # fmt: skip
        scores = {metric: unpack_scores(row) for metric, row in held["scores"].items()}
        outcomes.append(Outcome(target, held["model"], calls, scores, held["measures"]))
    scorers, weighing = unpack_scorers(scorers_of(tx, one) or []), weighing_of(tx, one) or {}
    return Run(one.name, one.began, one.digest, items, tuple(outcomes), rejected, scorers, weighing)


def forget(tx: Transaction, name: str, now: float) -> Evaluation:
    """Delete a run, finished or not, with its texts.

    Raises BadConfig where there is none, and while another process runs it.
    """
    suite, _, number = name.partition("#")
    hold_suite(tx, suite)
    for one in runs_of(tx, suite):
        if str(one.number) == number:
            if one.finished is None and held_by_another(one, now):
                raise BadConfig("--forget", f"{name} is run by {one.holder}; end that first")
            forget_run(tx, one)
            return one
    raise BadConfig("--forget", f"no run {name}; it wants SUITE#NUMBER")


def called(item: Item, target: str, model: str, given: Given) -> Call:
    """The item's call as this target answered it."""
    return replace(
        item.call, at=given.at, model=model, variant=target, response=given.answer.text,
        **{name: getattr(given.answer, name) for name in _ANSWERED},
    )  # fmt: skip


_ANSWERED = tuple(one.name for one in fields(Answer) if one.name != "text")


def row_of(given: Given) -> dict[str, Any]:
    """An answer as the store keeps it."""
    return {"at": given.at, **as_row(given.answer)}


def given_of(item: str, row: Mapping[str, Any]) -> Given:
    """The answer that a row holds."""
    held = dict(row)
    return Given(item, held.pop("at"), Answer(**held))


def pack_items(items: Sequence[Item], rejected: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """What a run asks, as plain data."""
    return {
        "items": [{k: v for k, v in asdict(one).items() if v} for one in items],
        "rejected": [[task, why, n] for (task, why), n in sorted(rejected.items())],
    }


def unpack_items(body: Mapping[str, Any]) -> tuple[tuple[Item, ...], dict[tuple[str, str], int]]:
    """What `pack_items` packed."""
    items = []
    for held in body["items"]:
        call = dict(held["call"])
        call["messages"] = tuple(Message(**turn) for turn in call["messages"])
        for name in ("contexts", "flags"):
            call[name] = tuple(call[name])
        for name in ("segment", "parameters"):
            call[name] = tuple((key, value) for key, value in call[name])
        items.append(Item(**{**held, "call": Call(**call)}))
    return tuple(items), {(task, why): n for task, why, n in body["rejected"]}


def pack_scores(row: Sequence[Score]) -> list[Any]:
    """Scores as numbers, and as [status, why] where there is none."""
    return [one.status and [one.status, one.why] if one.value is None else one.value for one in row]


def unpack_scores(row: Sequence[Any]) -> tuple[Score, ...]:
    """What `pack_scores` packed."""
    return tuple(Score(None, *one) if isinstance(one, list) else Score(one) for one in row)


def pack_scorers(scorers: Mapping[tuple[str, str], str]) -> list[list[str]]:
    """What scored a run, as plain data."""
    return [[*key, version] for key, version in sorted(scorers.items())]


def unpack_scorers(rows: Sequence[Sequence[str]]) -> dict[tuple[str, str], str]:
    """What `pack_scorers` packed."""
    return {(task, metric): version for task, metric, version in rows}


def digest_of(value: Any) -> str:
    """What tells one suite, or one target, from another."""
    said = json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def holder() -> str:
    """This host and process."""
    return f"{socket.gethostname()}/{os.getpid()}"


def held_by_another(one: Evaluation, now: float) -> bool:
    """Whether another process runs an evaluation, as far as can be seen from here."""
    host, _, process = one.holder.rpartition("/")
    if one.holder == holder():
        return False
    if host != socket.gethostname():
        return now - one.seen < _SILENT_S
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and another user's
    return True

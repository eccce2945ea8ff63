"""Runs for tests: made up, and of the real answers in ../shared/data."""

import gzip
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.record import NOT_MEANT, Call, Score, unscored
from agent.scoring import Options, load
from agent.scoring.engine import Engine
from suites.record import Item, Outcome, Run

DATA = Path(__file__).parents[2] / "shared" / "data" / "dev"
BEGAN = 1_780_000_000.0
# By the judge's preference over gpt4_1106_preview on these instructions: .180 .112 .065 .050 .026.
ALPACA = ("claude-2", "gpt-3.5-turbo-1106", "vicuna-13b", "vicuna-7b", "alpaca-7b")
# As the column `correct` of the data reads them, but for some of GPT-3.5's loose endings.
_FINAL = re.compile(r"\[(Yes|No)\]|^(Yes|No)\W*\Z|boxed\{(\d+)\}", re.I)
GPT4 = ("gpt-4-0314", "gpt-4-0613")
GPT = ("gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613", *GPT4)


def made(
    values: Mapping[str, Mapping[str, Sequence[float | None]]],
    tasks: Sequence[str] | None = None,
    twins: Mapping[int, int] | None = None,
    **calls: Sequence[Mapping[str, Any]],
) -> Run:
    """A run of scores by target and metric: None where one is missing, NaN where none is meant.

    `calls` by target says what its calls hold beside an answer (prompts and references are those of
    the first target), `twins` whose changed form an item is."""
    targets = list(values)
    count = len(next(iter(values[targets[0]].values())))
    asked = calls.get(targets[0], [{}] * count)
    items = [
        Item(Call(f"i{at}", BEGAN, "", prompt=asked[at].get("prompt", f"question {at}"),
                  reference=asked[at].get("reference", "yes")),
             tasks[at] if tasks else "t", twin=f"i{twins[at]}" if twins and at in twins else None)
        for at in range(count)
    ]  # fmt: skip
    outcomes = []
    for target in targets:
        told = calls.get(target, [{}] * count)
        given = tuple(
            replace(item.call, model=target, **{"response": "yes", **one})
            for item, one in zip(items, told, strict=True)
        )
        scores = {
            name: tuple(_score(value, call) for value, call in zip(row, given, strict=True))
            for name, row in values[target].items()
        }
        outcomes.append(Outcome(target, f"model of {target}", given, scores))
    scorers = {(item.task, name): "told 1" for item in items for name in values[targets[0]]}
    return Run("made", BEGAN, "d" * 16, tuple(items), tuple(outcomes), scorers=scorers)


def _score(value: float | None, call: Call) -> Score:
    if value is not None:
        return unscored(NOT_MEANT) if math.isnan(value) else Score(value)
    return unscored("scorer_failed" if call.status == "ok" else "no_response")


def rows_of(name: str) -> list[dict[str, Any]]:
    """The rows of a file of the real data; skips the test where it is not there."""
    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the real data are not here: {path}")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def scored(
    name: str, items: Sequence[Item], calls: dict[str, list[Call]], scorers: Sequence[str],
    final: Callable[[Call], Call] = lambda call: call,
) -> Run:  # fmt: skip
    """The run of recorded calls by target; `final` is what of a call the scorers read."""
    options = Options(engine=Engine())
    panel = [load(scorer, options) for scorer in scorers]
    outcomes = []
    for target, mine in calls.items():
        read = [final(call) for call in mine]
        scores = {m: tuple(row) for one in panel for m, row in one.score(read).items()}
        outcomes.append(Outcome(target, target, tuple(mine), scores))
    return Run(name, BEGAN, "0" * 16, tuple(items), tuple(outcomes))


def alpaca(scorers: Sequence[str], limit: int | None = None, models: Sequence[str] = ALPACA) -> Run:
    """Answers of five models: the reference is GPT-4's, the judge's preference the feedback."""
    items, calls = [], {model: list[Call]() for model in models}
    for row in rows_of("paired/alpaca_eval")[:limit]:
        asked = Call(row["id"], BEGAN, "", prompt=row["instruction"], origin="dataset",
                     reference=row["outputs"]["gpt4_1106_preview"])  # fmt: skip
        items.append(Item(asked, row["dataset"]))
        for model in models:
            told = row["pref_vs_gpt4_1106_preview"].get(model)
            calls[model].append(Call(
                row["id"], BEGAN, model, prompt=asked.prompt, reference=asked.reference,
                response=row["outputs"][model], feedback=None if told is None else 2 * told - 1,
            ))  # fmt: skip
    return scored("alpaca", items, calls, scorers)


def drift(scorers: Sequence[str], limit: int | None = None, models: Sequence[str] = GPT) -> Run:
    """LLMDrift's prime and happy numbers with their final answers scored."""
    items: dict[str, Item] = {}
    calls: dict[str, dict[str, Call]] = {model: {} for model in models}
    for task in ("prime", "happynumber"):
        for row in rows_of(f"drift/llmdrift_{task}"):
            name = f"{task}-{row['item']}"
            if row["model"] not in calls or (limit and int(row["item"]) >= limit):
                continue
            asked = Call(name, BEGAN, "", prompt=row["prompt"], reference=row["ref"],
                         origin="dataset")  # fmt: skip
            items.setdefault(name, Item(asked, task))
            calls[row["model"]][name] = Call(
                name, BEGAN, row["model"], prompt=row["prompt"], reference=row["ref"],
                response=row["response"], latency_s=row["latency_s"], cost_usd=row["cost_usd"],
                tokens_out=row["response_tokens"],
            )  # fmt: skip
    ordered = {model: [given[name] for name in items] for model, given in calls.items()}
    return scored("llmdrift", list(items.values()), ordered, scorers, _final)


def _final(call: Call) -> Call:
    """The answer in brackets, or in the last box."""
    found = _FINAL.findall(call.response or "")
    last = next((part for part in found[-1] if part), "") if found else ""
    return replace(call, response=last)

"""Suites of the tests that evaluate: small files of invented questions, and how they are run."""

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agent.config import Config, load_config
from agent.store import Store
from suites.record import Run
from suites.runner import Ways, evaluate
from suites.suite import suite_of

CONFIG = load_config(models=False)
RULES = ["matches", "overlap", "repetition"]


def write_lines(path: Path, rows: Iterable[Any]) -> Path:
    """A file of JSON lines; a row that is a text stands in it as it is."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def sums(n: int) -> list[dict[str, Any]]:
    """Questions with one number as their reference."""
    return [
        {"id": f"s{i}", "prompt": f"What is {i} plus {i + 1}?", "reference": str(2 * i + 1)}
        for i in range(n)
    ]


def right_and_wrong(n: int, wrong: int = 3) -> list[dict[str, Any]]:
    """Recorded answers to `sums`, every `wrong`-th of them wrong."""
    return [
        {"id": f"s{i}", "response": f"It is {2 * i + 1 + (i % wrong == 0)}.", "latency_s": 0.5}
        for i in range(n)
    ]


def suite_tree(targets: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The keys of a suite with one task over `sums.jsonl`; keys of the task may be given too."""
    whole = ("seed", "budget", "concurrency", "tasks", "weights", "goals", "count")
    task = {"data": "sums.jsonl", "scorers": RULES}
    task |= {key: value for key, value in more.items() if key not in whole}
    tree: dict[str, Any] = {"name": "arithmetic", "tasks": {"sums": task}, "targets": targets}
    return tree | {key: value for key, value in more.items() if key in whole}


def run_suite(
    tree: dict[str, Any], folder: Path, store: Store, config: Config = CONFIG, **ways: Any
) -> Run:
    """Evaluate, without models by itself; the clock moves on by a second at every look."""
    ticks = itertools.count(1_800_000_000)
    told = Ways(lambda: float(next(ticks)), **{"tell": lambda *_: None, **ways})
    return evaluate(suite_of(tree), folder, store, config, told)


def values(run: Run, metric: str, target: int = 0) -> list[float | str | None]:
    """The scores of a metric, or why there is none."""
    return [
        one.why if one.value is None else one.value for one in run.outcomes[target].scores[metric]
    ]

"""Paired readouts on real answers of models; no row's text is kept."""

import gzip
import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abtest.mixture import interval, log_evidence
from agent.buckets import BINS, dither_keys, dithered_bins, event_key

DATA = Path(__file__).parents[2] / "shared" / "data"
GRID = np.linspace(-1.0, 1.0, BINS + 1)


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of a file of the data folder."""
    path = DATA / "dev" / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the data folder has no {name}: nothing to compare on")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(one) for one in lines]


def counts(differences: list[float], keys: list[str], series: str) -> Any:
    """Differences as the panes of pairs hold them."""
    events = np.array([int.from_bytes(event_key(key)[:8], "little") for key in keys], np.uint64)
    bins = dithered_bins(np.array(differences), dither_keys(events, series), -1.0, 1.0)
    return np.bincount(bins, minlength=BINS + 1)


def difference(first: list[float], second: list[float], keys: list[str]) -> tuple[float, float]:
    """The interval of second minus first."""
    held = counts([b - a for a, b in zip(first, second, strict=True)], keys, "preference")
    lower, upper = interval(GRID, held, 0.05, -1.0, 1.0)
    return float(lower), float(upper)


def preferences() -> dict[str, dict[str, float]]:
    """By model, the judge's preference over the baseline by instruction."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows("paired/alpaca_eval"):
        for model, value in row["pref_vs_gpt4_1106_preview"].items():
            found[model][row["id"]] = value
    return found


def test_the_order_by_paired_preference_is_the_official_one_where_it_is_decided() -> None:
    by, official = preferences(), official_rates()
    decided = 0
    for one, other in itertools.combinations(sorted(by.keys() & official.keys()), 2):
        keys = sorted(by[one].keys() & by[other].keys())
        lower, upper = difference([by[one][k] for k in keys], [by[other][k] for k in keys], keys)
        if lower > 0 or upper < 0:
            decided += 1
            assert (official[other] > official[one]) == (lower > 0), (one, other)
    assert decided >= 20


def official_rates() -> dict[str, float]:
    """The official win rate of each model."""
    lines = (DATA / "leaderboards" / "alpaca_subset_winrates.csv").read_text().splitlines()
    names = lines[0].split(",")
    table = [dict(zip(names, one.split(","), strict=True)) for one in lines[1:]]
    return {
        row["model"]: float(row["official_win_rate"]) for row in table if row["official_win_rate"]
    }


def test_a_model_against_itself_is_never_decided() -> None:
    for model, values in preferences().items():
        keys = sorted(values)
        halves = keys[::2], keys[1::2]
        size = min(map(len, halves))
        first, second = ([values[k] for k in half[:size]] for half in halves)
        for n in range(10, size + 1):
            lower, upper = difference(first[:n], second[:n], list(halves[0][:n]))
            assert lower <= 0 <= upper, (model, n)


def test_gpt_4_of_march_and_of_june_are_told_apart_on_primes(
    record_property: Callable[[str, object], None],
) -> None:
    by: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows("drift/llmdrift_prime"):
        if row["model"].startswith("gpt-4"):
            by[row["version"]][row["item"]] = float(row["correct"])
    items = sorted(by["march"].keys() & by["june"].keys())
    assert len(items) > 400
    held = np.zeros(BINS + 1)
    needed = 0
    for at, item in enumerate(items, 1):
        held += counts([by["june"][item] - by["march"][item]], [str(item)], "correct")
        if float(log_evidence(GRID, held, 0.0, -1.0, 1.0)) >= np.log(20):
            needed = at
            break
    record_property("pairs until gpt-4 March and June are told apart", needed)
    assert 0 < needed < 200
    assert interval(GRID, held, 0.05, -1.0, 1.0)[1] < 0

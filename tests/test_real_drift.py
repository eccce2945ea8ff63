"""Drift on real answers: GPT-4 of March and of June 2023; no row's text is kept."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.config import Config, load_config
from agent.record import Call, Score
from agent.score import Panel, Scores, load_panel, options_of
from agent.scoring.novelty import Novelty
from agent.store import Store, open_store
from agent.store.findings import all_findings
from consumers.findings import as_json
from tests.road import InboxRoad, as_bytes
from tests.test_drift_proofs import tell
from tests.test_real_pairs import rows

START, APART_S = 1_767_225_600, 2.0  # five calls a pane
# Scorers that say nothing of these texts, or that take longer than all others together.
OFF = ("jailbreak", "injection", "context_injection", "harm", "toxicity", "groundedness",
       "similarity", "bertscore", "matches", "overlap", "leakage", "pii", "secrets",
       "json_valid")  # fmt: skip
# Length and time, as shares of the calls above what a user might state.
SLO = {
    "short": {"metric": "tokens_out", "at_most": 100},
    "fast": {"metric": "latency", "at_most": 5},
}
BASIS = 200  # March's first answers, which novelty is measured against and nothing else reads


class Kept:
    """The scores that the real scorers gave, by the call's id."""

    name, version = "kept", "1"

    def __init__(self, calls: Sequence[Call], given: Scores) -> None:
        self.metrics = tuple(m for m, row in given.items() if any(s.value is not None for s in row))
        self._rows = {
            call.id: {metric: given[metric][at] for metric in self.metrics}
            for at, call in enumerate(calls)
        }

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {metric: [self._rows[c.id][metric] for c in calls] for metric in self.metrics}


def answers(name: str, version: str) -> list[Call]:
    """GPT-4's answers of one version, in a random order.

    In the file of primes all primes come before all other numbers, and the watch rings in March.
    """
    made = [
        Call(
            f"{version}-{one['item']}", 0.0, "gpt-4", prompt=one["prompt"],
            response=one["response"], latency_s=one["latency_s"],
            tokens_out=one["response_tokens"], cost_usd=one["cost_usd"],
        )
        for one in rows(f"drift/llmdrift_{name}")
        if one["model"].startswith("gpt-4") and one["version"] == version
    ]  # fmt: skip
    return [made[at] for at in np.random.default_rng(0).permutation(len(made))]


def configured(calls: int) -> Config:
    """One false alarm a year over 1,000 series, which is the default; baselines of so many."""
    return load_config(
        models=False, inbox={"source": "backfill"}, slo=SLO,
        drift={"baseline_calls": calls, "baseline_s": 0.0},
    )  # fmt: skip


def findings(calls: Sequence[Call], kept: Kept, calls_learned: int, folder: Path) -> list[Any]:
    """What the watch has to say of calls two seconds apart, along the whole road without texts."""
    records = [
        {"id": one.id, "at": START + at * APART_S, "model": one.model, "service": "support"}
        | {"latency_s": one.latency_s, "tokens_out": one.tokens_out, "cost_usd": one.cost_usd}
        for at, one in enumerate(calls)
    ]
    with opened(folder) as store:
        road = InboxRoad(store, configured(calls_learned), Panel([(kept, 1.0)]))
        road.inbox.append(as_bytes(records))
        road.drain()
        road.worker.finish("backfill")
        with store.transaction() as tx:
            return [as_json(one, None) for one in all_findings(tx, 1000)]


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """A store of its own."""
    path = folder / "drift.db"
    store = open_store(f"sqlite:///{path}")
    try:
        yield store
    finally:
        store.close()
        path.unlink()


def delays(found: Sequence[Mapping[str, Any]], march: int) -> dict[str, int]:
    """By series of the model or of its service, how many calls of June were read when it rang."""
    took: dict[str, int] = {}
    for one in found:
        view = one.get("view", "level")
        name = one["metric"] if view in ("level", "rank") else f"{one['metric']} {view}"
        calls = int((one["began"] + 10 - START) / APART_S) - march
        took[name] = min(calls, took.get(name, calls))
    return dict(sorted(took.items(), key=lambda item: item[1]))


def scored(
    march: list[Call], june: list[Call], folder: Path
) -> tuple[list[Call], list[Call], Kept]:
    """Both by every scorer that reads such texts; March without what novelty learned from."""
    off = {name: {"enabled": False} for name in OFF}
    novelty, path = Novelty(options_of(load_config(), "novelty")), folder / "novelty.npz"
    novelty.save(novelty.learn(march[:BASIS]), path)
    config = load_config(scorers=off | {"novelty": {"baseline": str(path)}})
    rest = march[BASIS:]
    return rest, june, Kept(rest + june, load_panel(config).score(rest + june))


def test_rules_alone_find_gpt_4_of_june_on_primes(tmp_path: Path) -> None:
    march, june = answers("prime", "march"), answers("prime", "june")
    given = load_panel(load_config(models=False)).score(march + june)
    kept = Kept(march + june, given)
    took = delays(findings(march + june, kept, 400, tmp_path), len(march))
    tell(json.dumps(took))
    # All of June are "[Yes]" or "[No]": too short for readability and repetition to say anything.
    assert took["slo_short"] <= 100 and min(took.values()) > 0
    rng = np.random.default_rng(0)
    for _ in range(2):
        shuffled = [march[at] for at in rng.permutation(len(march))]
        assert findings(shuffled, kept, 400, tmp_path) == []


@pytest.mark.prove
@pytest.mark.parametrize(("name", "learned"), [("prime", 300), ("happynumber", 120)])
def test_every_scorer_finds_gpt_4_of_june_and_nothing_in_march(
    name: str, learned: int, tmp_path: Path
) -> None:
    march, june, kept = scored(answers(name, "march"), answers(name, "june"), tmp_path)
    took = delays(findings(march + june, kept, learned, tmp_path), len(march))
    tell(f"{name}, baseline of {learned}, {len(march)} of March: calls of June {json.dumps(took)}")
    assert min(took.values()) > 0
    assert {"response_novelty", "tokens_out"} <= set(took)
    rng, rang = np.random.default_rng(0), 0
    for _ in range(200):
        shuffled = [march[at] for at in rng.permutation(len(march))]
        rang += len(findings(shuffled, kept, learned, tmp_path))
    tell(f"{name}: March alone shuffled 200 times, {rang} findings")
    assert rang == 0

"""Verdicts on what nobody declared: one share of wrong ones over metrics, segments and gaps."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import abtest.readout
from abtest.line import Line
from abtest.mixture import log_capital, mixed
from abtest.readout import told_together
from abtest.samples import split_frame
from abtest.verdict import NOT_YET, discoveries
from agent.store import Store
from tests.experiments import read, split, told, travel
from tests.simulation import ALPHA

ONE = Line(
    "x", "split", "response_relevance", ("a", "b"), {"a": 9}, 0.1, -1.0, 1.0, math.log(50), NOT_YET,
    (), None, 1, "slice", good="high", segment="tenant=acme",
)  # fmt: skip


def test_evidence_that_is_enough_for_one_is_not_for_one_of_many() -> None:
    assert [one.verdict for one in told_together([ONE], ALPHA)] == ["better"]
    for role in ("other", "slice", "gap"):
        none = replace(ONE, role=role, log_evidence=0.0)
        assert {one.verdict for one in told_together([ONE, none, none], ALPHA)} == {NOT_YET}
    declared = [replace(ONE, role=role) for role in ("primary", "guardrail", "amount", "check")]
    assert told_together([*declared, ONE], ALPHA) == [*declared, replace(ONE, verdict="better")]


def test_a_readout_asks_once_for_all_of_them(
    store: Store, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []

    def nobody(lines: Sequence[Line], alpha: float) -> list[Line]:
        asked.append({one.role for one in lines})
        return list(lines)

    monkeypatch.setattr(abtest.readout, "believed", nobody)
    config = told(guardrails={"error": 0.05})
    records = split(rng, 2400, 0.3)
    for at, record in enumerate(records):
        record["segment"] = {"tenant": "ab"[at // 2 % 2]}
        if at // 2 % 2:  # a gap that would be believed by itself, as the effects would
            record["response"] = f"{float(record['response']) / 2}"
    travel(store, config, records)
    found = [one for one in read(store, config) if one.role in ("other", "slice", "gap")]
    assert asked == [{"other", "slice", "gap"}]
    assert {one.verdict for one in found} == {NOT_YET}


@pytest.mark.prove
def test_of_many_families_alike_one_in_twenty_tells_anything() -> None:
    families, segments, looks, wrong, apart = 16, 8, 100, 0, 0
    frame = split_frame(0.5, 0.5)
    steps = log_capital(frame.values, 0.0, frame.lower, frame.upper)
    for seed in range(100):
        rng = np.random.default_rng((31, seed))
        shape = (families, segments, looks)
        calls = rng.multinomial(50, np.full(len(frame.values), 1 / len(frame.values)), shape)
        level = mixed(np.cumsum(calls.astype(np.float64) @ steps, 2))
        at = [look for look in range(looks) if level[..., look].max() >= math.log(1 / ALPHA)]
        wrong += any(any(discoveries(level[..., look].ravel().tolist(), ALPHA)) for look in at)
        apart += any(any(discoveries(one[:, look].tolist(), ALPHA)) for look in at for one in level)
    assert wrong <= ALPHA * 100 < apart

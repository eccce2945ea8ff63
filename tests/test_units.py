"""Sessions as units of a split: each enters once, in the pane of its first call, as its mean."""

from typing import Any

import numpy as np
import pytest

from agent.panes import Group, RowKey
from agent.store import Store, units
from agent.store.units import UnitSpan
from tests.experiments import NOW, START, call, line, read, run_of, told, travel

SPAN: dict[str, Any] = {
    "name": "another", "source": "backfill", "service": "support", "kind": "session",
    "variants": ("production", "canary"), "start": START, "end": START + 100.0, "width_s": 10,
    "lateness_s": 660.0, "horizon_s": 60.0, "segments": ("tenant",), "low": frozenset({"slo_fast"}),
}  # fmt: skip
MAIN = Group("support", "m-production", "production")


def rows(store: Store, entering: bool = False, **changes: Any) -> dict[RowKey, Any]:
    """What the stored calls come to as units."""
    with store.transaction() as tx:
        return dict(units.unit_rows(tx, UnitSpan(**SPAN | changes), NOW, entering=entering))


def test_a_session_is_the_mean_of_its_calls_within_the_horizon(any_store: Store) -> None:
    scores = ((0, 0.2), (30, 0.4), (119, 0.9), (130, 1.0))  # the last is 65 s after the first
    records = [call(at, score, session="s") for at, score in scores]
    travel(any_store, told(unit="session", horizon_s=60), records)
    found = rows(any_store)
    assert list(found) == [RowKey(START, MAIN)]
    row = found[RowKey(START, MAIN)]
    assert row.calls.words == {"unit": 1}
    assert row.summaries["response_relevance"].mean() == pytest.approx(0.5, abs=1e-9)
    assert row.summaries["latency"].n == 1


def test_a_failed_call_of_a_session_is_its_worst_or_its_best(any_store: Store) -> None:
    records = [call(0, 0.6, session="s"), call(2, None, session="s")]
    travel(any_store, told(unit="session"), records)
    summaries = rows(any_store)[RowKey(START, MAIN)].summaries
    assert summaries["response_relevance"].mean() == pytest.approx(0.3, abs=1e-9)
    assert summaries["response_relevance|best"].mean() == pytest.approx(0.8, abs=1e-9)


def test_a_session_enters_once_and_counts_where_it_began(any_store: Store) -> None:
    records = [call(0, 0.6, session="s"), call(150, 0.8, session="s"), call(150, 0.5, session="t")]
    records[2]["id"] = "other"
    travel(any_store, told(unit="session"), records)
    assert sum(row.calls.total() for row in rows(any_store, end=START + 10.0).values()) == 1
    # Once entered, its later calls begin nothing.
    rows(any_store, entering=True, end=START + 10.0)
    later = rows(any_store, start=START + 10.0)
    assert sum(row.calls.total() for row in later.values()) == 1


def test_a_session_that_crosses_the_arms_keeps_to_its_first_and_is_counted(
    any_store: Store,
) -> None:
    records = [call(0, 0.2, session="s"), call(2, 1.0, "canary", session="s")]
    travel(any_store, told(unit="session"), records)
    (row,) = rows(any_store).values()
    assert row.calls.words == {"crossed": 1, "unit": 0}
    assert row.summaries["response_relevance"].mean() == pytest.approx(0.2, abs=1e-9)


def test_an_experiment_by_session_counts_sessions(any_store: Store) -> None:
    rng = np.random.default_rng(5)
    records, at = [], 0
    for session in range(300):
        arm = "canary" if rng.random() < 0.5 else "production"
        own = rng.beta(5, 2)
        for _ in range(5):
            score = float(np.clip(own + rng.normal(0, 0.05) + 0.15 * (arm == "canary"), 0, 1))
            records.append(call(at, score, arm, session=f"s{session}"))
            at += 1
    config = told(unit="session", horizon_s=300)
    travel(any_store, config, records)
    primary = line(read(any_store, config), role="primary")
    assert sum(primary.n.values()) == 300
    assert primary.verdict == "better"
    # The runs wait until the horizon of a session has closed too.
    assert run_of(any_store, config).reached == {"backfill": START + 3600 - 300}

"""Findings in the store: their states, what the topic was told, and those of older versions."""

import json
import math
from dataclasses import asdict, replace

import pytest
from sqlalchemy import create_engine, make_url, text

from agent.findings import Finding, State, step
from agent.store import Store, open_store
from agent.store.findings import (
    all_findings,
    current_findings,
    mark_told,
    open_findings,
    put_findings,
    untold_findings,
)
from tests.alerting import DRIFT, NAME, START, drift, kept
from tests.exposition import BURNS

_OLD = """CREATE TABLE findings (key {blob} NOT NULL PRIMARY KEY, source VARCHAR(128) NOT NULL,
 state VARCHAR(16) NOT NULL, began BIGINT NOT NULL, body TEXT NOT NULL, stored_at FLOAT NOT NULL)"""


def walk(store: Store, states: list[State], for_s: float) -> list[list[State]]:
    """The states in the store after each look, a look every ten seconds."""
    seen = []
    for at, state in enumerate(states):
        with store.transaction() as tx:
            known = next(iter(open_findings(tx, "live", "burn rate")), None)
            now = step(known, replace(BURNS, state=state, as_of=START + 10 * at), for_s)
            if now is not None:
                put_findings(tx, "live", [now], START + 10 * at)
        with store.transaction() as tx:
            seen.append([one.state for one in all_findings(tx, 10)])
    return seen


def test_states_walk_through_the_store(any_store: Store) -> None:
    looks: list[State] = ["firing", "firing", "firing", "could not tell", "insufficient data"]
    looks += ["firing", "resolved", "firing"]
    assert walk(any_store, looks, for_s=20) == [
        ["pending"],
        ["pending"],
        ["firing"],
        ["could not tell"],
        ["insufficient data"],
        ["firing"],
        ["resolved"],
        ["pending", "resolved"],
    ]


def test_a_finding_is_read_back_as_it_was(any_store: Store) -> None:
    unknown = drift(effect=math.nan, facts=(("examples", ["a", "b"]), ("deep", {"x": 1})))
    kept(any_store, unknown, BURNS)
    with any_store.transaction() as tx:
        found = {one.kind: one for one in all_findings(tx, 10)}
        assert [one.kind for one in all_findings(tx, 10, kind="drift")] == ["drift"]
        assert all_findings(tx, 10, "resolved") == []
        assert open_findings(tx, "backfill", "drift") == []
    assert found["burn rate"] == BURNS
    assert math.isnan(found["drift"].effect)
    assert asdict(replace(found["drift"], effect=0.0)) == asdict(replace(unknown, effect=0.0))


def test_the_topic_is_told_each_state_once_and_never_of_what_is_pending(any_store: Store) -> None:
    def untold() -> list[str]:
        with any_store.transaction() as tx:
            rows = untold_findings(tx, 10)
            mark_told(tx, rows)
        return [one.finding.state for one in rows]

    kept(any_store, drift("pending"))
    assert untold() == []
    kept(any_store, drift())
    assert (untold(), untold()) == (["firing"], [])
    kept(any_store, drift(n=400, as_of=START + 70))  # newer numbers are no change
    assert untold() == []
    kept(any_store, drift("could not tell"))
    kept(any_store, drift("resolved"))
    assert (untold(), untold()) == (["resolved"], [])


def test_two_sources_may_find_the_same(any_store: Store) -> None:
    kept(any_store, drift(), source="live")
    kept(any_store, drift("resolved"), source="backfill")
    with any_store.transaction() as tx:
        mark_told(tx, [one for one in untold_findings(tx, 10) if one.source == "live"])
        assert [one.source for one in untold_findings(tx, 10)] == ["backfill"]


def test_current_is_what_is_open_and_what_ended_lately_the_worst_first(any_store: Store) -> None:
    kept(any_store, drift("resolved", began=START - 900), now=START - 301)
    kept(any_store, drift("resolved", began=START - 500), now=START - 299)
    kept(any_store, drift(began=START - 100), drift(began=START), BURNS, now=START - 9999)
    with any_store.transaction() as tx:
        rows = [one.finding for one in current_findings(tx, START, START - 300, 10)]
        assert len(current_findings(tx, START, START - 300, 2)) == 2
    assert [(one.kind, one.began - START) for one in rows] == [
        ("burn rate", 0),
        ("drift", 0),
        ("drift", -100),
        ("drift", -500),
    ]


def test_what_nobody_may_ever_tell_is_shown_for_a_day(any_store: Store) -> None:
    kept(any_store, drift("could not tell"), now=START)
    with any_store.transaction() as tx:
        assert len(current_findings(tx, START + 86_399, START, 10)) == 1
        assert current_findings(tx, START + 86_401, START + 86_401, 10) == []
        assert len(open_findings(tx, "live", "drift")) == 1


def test_findings_of_an_older_version_are_kept(store_url: str) -> None:
    open_store(store_url).close()
    engine = create_engine(make_url(store_url))
    old = (
        dict(NAME)
        | {"segment": ""}
        | {
            **{"state": "firing", "side": "below", "began": START, "onset": START - 40, "n": 0},
            **{"log_statistic": 17.25, "log_threshold": 16.5, "baseline_mean": 0.71},
            **{"effect": None, "lower": None, "upper": None},
        }
    )
    with engine.begin() as tx:
        tx.execute(text("DROP TABLE findings"))
        tx.execute(text("DELETE FROM migrations WHERE name LIKE 'm004%'"))
        blob = "BLOB" if engine.dialect.name == "sqlite" else "BYTEA"
        tx.execute(text(_OLD.format(blob=blob)))
        tx.execute(
            text("INSERT INTO findings VALUES (:key, 'live', 'firing', :began, :body, 7.0)"),
            {"key": b"k", "began": START, "body": json.dumps(old)},
        )
    engine.dispose()
    store = open_store(store_url)
    with store.transaction() as tx:
        (one,) = open_findings(tx, "live", "drift")
        assert [row.stored_at for row in current_findings(tx, START, START, 10)] == [7.0]
    store.close()
    assert one.key == DRIFT.key  # so that the watch goes on with it
    assert (one.statistic, one.threshold) == (17.25, 16.5) and math.isnan(one.effect)
    assert dict(one.facts)["baseline_mean"] == 0.71


@pytest.mark.parametrize("state", ["insufficient data", "could not tell"])
def test_every_state_fits_its_column(any_store: Store, state: State) -> None:
    kept(any_store, drift(state))
    with any_store.transaction() as tx:
        found: list[Finding] = open_findings(tx, "live", "drift")
    assert [one.state for one in found] == [state]

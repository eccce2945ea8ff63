"""Readouts along the whole road: records in, closed panes, runs, lines with verdicts."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import delete

from abtest.line import Line
from agent.store import Store, open_store
from agent.store.tables import runs
from tests.experiments import START, call, line, read, run_of, split, told, travel

CONTRACT = {
    *("experiment", "kind", "metric", "arms", "n", "estimate", "lower", "upper"),
    *("log_evidence", "verdict", "warnings", "as_of"),
}


def test_a_better_candidate_is_found_and_an_equal_one_is_not(
    any_store: Store, rng: np.random.Generator
) -> None:
    config = told(guardrails={"error": 0.05})
    travel(any_store, config, split(rng, 2400, 0.08))
    primary = line(read(any_store, config), role="primary")
    assert primary.verdict == "better" and primary.decided_at is not None
    assert primary.lower > 0 and primary.lower < primary.estimate < primary.upper
    assert primary.estimate == pytest.approx(0.08, abs=0.02)
    assert line(read(any_store, config), "error").verdict == "not worse by more than the margin"


def test_equal_arms_are_not_decided_and_are_equivalent_within_a_wide_margin(
    store: Store, rng: np.random.Generator
) -> None:
    config = told(margin=0.06)
    travel(store, config, split(rng, 2400, 0.0))
    assert line(read(store, config), role="primary").verdict == "equivalent within the margin"
    narrow = told(margin=0.001)
    with store.transaction() as tx:
        tx.execute(delete(runs))
    primary = line(read(store, narrow), role="primary")
    assert primary.verdict == "not yet" and primary.lower < 0 < primary.upper


def test_how_many_more_calls_a_decision_needs_is_foreseen(
    store: Store, rng: np.random.Generator
) -> None:
    records = split(rng, 6000, 0.04)
    config = told()
    travel(store, config, records[:600])
    first = line(read(store, config), role="primary")
    assert first.verdict == "not yet" and first.more is not None
    assert 100 < first.more < 6000


def test_a_line_has_what_scripts_read(store: Store, rng: np.random.Generator) -> None:
    config = told()
    travel(store, config, split(rng, 300, 0.0))
    rows = json.loads(json.dumps([one.as_json() for one in read(store, config)]))
    assert set(rows[0]) >= CONTRACT
    assert rows[0]["arms"] == ["production", "canary"]
    assert sum(rows[0]["n"].values()) == 300
    assert {row["kind"] for row in rows} == {"split"}


def test_failed_calls_count_as_the_worst_score_with_the_best_beside(
    store: Store, rng: np.random.Generator
) -> None:
    records = split(rng, 2000, 0.0)
    bad = [r["id"] for r in records if r["variant"] == "canary"][:200]
    records = [
        call(int(r["id"].split("-")[1]), None, "canary") if r["id"] in bad else r for r in records
    ]
    config = told()
    travel(store, config, records)
    primary = line(read(store, config), role="primary")
    assert primary.estimate == pytest.approx(-0.2 * 0.714, abs=0.03)
    assert primary.verdict == "worse"
    assert primary.best is not None and primary.best[1] > 0
    assert any("depends on failed calls" in why for why in primary.warnings)


def test_calls_that_do_not_fall_in_the_shares_make_it_invalid(
    store: Store, rng: np.random.Generator
) -> None:
    config = told()
    travel(store, config, split(rng, 1500, 0.0, share=0.62))
    lines = read(store, config)
    assert {one.verdict.partition(",")[0] for one in lines} == {
        "invalid (calls are not split as configured"
    }
    assert line(lines, "sample_ratio").estimate == pytest.approx(0.62, abs=0.04)


def test_a_self_test_that_finds_a_difference_is_invalid(
    store: Store, rng: np.random.Generator
) -> None:
    config = told(design="aa")
    travel(store, config, split(rng, 1500, 0.1))
    assert "self-test" in line(read(store, config), role="primary").verdict


def test_a_share_that_changes_is_counted_by_epoch(store: Store, rng: np.random.Generator) -> None:
    # The mean of both arms moves with the share: under one share the arms would differ.
    first, second = split(rng, 1500, 0.0, share=0.05), split(rng, 1500, 0.0, share=0.5)
    moved = [call(1500 + at, float(r["response"]) / 2, r["variant"]) for at, r in enumerate(second)]
    ramp = [{"at": START + 750, "shares": {"production": 0.5, "canary": 0.5}}]
    config = told(arms={"production": 0.95, "canary": 0.05}, ramp=ramp)
    travel(store, config, first + moved)
    primary = line(read(store, config), role="primary")
    assert primary.verdict == "not yet" and abs(primary.estimate) < 0.03
    assert {stage.epoch for stage in run_of(store, config).stages} == {0, 1}
    assert sum(primary.n.values()) == 3000


def test_a_ramp_may_name_its_arms_in_any_order(store: Store, rng: np.random.Generator) -> None:
    ramp = [{"at": START + 500, "shares": {"canary": 0.2, "production": 0.8}}]
    config = told(arms={"production": 0.9, "canary": 0.1}, ramp=ramp)
    records = split(rng, 1000, 0.0, share=0.1) + [
        call(1000 + at, float(one["response"]), one["variant"])
        for at, one in enumerate(split(rng, 1000, 0.0, share=0.2))
    ]
    travel(store, config, records)
    lines = read(store, config)
    assert line(lines, role="primary").verdict == "not yet"
    ratio = line(lines, "sample_ratio").log_evidence
    assert ratio is not None and ratio < 0
    assert run_of(store, config).seen("sample ratio").log_evidence < math.log(1000)


@pytest.mark.parametrize("change", ["scorer", "model"])
def test_a_changed_scorer_or_model_starts_a_new_run(
    any_store: Store, rng: np.random.Generator, change: str
) -> None:
    config = told()
    records = split(rng, 800, 0.1)
    road = travel(any_store, config, records)
    assert run_of(any_store, config).number == 1
    later = [
        call(8000 + at, float(r["response"]), r["variant"])
        | ({"model": "next"} if change == "model" and r["variant"] == "canary" else {})
        for at, r in enumerate(records[:400])
    ]
    travel(any_store, config, later, "2" if change == "scorer" else "1")
    run = run_of(any_store, config)
    said = "scorer of response_relevance changed" if change == "scorer" else "model of canary"
    assert run.number == 2 and said in run.why
    primary = line(read(any_store, config), role="primary")
    assert sum(primary.n.values()) == 400
    assert any("run 2 began anew" in why for why in primary.warnings)
    assert road.listener.fences == 0


def test_another_definition_starts_anew_with_what_closes_from_then_on(
    store: Store, rng: np.random.Generator
) -> None:
    records = split(rng, 800, 0.15)
    travel(store, told(), records)
    changed = told(primary="error")
    assert run_of(store, changed).number == 2 and not run_of(store, changed).rows
    later = [dict(one, id=f"l-{at}", at=one["at"] + 4000) for at, one in enumerate(records)]
    travel(store, changed, later)
    primary = line(read(store, changed), "error", role="primary")
    assert sum(primary.n.values()) == 800
    assert any("its definition changed" in why for why in primary.warnings)
    # A step of the ramp that is still to come changes nothing of what was counted.
    ramp = [{"at": START + 90_000, "shares": {"production": 0.4, "canary": 0.6}}]
    assert run_of(store, told(primary="error", ramp=ramp)).number == 2


def test_what_was_declared_after_its_calls_says_so(store: Store, rng: np.random.Generator) -> None:
    travel(store, told(), split(rng, 100, 0.0))
    said = line(read(store, told()), role="primary").warnings
    assert any("declared when its first calls were in" in why for why in said)
    with store.transaction() as tx:
        tx.execute(delete(runs))
    early = told(start=START + 100_000)
    travel(store, early, [])
    assert not any("declared" in why for why in line(read(store, early), role="primary").warnings)


def test_a_guardrail_that_held_before_does_not_hide_a_regression(
    store: Store, rng: np.random.Generator
) -> None:
    calm = split(rng, 1500, 0.0)
    rude = [dict(one, id=f"l-{at}", at=one["at"] + 800) for at, one in enumerate(calm)]
    for one in rude:
        if one["variant"] == "canary":
            one["response"] = f"{max(0.0, float(one['response']) - 0.11)}"
    config = told(primary="error", guardrails={"response_relevance": 0.06})
    travel(store, config, calm, end=False)
    travel(store, config, rude)
    found = line(read(store, config), role="guardrail")
    assert found.verdict == "not yet"
    assert any("held before and does not now" in why for why in found.warnings)


def test_slices_gaps_and_a_reversal_are_shown(store: Store, rng: np.random.Generator) -> None:
    # Within each tenant the canary is better; it has more of the tenant with low scores.
    records = []
    for at in range(4000):
        mine = rng.random() < 0.5
        low = rng.random() < (0.8 if mine else 0.2)
        score = float(np.clip(rng.beta(5, 2) * (0.5 if low else 1) + 0.05 * mine, 0, 1))
        tenant = {"segment": {"tenant": "small" if low else "large"}}
        records.append(call(at, score, "canary" if mine else "production", **tenant))
    config = told()
    travel(store, config, records)
    lines = read(store, config)
    assert line(lines, role="primary").verdict == "worse"
    for segment in ("tenant=small", "tenant=large"):
        one = line(lines, role="slice", segment=segment)
        assert one.estimate > 0
        assert any("Simpson" in why for why in one.warnings)
    gap = line(lines, role="gap", segment="tenant=small")
    assert gap.upper < 0 and gap.verdict == "worse"


def test_before_any_call_nothing_is_decided_and_the_arms_are_missed(store: Store) -> None:
    travel(store, told(), [call(0, 0.5, "blue")])
    primary = line(read(store, told()), role="primary")
    assert (primary.verdict, primary.lower, primary.upper) == ("not yet", -1.0, 1.0)
    assert {"no calls of production yet", "no calls of canary yet"} <= set(primary.warnings)
    paired = told(design="paired", arms=["production", "shadow:new"])
    assert line(read(store, paired), role="primary").n == {"pairs": 0}


def test_late_calls_are_said_and_not_counted(store: Store, rng: np.random.Generator) -> None:
    config = told()
    travel(store, config, split(rng, 200, 0.0))
    travel(store, config, [call(10_000 + at, 0.0, "canary", at=START + 50.0) for at in range(7)])
    primary = line(read(store, config), role="primary")
    assert "7 calls of canary came too late for their pane" in primary.warnings
    assert sum(primary.n.values()) == 200


def test_slices_with_few_calls_are_left_out(store: Store, rng: np.random.Generator) -> None:
    records = split(rng, 600, 0.0, segment={"tenant": "big"})
    few = [call(600 + at, 0.5, v, segment={"tenant": "tiny"})
           for at, v in enumerate(["production", "canary"] * 30)]  # fmt: skip
    config = told()
    travel(store, config, records + few)
    assert {one.segment for one in read(store, config) if one.role == "slice"} == {"tenant=big"}


def test_periods_are_compared_without_a_verdict(store: Store, rng: np.random.Generator) -> None:
    middle = START + 500
    arms = {
        "before": {"variant": "production", "end": middle},
        "after": {"variant": "production", "start": middle},
    }
    records = [call(at, float(rng.beta(5, 2)) * (0.5 if at >= 1000 else 1)) for at in range(2000)]
    config = told(design="observational", arms=arms)
    travel(store, config, records)
    primary = line(read(store, config), role="primary")
    assert primary.verdict == "observational, no verdict"
    assert primary.upper < 0 and primary.n == {"before": 1000, "after": 1000}


def shuffled(records: list[dict[str, object]], seed: int) -> list[dict[str, object]]:
    """Another order of arrival of the same calls."""
    made = list(records)
    random.Random(seed).shuffle(made)
    return made


def facts(lines: list[Line]) -> list[Line]:
    """Lines without when they were read."""
    return [replace(one, as_of=None) for one in lines]


def test_any_order_and_any_cut_give_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, rng: np.random.Generator
) -> None:
    config, records = told(margin=0.05), split(rng, 1200, 0.04)
    found = []
    for seed in range(3):
        store = open_store(f"sqlite:///{tmp_path_factory.mktemp('order')}/v.db")
        parts, mixed = 1 + 3 * seed, shuffled(records, seed)
        for part in range(parts):
            travel(store, config, mixed[part::parts], end=part == parts - 1)
        found.append(facts(read(store, config)))
        store.close()
    assert found[0] == found[1] == found[2]

"""Pairs of a production call and its shadow, folded when the pane of the first one closes."""

from typing import Any

import numpy as np
import pytest

from agent.config import load_config
from agent.experiments import LOG_RATIO, WIN
from agent.pairs import BOTH_FAILED, CANDIDATE_FAILED, LATE, PAIR, REPEATED, UNMATCHED, beside
from agent.panes import Group, Row
from agent.record import Call
from agent.store import Store, reads
from tests.experiments import call, line, read, told, travel
from tests.road import InboxRoad, as_bytes, native


def twin(number: int, **changes: Any) -> dict[str, Any]:
    """The shadow of call `number`, asked half a second later."""
    more = {"id": f"twin-{number}", "variant": "shadow:new", "pair": f"call-{number}", "model": "b"}
    return native(number, **more) | {"at": 1_767_225_600.5 + number} | changes


def closed(store: Store, records: list[dict[str, Any]], **config: Any) -> dict[Group, Row]:
    """The paired rows of all panes together, after the records went through the road."""
    told = load_config(panes={"lateness_s": 60.0}, **config)
    road = InboxRoad(store, told)
    road.inbox.append(as_bytes(records))
    road.drain()
    road.worker.finish("live")
    found: dict[Group, Row] = {}
    with store.transaction() as tx:
        for _, _, group, row in reads.pane_rows(tx, 0, 4e9, 3600):
            if group.variant.startswith("paired:"):
                found.setdefault(group, Row()).merge(row)
    return found


MAIN = Group("support", "b", "paired:new")


@pytest.mark.parametrize("shadow_first", [False, True])
def test_a_pair_is_folded_once_in_whatever_order_it_came(
    any_store: Store, shadow_first: bool
) -> None:
    records = [native(0, latency_s=2.0), twin(0, latency_s=1.0), native(1)]
    rows = closed(any_store, records[::-1] if shadow_first else records)
    row = rows[MAIN]
    assert row.calls.words == {PAIR: 1}
    assert row.summaries["latency" + WIN].mean() == 1.0
    assert row.summaries["latency" + LOG_RATIO].mean() == pytest.approx(-0.6931, abs=1e-3)
    assert row.summaries["error"].mean() == 0.0
    assert list(rows) == [MAIN]


def test_what_one_side_lost_is_kept_beside_the_other_sides_score(any_store: Store) -> None:
    slo = {"fast": {"metric": "latency", "at_most": 1.0}}
    records = [
        native(0, latency_s=2.0), twin(0, latency_s=None, status="timeout"),
        native(1, latency_s=None, status="error"), twin(1, latency_s=None, status="timeout"),
        native(2, latency_s=0.5), twin(2, latency_s=3.0),
    ]  # fmt: skip
    summaries = closed(any_store, records, slo=slo)[MAIN].summaries
    breach = summaries["slo_fast"]
    assert (breach.n, breach.mean()) == (1, 1.0)
    assert breach.missing.words == {CANDIDATE_FAILED: 1, BOTH_FAILED: 1}
    assert summaries[beside("slo_fast", CANDIDATE_FAILED)].mean() == 1.0
    assert summaries["error"].n == 3


def test_twins_without_their_call_and_late_ones_are_counted_and_not_paired(
    any_store: Store,
) -> None:
    # The answer of twin 1 came 71 s after its call's pane, a minute is allowed.
    late = twin(1, at=1_767_225_600.0 + 9, latency_s=132.0)
    rows = closed(any_store, [native(0), native(1), twin(7), late])
    assert rows[MAIN].calls.words == {UNMATCHED: 1, LATE: 1}


def test_one_pair_a_unit_and_day_the_first_by_request(any_store: Store) -> None:
    records = [native(n, unit="ann", latency_s=1.0 + n) for n in range(3)]
    records += [twin(n, latency_s=9.0) for n in (2, 1, 0)] + [native(9, unit="bob"), twin(9)]
    row = closed(any_store, records)[MAIN]
    assert row.calls.words == {PAIR: 2, REPEATED: 2}
    ratios = row.summaries["latency" + LOG_RATIO]
    assert ratios.n == 2 and ratios.mean() == pytest.approx(2.197 / 2, abs=0.01)


def test_a_pair_counts_in_the_segments_of_its_production_call(any_store: Store) -> None:
    records = [native(0, segment={"tenant": "a"}), twin(0, segment={"tenant": "b"})]
    rows = closed(any_store, records, segments=["tenant"])
    assert {group.segment for group in rows} == {"", "tenant=a"}


def test_a_call_is_not_the_pair_of_another_service(any_store: Store) -> None:
    rows = closed(any_store, [native(0), twin(0, service="billing"), native(1)])
    assert rows[Group("billing", "b", "paired:new")].calls.words == {UNMATCHED: 1}
    assert Call("x", 0.0, "m").pair is None


def test_a_mirror_that_knows_only_the_trace_meets_the_one_call_of_it(any_store: Store) -> None:
    """As LiteLLM's silent twins: both sides say their trace."""
    silent = {"variant": "shadow:new", "model": "b"}
    records = [
        native(0, pair="t-0"), native(0, id="s-0", pair="t-0", **silent),
        # Of a trace with two calls nobody knows whose answer a twin is.
        native(1, pair="t-1"), native(2, pair="t-1"), native(1, id="s-1", pair="t-1", **silent),
        native(3, pair="t-3"), *(native(3, id=f"s-3{n}", pair="t-3", **silent) for n in "ab"),
        native(4, pair="t-4", service="billing"), native(4, id="s-4", pair="t-4", **silent),
    ]  # fmt: skip
    rows = closed(any_store, records)
    assert rows[MAIN].calls.words == {PAIR: 1, UNMATCHED: 1}


@pytest.mark.parametrize("effect", [0.0, 0.1])
def test_a_self_test_in_pairs_finds_nothing_or_is_invalid(
    store: Store, rng: np.random.Generator, effect: float
) -> None:
    records = []
    for at, score in enumerate(rng.beta(5, 2, 600)):
        twin = {"id": f"t-{at}", "variant": "shadow:again", "pair": f"call-{at}"}
        again = float(np.clip(score + effect + rng.normal(0, 0.1), 0, 1))
        records += [call(at, float(score)), call(at, again) | twin]
    config = told(design="aa", arms=["production", "shadow:again"])
    travel(store, config, records)
    lines = read(store, config)
    primary = line(lines, role="primary")
    assert primary.kind == "aa" and primary.n == {"pairs": 600}
    assert ("self-test" in primary.verdict) == (effect > 0)
    assert "sample_ratio" not in {one.metric for one in lines}


def test_wins_and_pairs_are_read_out(any_store: Store, rng: np.random.Generator) -> None:
    records = []
    for at in range(900):
        latency = float(rng.lognormal(0, 0.5))
        score = float(rng.beta(5, 2))
        records.append(call(at, score, latency_s=latency))
        twin = {"id": f"t-{at}", "variant": "shadow:new", "pair": f"call-{at}", "model": "new"}
        faster = latency * float(rng.lognormal(-0.3, 0.3))
        records.append(call(at, min(1.0, score + 0.05)) | twin | {"latency_s": faster})
    config = told(design="paired", arms=["production", "shadow:new"],
                  guardrails={"latency_win": 0.1})  # fmt: skip
    travel(any_store, config, records)
    lines = read(any_store, config)
    primary = line(lines, role="primary")
    assert primary.verdict == "better" and primary.n == {"pairs": 900}
    assert line(lines, "latency_win").verdict == "not worse by more than the margin"
    ratio = line(lines, "latency", statistic="ratio of geometric means")
    assert ratio.estimate == pytest.approx(0.74, abs=0.03)
    assert ratio.lower < ratio.estimate < ratio.upper < 1

"""Who fails looks no better for it, and unlike calls are not compared."""

from typing import Any

import numpy as np
import pytest

from abtest.contrast import contrasts
from abtest.levels import levels
from abtest.line import level_of
from abtest.run import Key, Run
from agent.packing import open_row
from agent.pairs import Outcome, Pair, paired_row
from agent.panes import HOUR_S
from agent.stacks import Stacks
from agent.store import Store, reads
from tests.experiments import call, line, read, told, travel
from watch.series import PaneRow, Slots

FAILED_AT_ONCE = {"status": "error", "response": None, "latency_s": 0.05}


def refusing(rng: np.random.Generator, n: int) -> list[dict[str, Any]]:
    """Arms that are equally fast when they answer; the candidate refuses a fifth at once."""
    records = []
    for at in range(n):
        variant = "canary" if rng.random() < 0.5 else "production"
        latency = float(rng.lognormal(0.0, 0.7))
        failed = variant == "canary" and rng.random() < 0.2
        records.append(
            call(at, 0.5, variant, latency_s=latency) | (FAILED_AT_ONCE if failed else {})
        )
    return records


def test_who_refuses_at_once_is_not_faster(store: Store, rng: np.random.Generator) -> None:
    arms = {name: {"variant": name} for name in ("production", "canary")}
    split, back = told(primary="slo_fast"), told(design="observational", arms=arms)
    records = refusing(rng, 3000)
    travel(store, split, records)
    primary = line(read(store, split), "slo_fast", role="primary")
    assert primary.verdict == "worse" and sum(primary.n.values()) == 3000
    assert primary.estimate == pytest.approx(0.1, abs=0.05)
    # With failures at the best end it is what was counted before: faster.
    assert primary.best is not None and primary.best[1] < 0
    assert any("depends on failed calls" in why for why in primary.warnings)
    assert primary.level == pytest.approx(0.5, abs=0.05)
    past = line(read(store, back), "slo_fast")
    assert past.lower > 0 and past.estimate == pytest.approx(primary.estimate, abs=1e-3)
    with store.transaction() as tx:
        found = {one.metric: one for one in levels(tx, "support", "canary")}
    assert found["slo_fast"].mean == pytest.approx(0.6, abs=0.05)
    failed = sum(record["status"] == "error" for record in records)
    assert found["slo_fast"].failed == failed and not [name for name in found if "|" in name]


def test_a_failure_of_a_session_is_a_breach(store: Store, rng: np.random.Generator) -> None:
    records = [
        one | {"session": f"s{at // 2}", "variant": "canary" if at // 2 % 2 else "production"}
        for at, one in enumerate(refusing(rng, 400))
    ]
    config = told(unit="session", primary="slo_fast")
    travel(store, config, records)
    primary = line(read(store, config), "slo_fast", role="primary")
    wanted = [
        sum(
            one["status"] != "ok" or one["latency_s"] > 1
            for one in records
            if one["variant"] == arm
        )
        for arm in ("production", "canary")
    ]
    assert primary.level == pytest.approx(wanted[0] / 200, abs=1e-9)
    assert primary.estimate == pytest.approx((wanted[1] - wanted[0]) / 200, abs=1e-9)


def test_the_watch_and_burn_rates_see_what_a_failed_call_has(
    store: Store, rng: np.random.Generator
) -> None:
    records = refusing(rng, 400)
    travel(store, told(), records)
    mine = [one for one in records if one["variant"] == "canary"]
    with store.transaction() as tx:
        ((*_, group, row),) = [
            one for one in reads.pane_rows(tx, 0, 4e9, HOUR_S) if one[2].variant == "canary"
        ]
    breach = row.summaries["slo_fast"]
    assert breach.n == len(mine) and not breach.missing.words
    assert breach.mean() == pytest.approx(sum(one["latency_s"] > 1 for one in mine) / len(mine))
    # What stands beside it for comparisons takes no slot of the watch, least of all its own.
    one, slots = PaneRow(group, open_row(row.to_bytes())), Slots(100)
    (layer,) = Stacks([one.row]).layers
    found = slots.of(one, layer, np.ones(len(layer.names), np.bool_), {}, whole=False)
    assert found[layer.names.index("slo_fast|failed")] == -1
    assert found[layer.names.index("slo_fast")] >= 0


def test_pairs_are_compared_with_no_other_calls(store: Store, rng: np.random.Generator) -> None:
    # Half of production cannot be asked again: it is slower and worse. In pairs nothing differs.
    records = []
    for at in range(1200):
        asked = rng.random() < 0.5
        score, slow = (0.8, 1.0) if asked else (0.4, 4.0)
        latency = slow * float(rng.lognormal(0, 0.2))
        records.append(call(at, score, latency_s=latency, segment={"tenant": "a"}))
        if asked:
            twin = {"id": f"t-{at}", "variant": "shadow:new", "pair": f"call-{at}", "model": "new"}
            mine = None if at % 10 == 0 else 0.9
            records.append(call(at, mine) | twin | {"latency_s": latency})
    config = told(design="paired", arms=["production", "shadow:new"], slice_calls=50)
    travel(store, config, records)
    lines = read(store, config)
    for primary in (line(lines, role="primary"), line(lines, role="slice")):
        assert primary.level == pytest.approx(0.8, abs=1e-6)
        assert primary.relative is not None
        assert primary.relative == pytest.approx(0.9 * 0.1 / 0.8 - 0.1, abs=0.02)
    amounts = [one for one in lines if one.role == "amount"]
    assert {one.statistic for one in amounts} == {"ratio of geometric means"}
    assert all(set(one.n) == {"pairs"} for one in amounts)
    assert line(amounts, "latency").estimate == pytest.approx(1.0, abs=1e-6)


def test_a_level_counts_the_control_s_failures_and_is_withheld_where_it_was_not_kept() -> None:
    sides = Outcome("ok", {"response_relevance": 0.8}), Outcome("error", {})
    pairs = [
        Pair(bytes([at]) * 16, sides[a], sides[b])
        for at, (a, b) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)))
    ]
    experiment = told(design="paired", arms=["production", "shadow:new"]).experiments["x"]
    row = paired_row(pairs, "paired:new")
    runs = [Run(rows={Key(0, "paired:shadow:new"): row}) for _ in range(2)]
    (contrast,) = contrasts(runs[0], experiment, ["response_relevance"])
    assert level_of(runs[0], contrast) == pytest.approx(0.4, abs=1e-9)
    del row.summaries["response_relevance|control"]
    assert level_of(runs[1], contrast) is None

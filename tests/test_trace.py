"""How evidence came about, made again from closed panes, against what the watch itself said."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.config import Config
from agent.drift import Drift
from agent.findings import Finding
from agent.panes import Group
from agent.store import Store, open_store
from agent.store.findings import Kept, current_findings, put_findings
from consumers.server.memory import Memory
from tests.boards import START, Closed, put
from tests.serving import served, told
from watch.keeping import keep_watch, read_watch
from watch.trace import trace_burn, trace_drift

WIDTH, PANES, CHANGED = 10, 330, 220
MAIN = Group("chat", "wren", "production")
PART = MAIN._replace(segment="tenant=a")


def _config(tmp_path: Path) -> Config:
    drift = Drift(baseline_calls=500, baseline_s=60, mix=("tenant",))
    return told(tmp_path).model_copy(update={"drift": drift, "segments": ("tenant",)})


def _rows() -> list[Closed]:
    """From pane CHANGED on scores fall, amounts grow, more is missing and a tenant goes."""
    rng, made = np.random.default_rng(5), []
    for at in range(PANES):
        late = at >= CHANGED
        scores = rng.beta(5, 4 if late else 2, 20).tolist()
        waits = rng.lognormal(1.0 if late else 0.0, 0.5, 20).tolist()
        values = {"response_relevance": scores, "latency": waits, "error": [0.0] * 20}
        lacking = {"response_relevance": {"too_long": 12 if late else 1}}
        made.append(Closed(START + WIDTH * at, MAIN, values, WIDTH, lacking))
        part = {"error": [0.0] * (4 if late else 12)}
        made.append(Closed(START + WIDTH * at, PART, part, WIDTH))
    return made


def _watched(store: Store, config: Config) -> list[Kept]:
    put(store, _rows(), START + WIDTH * PANES)
    with store.transaction() as tx:
        while keep_watch(tx, config, "live", START + WIDTH * PANES) is not None:
            pass
        return current_findings(tx, START + WIDTH * PANES, 0.0, 100)


def test_evidence_made_again_is_that_of_the_watch_while_its_panes_are_kept(
    any_store: Store, tmp_path: Path
) -> None:
    config = _config(tmp_path)
    kept = _watched(any_store, config)
    found = [one.finding for one in kept]
    views = {dict(one.name).get("view", "level") for one in found}
    assert views >= {"level", "rank", "missing", "share"}
    with any_store.reading() as tx:
        watch = read_watch(tx, config, "live")
        assert watch is not None
        for one in found:
            made = trace_drift(tx, watch, "live", one, WIDTH)
            assert made is not None and made.step_s == WIDTH and made.at[-1] == one.began
            evidence = made.values["evidence"]
            # It begins only a little before the change, where that of the watch was not nothing;
            # where it rang it is what rang.
            assert evidence[-2] < evidence[-1] == one.statistic, one.summary
            assert evidence[-1] >= one.threshold > evidence[0]
            assert made.at[0] < dict(one.facts)["onset"]
    with any_store.transaction() as tx:  # a past that is gone is not drawn
        tx.exec_driver_sql("DELETE FROM panes")
        assert Memory().trace(tx, config, kept[0]) is None


BURNS = Finding(
    "burn rate", (("service", "chat"), ("objective", "fast"), ("window", "5m/1h")), "firing",
    "critical", START + 7200, START + 7500, "it burns", 100, 5.0, 14.4, facts=(("target", 0.9),),
)  # fmt: skip


def test_a_burn_rate_is_that_of_its_two_windows(any_store: Store) -> None:
    bad = [[1.0] if minute >= 110 else [0.0] for minute in range(125)]
    rows = [Closed(START + 60 * at, MAIN, {"slo_fast": one * 2}, 60) for at, one in enumerate(bad)]
    put(any_store, rows, START + 60 * 125)
    with any_store.reading() as tx:
        made = trace_burn(tx, "live", BURNS)
        # One that is asked no longer has no target that its rates could be held against.
        assert trace_burn(tx, "live", replace(BURNS, facts=())) is None
    assert made is not None and made.step_s == 60
    rates = {at: (made.values["5m"][n], made.values["1h"][n]) for n, at in enumerate(made.at)}
    assert rates[START + 60 * 110] == pytest.approx((0.0, 0.0))
    assert rates[START + 60 * 112] == pytest.approx((4.0, 20 / 60))
    assert rates[START + 60 * 125] == pytest.approx((10.0, 150 / 60))


def test_an_hour_that_had_not_ended_when_it_rang_is_drawn(any_store: Store) -> None:
    rows = [Closed(START + 3600 * at, MAIN, {"slo_fast": [1.0]}) for at in range(30)]
    put(any_store, rows, START + 3600 * 30)
    began = START + 3600 * 27 + 600
    name = (*BURNS.name[:2], ("window", "2h/1d"))
    with any_store.reading() as tx:
        made = trace_burn(tx, "live", replace(BURNS, name=name, began=began, as_of=began))
    assert made is not None and made.at[-1] == START + 3600 * 28
    assert made.values["1d"][-1] == pytest.approx(10.0)


def test_the_page_has_each_finding_under_its_key(tmp_path: Path) -> None:
    config = _config(tmp_path)
    with closing(open_store(config.store.url.get_secret_value())) as store:
        found = _watched(store, config)
        with store.transaction() as tx:
            put_findings(tx, "live", [BURNS], START + 7500.0)
    alone = found[0].finding.key.hex()
    with served(config, clock=lambda: START + 7500.0) as client:

        def keys(asked: str) -> list[str]:
            return [one["key"] for one in client.get(f"/api/findings?{asked}").json()["findings"]]

        page = client.get("/findings").text
        assert all(f'id="{one.finding.key.hex()}"' in page for one in found)
        assert keys("limit=200")[:1] != [] and len(keys("limit=1")) == 1
        assert keys("kind=burn rate") == [BURNS.key.hex()] == keys("metric=slo_fast")
        assert keys(f"key={alone}") == [alone] and keys("service=x") == []
        assert "Nothing that was found is like that" in client.get("/findings?service=x").text
        assert client.get("/api/findings?state=none").status_code == 422

"""Runs advance by closed panes, each counted once, however many come together or however often."""

import itertools
import random
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, update

from abtest.advance import advance
from abtest.keeping import keep_experiments
from abtest.readout import readout
from abtest.run import Run
from agent.buckets import dither_keys
from agent.config import Config
from agent.errors import StoreDown
from agent.panes import Group, Row
from agent.store import Store, tables
from agent.store.reads import StoredPane, stored_panes
from agent.sums import merged
from tests.experiments import NOW, START, call, line, read, run_of, split, told, travel

WIDTH = 10
PANEL = {"p": {"response_relevance": "told 1"}}


def panes(rng: np.random.Generator, shards: int, count: int = 60) -> list[list[Row]]:
    """For each pane and arm, in order, the rows that so many partitions hold."""
    made = []
    for _ in range(2 * count):
        scores = rng.beta(5, 2, 20)
        keys = dither_keys(rng.integers(0, 2**63, 20).astype(np.uint64), "x")
        rows = [Row() for _ in range(shards)]
        for at, (score, key) in enumerate(zip(scores, keys, strict=True)):
            row = rows[(at * 7) % shards]
            row.calls.add("ok")
            row.panels.add("p")
            row.bounded("response_relevance", 0, 1).update([score], np.array([key], np.uint64))
        made.append(rows)
    return made


def stored(parts: list[list[Row]], seed: int) -> list[StoredPane]:
    """Closed panes: the partitions merged, in an order of their own."""
    found = []
    for at, rows in enumerate(parts):
        blobs = [row.to_bytes() for row in rows]
        random.Random(seed + at).shuffle(blobs)
        arm = ("production", "canary")[at % 2]
        group = Group("support", f"m-{arm}", arm)
        found.append(StoredPane(START + WIDTH * (at // 2), WIDTH, group, merged(blobs)))
    return found


def advanced(found: list[StoredPane], steps: int) -> Run:
    """A run that took these panes in so many steps, stored and loaded between them."""
    run, experiment = Run(), told(margin=0.05).experiments["x"]
    end = START + WIDTH * 60
    edges = np.linspace(START, end, steps + 1) // WIDTH * WIDTH
    for first, last in itertools.pairwise(edges):
        here = [one for one in found if first <= one.pane < last]
        run = advance(run, experiment, here, PANEL, "live", float(last))[-1]
        run = Run.from_bytes(run.to_bytes())
    return run


def facts(run: Run) -> tuple[Any, ...]:
    """All but the points of the picture, which depend on what came together."""
    lines = readout("x", told(margin=0.05).experiments["x"], run)
    rows = {key: row.to_bytes() for key, row in run.rows.items()}
    return rows, run.stages, run.reached, run.models, lines


def test_32_shuffled_partitions_in_any_steps_give_the_same_bits(rng: np.random.Generator) -> None:
    parts = panes(rng, 32)
    wanted = facts(advanced(stored(parts, 0), 1))
    for seed, steps in ((1, 60), (2, 7), (3, 1)):
        assert facts(advanced(stored(parts, seed), steps)) == wanted


def test_peaks_do_not_depend_on_what_came_together(rng: np.random.Generator) -> None:
    found = stored(panes(rng, 1), 0)
    one, many = advanced(found, 1), advanced(found, 60)
    assert one.peaks.keys() == many.peaks.keys()
    for name, peak in one.peaks.items():
        assert peak.decided_at == many.peaks[name].decided_at
        assert peak.log_evidence == pytest.approx(many.peaks[name].log_evidence, abs=1e-9)


def test_who_is_overtaken_stores_nothing(any_store: Store, rng: np.random.Generator) -> None:
    config = told(unit="session")
    records = [dict(one, session=f"s{at}") for at, one in enumerate(split(rng, 60, 0.0))]
    travel(any_store, config, records)
    later = call(20_000, 0.5, session="late")
    travel(any_store, config.model_copy(update={"experiments": {}}), [later])  # leaves `x` behind
    with any_store.transaction() as tx:
        known = tx.scalar(select(func.count()).select_from(tables.entered))
    with pytest.raises(StoreDown, match="x was moved on"), any_store.transaction() as tx:
        tx.execute(update(tables.runs).values(version=tables.runs.c.version + 1))
        stale(tx, config)
    with any_store.transaction() as tx:
        assert tx.scalar(select(func.count()).select_from(tables.entered)) == known
    assert sum(key.arm == "canary" for key in run_of(any_store, config).rows) == 1


def stepped(*steps: tuple[float, float]) -> Config:
    """A ramp: from so many seconds on the candidate has this share."""
    ramp = [
        {"at": START + at, "shares": {"production": 1 - share, "canary": share}}
        for at, share in steps
    ]
    return told(arms={"production": 0.9, "canary": 0.1}, ramp=ramp)


@pytest.mark.parametrize("steps", [((250, 0.2), (500, 0.5)), ((500, 0.4),), ((400, 0.5),), ()])
def test_a_step_written_in_after_its_time_weighs_nothing_anew(
    store: Store, rng: np.random.Generator, steps: tuple[tuple[float, float], ...]
) -> None:
    config, records = stepped((500, 0.5)), split(rng, 1000, 0.0, share=0.1)
    records += [
        call(1000 + at, float(one["response"]), one["variant"])
        for at, one in enumerate(split(rng, 1000, 0.0))
    ]
    travel(store, config, records)
    for same in (config, stepped((500, 0.5), (90_000, 0.7))):
        assert run_of(store, same).number == 1
    counted = run_of(store, config).to_bytes()
    changed = stepped(*steps)
    for _ in range(2):
        found = run_of(store, changed)
        assert (found.number, found.why) == (
            2,
            "a step of its ramp changed after its calls were counted",
        )
        (warning, *_) = line(read(store, changed), role="primary").warnings
        assert warning.startswith("run 2 began anew: a step of its ramp changed")
        with store.transaction() as tx:
            keep_experiments(tx, changed, NOW)  # the new run is kept, and goes on as it is
    assert Run.from_bytes(counted).ramp == config.experiments["x"].steps_before(START + 501)


def test_a_run_that_kept_no_ramp_takes_that_of_its_experiment(rng: np.random.Generator) -> None:
    experiment, at = stepped((500, 0.5)).experiments["x"], START + 1000.0
    old = Run(reached={"a": at})
    (run,) = advance(old, experiment, [], {}, "a", at + 10)
    assert run.ramp == experiment.steps_before(at) and run.ramp
    # A source that lags adds no step twice.
    (run,) = advance(run, experiment, [], {}, "b", at)
    assert run.ramp == experiment.steps_before(at)


def stale(tx: Any, config: Any) -> None:
    """Advance from a run that has moved since it was read."""
    import agent.store.experiments as experiments

    plain = experiments.load_run

    def old(tx: Any, name: str) -> Any:
        found = plain(tx, name)
        assert found is not None
        return experiments.StoredRun(found.run, found.version - 1, found.body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "load_run", old)
        keep_experiments(tx, config, NOW)


def test_rolled_up_panes_are_read_once_and_as_finely_as_they_are_there(
    store: Store, rng: np.random.Generator
) -> None:
    travel(store, told(), split(rng, 400, 0.0))
    span = float(START), float(START + 3600)
    with store.transaction() as tx:
        fine = stored_panes(tx, "backfill", *span, "support", ("production", "canary"))
        gone = tables.panes.delete().where(
            tables.panes.c.level_s < 3600, tables.panes.c.pane < START + 60
        )
        tx.execute(gone)
        mixed = stored_panes(tx, "backfill", *span, "support", ("production", "canary"))
    assert {one.level_s for one in fine} == {10} and {one.level_s for one in mixed} == {3600}
    assert merged([one.blob for one in fine]) == merged([one.blob for one in mixed])

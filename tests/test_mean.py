"""The mean of the texts' embeddings: carried as series beside novelty, and watched like it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from agent.catalog import AXES
from agent.columns import axis_columns, score_column
from agent.config import Config, load_config
from agent.intake import pack_half, unpack_half
from agent.packing import open_row
from agent.panes import Group, PaneBook, RowKey, fold, place
from agent.record import Call, Half, Score, unscored
from agent.score import Panel
from agent.stacks import Stacks
from agent.store import Store, open_store, watches
from agent.store.tables import calls
from agent.sums import merged
from consumers.cli_findings import mean_lines
from consumers.commands import report
from consumers.findings import newest
from tests.experiments import call
from tests.road import InboxRoad, as_bytes
from tests.test_watch import QUICK
from watch.keeping import keep_watch, series_rows
from watch.series import WHOLE

CALLS, CHANGE = 1800, 1000
METRIC = "prompt_novelty"


class Placed:
    """Novelty and places that the answer states."""

    name, version = "placed", "1"
    metrics: tuple[str, ...] = (METRIC,)

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        told = [json.loads(one.response or "[]") for one in calls]
        return {METRIC: [Score(value, axes=tuple(places)) for value, *places in told]}


def configured() -> Config:
    drift = QUICK | {"watched_series": 200}
    return load_config(models=False, inbox={"source": "backfill"}, drift=drift)


def records(grown: float) -> list[dict[str, Any]]:
    """A fifth of the calls is of a topic, from some call on another share: its texts lie to one
    side on the third axis, and less so to the other on the fourth."""
    rng, made = np.random.default_rng(3), []
    for at in range(CALLS):
        steps = rng.integers(5, 12, AXES)
        if rng.random() < (grown if at >= CHANGE else 0.2):
            steps[2] += 5
            steps[3] -= 4
        told = json.dumps([float(rng.uniform(0, 0.5)), *(16 * steps).tolist()])
        made.append(call(at, 0.0) | {"response": told})
    return made


def travel(store: Store, some: list[dict[str, Any]], end: bool = True) -> None:
    road = InboxRoad(store, configured(), Panel([(Placed(), 1.0)]))
    road.inbox.append(as_bytes(some))
    road.drain()
    if end:
        road.worker.finish("backfill")


def test_a_known_topic_that_grew_rings_once_a_series_and_says_how_far(any_store: Store) -> None:
    travel(any_store, records(0.6))
    rang = newest(any_store, configured(), 100)
    # The fourth axis moved too, and is not told of beside the third.
    assert {(one["metric"], one.get("view")) for one in rang} == {(METRIC, "axis 3")}
    assert {one["model"] for one in rang} == {"m-production", WHOLE}
    for one, line in zip(rang, mean_lines(rang), strict=True):
        far = one["distances"]["mean"]
        # The topic's share grew by .4, and lies 5 of 16 steps off; a text's deviation is 2.8.
        assert far["value"] == pytest.approx(0.4 * 5 / 2.8, abs=0.2)
        assert 0.05 < far["by_chance"] < far["value"]
        assert one["version"] == "placed 1" and one["side"] == "above"
        said = f"the texts' mean moved by {far['value']:.2f} of a text's standard deviation"
        assert said in one["summary"] and said in line


def test_nothing_rings_where_nothing_grew(store: Store) -> None:
    travel(store, records(0.2))
    assert newest(store, configured(), 100) == []
    with store.transaction() as tx:
        every = series_rows(tx, configured(), "backfill")
    watched = [row for row in every if row["view"].startswith("axis")]
    assert len(watched) == 2 * AXES and {row["state"] for row in watched} == {"watched"}


def test_places_are_no_metrics(store: Store) -> None:
    travel(store, records(0.2)[:100])
    with store.transaction() as tx:
        stored = [json.loads(row.scores) for row in tx.execute(select(calls))]
        every = series_rows(tx, configured(), "backfill")
    assert all(not any("|" in name for name in one) for one in stored) and len(stored) == 100
    (told,) = report(store)["models"].values()
    assert METRIC in told["means"] and not any("|" in name for name in told["means"])
    assert not any("|" in row["metric"] for row in every)


def test_a_restart_sees_every_pane_once(store: Store, tmp_path: Path) -> None:
    every, cut = records(0.6), open_store(f"sqlite:///{tmp_path / 'cut.db'}")
    travel(store, every)
    for first in range(0, CALLS, 450):
        travel(cut, every[first : first + 450], end=first + 450 == CALLS)
        with cut.transaction() as tx:
            keep_watch(tx, configured(), "backfill", 0.0)
    assert newest(cut, configured(), 100) == newest(store, configured(), 100) != []
    with store.transaction() as a, cut.transaction() as b:
        one, other = watches.load_watch(a, "backfill"), watches.load_watch(b, "backfill")
    assert one is not None and other is not None and one.body == other.body
    cut.close()


def scores(rng: np.random.Generator, n: int) -> list[Score]:
    """Some without a value."""
    made = [Score(0.5, axes=tuple((16 * rng.integers(0, 17, AXES)).tolist())) for _ in range(n)]
    return [unscored("no_prompt") if rng.random() < 0.1 else one for one in made]


def folded(some: Sequence[Score], events: Sequence[int]) -> bytes:
    """The one pane row that they come to."""
    book, group = PaneBook(groups_max=10), Group("chat", "m", "production")
    placed = place(book, [[RowKey(0, group)]] * len(some), ["ok"] * len(some), "panel")
    columns = [score_column(METRIC, some), *axis_columns(METRIC, some)]
    fold(placed, columns, np.array(events, np.uint64))
    ((_, row),) = book.take_dirty()
    return row.to_bytes()


def test_partitions_merge_to_the_same_bits() -> None:
    rng = np.random.default_rng(1)
    some, events = scores(rng, 2000), rng.integers(0, 1 << 62, 2000).tolist()
    of = rng.integers(0, 32, 2000)
    parts = [
        folded([some[at] for at in mine], [events[at] for at in mine])
        for mine in (np.flatnonzero(of == part).tolist() for part in range(32))
    ]
    whole = folded(some, events)
    assert merged(parts) == merged(parts[::-1]) == whole
    row = Stacks([open_row(one) for one in parts]).summed()
    assert row.to_bytes() == whole
    there = [one.axes for one in some if one.axes]
    for axis in range(AXES):
        held = row.summaries[f"{METRIC}|{axis + 1}"]
        assert held.n == len(there) and not held.missing.words
        assert held.total == sum(places[axis] for places in there) << 24  # to the last bit
    assert row.summaries[METRIC].missing.words == {"no_prompt": 2000 - len(there)}


def test_a_pane_row_grows_by_little() -> None:
    some, events = scores(np.random.default_rng(1), 50), list(range(50))
    bare = folded([replace(one, axes=()) for one in some], events)
    assert 0 < len(folded(some, events)) - len(bare) < 300


def test_a_half_that_waits_keeps_its_places() -> None:
    half = Half("k", "log", Call("c", 0.0, "m", prompt="Write to a@b.example"))
    held = {METRIC: Score(0.5, axes=(16, 32)), "error": Score(0.0)}
    stored = {"body": pack_half(half, held, {}), "topic": "t", "partition": 0, "offset": 0}
    assert unpack_half(SimpleNamespace(**stored, arrival=0.0)).scores == held

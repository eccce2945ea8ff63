"""Examples of what is new: which calls a finding names, what is kept of them and for how long."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from agent.config import Config, load_config
from agent.record import Call, Score
from agent.score import Panel
from agent.store import Store, open_store, retention, subjects
from agent.store.examples import Example
from agent.store.tables import examples
from consumers.cli import app
from consumers.findings import newest
from tests.experiments import START, call
from tests.road import InboxRoad, as_bytes
from tests.test_watch import QUICK
from watch.examples import words

OLD, NEW = "How do I pay the bill of shop {}?", "A pasta recipe for {} guests, to anna@example.org"
CALLS, CHANGE, DAY_S = 1500, 1000, 86_400.0


class Stated:
    """The novelty of a prompt that its answer states."""

    name, version = "stated", "1"
    metrics: tuple[str, ...] = ("prompt_novelty",)

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {"prompt_novelty": [Score(float(one.response or 0)) for one in calls]}


def configured(**kept: Any) -> Config:
    told = QUICK | ({"examples": kept} if kept else {})
    return load_config(models=False, inbox={"source": "backfill"}, drift=told)


def travel(store: Store, config: Config) -> InboxRoad:
    """Every second call is of a new topic from the thousandth on."""
    rng, records = np.random.default_rng(1), []
    for at in range(CALLS):
        new = at >= CHANGE and at % 2 == 0
        value = rng.uniform(0.9, 1.0) if new else rng.uniform(0.0, 0.8)
        record = call(at, value, prompt=(NEW if new else OLD).format(at), unit=f"user-{at}")
        records.append(record | {"id": f"{'new' if new else 'old'}-{at}"})
    road = InboxRoad(store, config, Panel([(Stated(), 1.0)]))
    road.inbox.append(as_bytes(records))
    road.drain()
    road.worker.finish("backfill")
    return road


def novel(store: Store) -> list[dict[str, Any]]:
    return [one for one in newest(store, configured(), 100) if one["metric"] == "prompt_novelty"]


def held(store: Store) -> list[Any]:
    with store.transaction() as tx:
        return list(tx.execute(select(examples)))


def test_no_text_is_kept_of_what_no_user_saw(any_store: Store) -> None:
    variants = ("production", "shadow:next", "probe:next")
    told = [call(at, at / 30, variants[at % 3], prompt="Hello?", at=START) for at in range(30)]
    road = InboxRoad(any_store, configured(per_pane=3), Panel([(Stated(), 1.0)]))
    road.inbox.append(as_bytes(told))
    road.drain()
    assert sorted(one.value for one in held(any_store)) == [21 / 30, 24 / 30, 27 / 30]


def test_a_finding_names_calls_of_the_new_topic_and_what_they_have_in_common(
    any_store: Store,
) -> None:
    travel(any_store, configured(per_pane=3))
    rang = [one for one in novel(any_store) if "view" not in one]
    assert {one["model"] for one in rang} == {"m-production", "*"}
    for one in rang:
        assert len(one["examples"]) == 5 and all(
            name.startswith("new-") for name in one["examples"]
        )
        assert {"pasta", "recipe", "guests"} <= set(one["words"]) and "email" not in one["words"]
        assert set(one["texts"]) == set(one["examples"])
        assert all("[EMAIL]" in text and "anna" not in text for text in one["texts"].values())


def test_a_pane_keeps_its_furthest_calls_whatever_the_batches(store: Store) -> None:
    travel(store, configured(per_pane=2))
    with store.transaction() as tx:
        by_pane = select(func.count(), func.min(examples.c.value)).group_by(examples.c.pane)
        sizes = {row[0] for row in tx.execute(by_pane)}
    assert sizes == {2}  # a pane has twenty calls
    new = [row.id for row in held(store) if row.id.startswith("new-")]
    assert len(new) == 50  # two of the ten in each of the last 25 panes


def test_without_a_reservoir_ids_are_named_and_no_text_is_kept(store: Store) -> None:
    travel(store, configured())
    assert held(store) == []
    one = novel(store)[0]
    assert all(name.startswith("new-") for name in one["examples"]) and len(one["examples"]) == 5
    assert one["words"] == [] and one["texts"] == {}


def test_examples_end_with_their_days_and_with_their_subject(store: Store) -> None:
    config = configured(per_pane=3, days=2)
    travel(store, config)
    first = next(row for row in held(store) if row.id.startswith("new-"))
    with store.transaction() as tx:
        assert subjects.forget(tx, first.id.replace("new", "user"))["examples"] == 1
    assert first.key not in {row.key for row in held(store)}
    for now, left in ((1.9, True), (2.1, False)):
        with store.transaction() as tx:
            retention.prune(tx, config, time.time() + now * DAY_S)
        assert bool(held(store)) is left


def test_who_no_longer_asks_for_examples_keeps_none(store: Store) -> None:
    travel(store, configured(per_pane=3))
    with store.transaction() as tx:
        retention.prune(tx, configured(), time.time() + 1)
    assert held(store) == []


def test_words_are_those_that_came_and_not_those_that_were_there() -> None:
    def said(*texts: str) -> list[Example]:
        return [Example(text, 0.0, "m", "production", {}, 1.0, text) for text in texts]

    known = said("where is the bill", "pay the bill", "the card is lost")
    new = said("the pasta recipe", "the pasta [PHONE]", "phone the bank")
    assert words(new, known) == ["pasta"]
    assert words(new, []) == [] == words([], known)


@pytest.mark.parametrize("kept", [{}, {"per_pane": 3}])
def test_the_command_shows_them(tmp_path: Path, kept: dict[str, int]) -> None:
    url = f"sqlite:///{tmp_path / 'v.db'}"
    store = open_store(url)
    travel(store, configured(**kept))
    store.close()
    path = tmp_path / "vedette.yaml"
    path.write_text(json.dumps({"store": {"url": url}, "drift": QUICK}))
    done = CliRunner().invoke(app, ["findings", "-c", str(path)])
    assert done.exit_code == 0 and "such as new-" in done.output
    assert ("guests, pasta, recipe" in done.output) == bool(kept)
    assert ("A pasta recipe for" in done.output) == bool(kept)

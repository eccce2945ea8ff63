"""Fairness along the whole road: records with segments in, closed hours, gaps, findings."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, update
from typer.testing import CliRunner

from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.store import Store, open_store
from agent.store.findings import open_findings
from agent.store.tables import closing, findings
from consumers.cli import app
from tests.experiments import START, call, travel
from watch.fairness import EVERYWHERE, Gap, keep_fairness, look, newest_hour
from watch.hours import DAY_S, Hours, Span

METRICS = ("response_relevance", "response_toxicity", "latency", "error")
PLAIN: dict[str, Any] = {"metrics": METRICS, "since_days": 1, "least_calls": 100}
DROP = 0.2
DAILY = 1200  # calls a day
NAME = ("tenant=acme", "response_relevance")
SHARES = {"acme": 0.25, "globex": 0.45, "initech": 0.3}


def configured(**fairness: Any) -> Config:
    return load_config(
        segments=("tenant",), models=False, inbox={"source": "backfill"},
        fairness=PLAIN | fairness,
    )  # fmt: skip


def records(
    rng: np.random.Generator, days: float, drops: dict[int, float] | None = None, **more: Any
) -> list[dict[str, Any]]:
    """Calls of three tenants, scored Beta(5, 2); on the days named acme's are so much lower, and
    take half as long again."""
    made = []
    for at in range(int(days * DAILY)):
        day, tenant = at // DAILY, str(rng.choice(list(SHARES), p=list(SHARES.values())))
        drop = (drops or {}).get(day, 0.0) if tenant == "acme" else 0.0
        score = float(max(rng.beta(5, 2) - drop, 0.0))
        slow = 1.5 if drop else 1.0
        held: dict[str, Any] = {"at": START + at * DAY_S / DAILY, "segment": {"tenant": tenant}}
        held["latency_s"] = slow * float(rng.lognormal(0, 0.5))
        made.append(call(at, score, **held, **more))
    return made


def gaps(store: Store, config: Config) -> dict[tuple[str, str], Gap]:
    with store.transaction() as tx:
        seen = look(tx, Hours(config), newest_hour(tx))
    return by_name(seen)


def by_name(seen: list[Gap]) -> dict[tuple[str, str], Gap]:
    return {(one.segment.removeprefix("tenant="), one.metric): one for one in seen}


def kept(store: Store) -> dict[tuple[str, str], str]:
    """The state of every finding that is not resolved."""
    with store.transaction() as tx:
        found = open_findings(tx, EVERYWHERE, "fairness")
    names = [dict(one.name) for one in found]
    return {
        (name["segment"], name["metric"]): one.state for name, one in zip(names, found, strict=True)
    }


def test_a_gap_is_found_with_its_size_its_findings_and_its_amounts(
    any_store: Store, rng: np.random.Generator
) -> None:
    config = configured()
    travel(any_store, config, records(rng, 2, {1: DROP}))
    seen = gaps(any_store, config)
    mine = seen["acme", "response_relevance"]
    assert mine.state == "gap" and mine.lower < -DROP < mine.upper < 0
    assert mine.others_mean - mine.mean == pytest.approx(DROP, abs=0.04)
    assert mine.n == pytest.approx(0.25 * DAILY, rel=0.1) and mine.n + mine.others_n == DAILY
    assert math.isfinite(mine.design_effect)
    slow = seen["acme", "latency_over_p50"]
    assert (
        slow.state == "gap" and slow.lower > 0 and slow.others_mean == pytest.approx(0.5, abs=0.1)
    )
    assert slow.above == pytest.approx(1.0, abs=0.1)
    assert slow.medians[1] < 1.5 < slow.medians[2] and slow.medians[1] > 1
    assert {seen[one, "error"].state for one in SHARES} == {"none seen"}
    assert {seen[one, "response_toxicity"].state for one in SHARES} == {"could not tell"}
    told = kept(any_store)
    assert told["tenant=acme", "response_relevance"] == "firing"
    assert set(told.values()) == {"firing"}
    with any_store.transaction() as tx:
        found = open_findings(tx, EVERYWHERE, "fairness")
    one = next(one for one in found if dict(one.name)["segment"] == "tenant=acme")
    assert one.as_of == START + 2 * DAY_S
    assert one.statistic >= one.threshold and "tenant=acme" in one.summary


def test_without_a_gap_nothing_is_told(store: Store, rng: np.random.Generator) -> None:
    config = configured(matters=0)
    travel(store, config, records(rng, 2))
    assert kept(store) == {}
    assert "gap" not in {one.state for one in gaps(store, config).values()}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three days that nobody looked at; on the second acme's scores are lower."""
    url = f"sqlite:///{tmp_path_factory.mktemp('gaps') / 'v.db'}"
    made = open_store(url)
    config = configured().model_copy(update={"fairness": None})
    travel(made, config, records(np.random.default_rng(7), 3, {1: DROP}))
    made.close()
    return url


@pytest.fixture
def three_days(url: str) -> Iterator[Store]:
    """The same, without findings."""
    opened = open_store(url)
    with opened.transaction() as tx:
        tx.execute(delete(findings))
        tx.execute(update(closing).values(closed_through=START + 3.0 * DAY_S))
    yield opened
    opened.close()


def test_an_end_is_told_when_a_whole_window_does_not_show_it(three_days: Store) -> None:
    hours, states = Hours(configured()), list[str | None]()
    for hour in (46, 49, 60, 72):
        with three_days.transaction() as tx:
            keep_fairness(tx, hours, 0, START + hour * 3600, 0.0)
        states.append(kept(three_days).get(NAME))
    assert states == ["firing", "insufficient data", "could not tell", None]


def test_many_hours_at_once_are_looked_at_where_windows_end(three_days: Store) -> None:
    with three_days.transaction() as tx:
        keep_fairness(tx, Hours(configured()), 0, START + 60 * 3600, 0.0)
    assert kept(three_days) == {}
    with three_days.transaction() as tx:
        keep_fairness(tx, Hours(configured()), START + 46 * 3600, START + 60 * 3600, 0.0)
    assert kept(three_days)[NAME] == "could not tell"


def test_a_look_is_the_same_whether_hours_were_read_before_or_not(three_days: Store) -> None:
    hours = Hours(configured())
    with three_days.transaction() as tx:
        for hour in (20, 30, 47, 48, 50):
            grown = look(tx, hours, START + hour * 3600)
            fresh = look(tx, Hours(configured()), START + hour * 3600)
            assert [str(one) for one in grown] == [str(one) for one in fresh]
            assert len(grown) == 3 * 5 and {one.as_of for one in grown} == {START + hour * 3600}


def test_few_calls_and_the_first_amounts_say_so(three_days: Store) -> None:
    with three_days.transaction() as tx:
        seen = by_name(look(tx, Hours(configured(least_calls=500)), START + DAY_S))
    assert seen["acme", "response_relevance"].state == "insufficient data"
    assert seen["globex", "response_relevance"].state == "none seen"
    for name in ("latency_over_p50", "latency_over_p90"):
        assert seen["acme", name].state == "could not tell" and math.isnan(seen["acme", name].gap)
    assert seen["acme", "latency_over_p50"].medians[0] == pytest.approx(1, abs=0.2)
    assert math.isnan(seen["globex", "response_relevance"].design_effect)


@pytest.mark.parametrize("variant", ["shadow:next", "probe:next"])
def test_answers_that_no_user_saw_do_not_count(
    store: Store, rng: np.random.Generator, variant: str
) -> None:
    config = configured()
    travel(store, config, records(rng, 0.2, variant=variant))
    assert gaps(store, config) == {} and kept(store) == {}


def test_a_window_begins_at_multiples_of_its_length() -> None:
    week = 7 * DAY_S
    assert Span.at(week, 7) == (0, week, week) and Span.at(week, 7).over
    assert Span.at(week + 3600, 7) == (week, week + 3600, week)
    assert not Span.at(week + 3600, 7).over


@pytest.mark.parametrize(
    "told, words",
    [
        ({"segments": ["tennant"]}, "fairness: names tennant, which is not in segments"),
        ({"metrics": ["speed"]}, "fairness: metrics names speed, which is no metric"),
        ({"metrics": ["slo_fast"]}, "fairness: names slo_fast, which is not in slo"),
        ({"metrics": []}, "fairness: metrics names none"),
        ({"matters": {"latency": 0.1, "cost": 0.1}}, "fairness: matters names cost"),
        ({"matters": -1}, "fairness.matters.default"),
        ({"matters": "much"}, "fairness.matters.default"),
        ({"alpha": 0}, "fairness.alpha"),
        ({"least": 5}, "fairness.least: unknown key"),
    ],
)
def test_bad_keys_are_one_line(told: dict[str, Any], words: str) -> None:
    with pytest.raises(BadConfig) as error:
        load_config(segments=("tenant",), fairness=told)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_without_segments_it_is_refused() -> None:
    with pytest.raises(BadConfig, match="fairness"):
        load_config(fairness={})


def test_the_command_shows_gaps_and_what_could_not_be_told(
    three_days: Store, url: str, tmp_path: Path
) -> None:
    with three_days.transaction() as tx:  # as if the third day were still to come
        tx.execute(update(closing).values(closed_through=START + 2.0 * DAY_S))
    file = tmp_path / "vedette.yaml"
    tree = {"store": {"url": url}, "segments": ["tenant"], "fairness": PLAIN}
    file.write_text(json.dumps(tree))

    def asked(*words: str) -> str:
        done = CliRunner().invoke(app, ["fairness", "-c", str(file), *words])
        assert done.exit_code == 0, done.output
        return done.output

    plain = asked()
    first = next(line for line in plain.splitlines() if line.startswith("support"))
    assert "tenant=acme" in first and " yes " in first and first.rstrip().endswith("gap")
    assert "could not tell: 3" in plain and "response_toxicity" not in plain
    assert "response_toxicity" in asked("--all")
    rows = json.loads(asked("--json"))
    assert len(rows) == 3 * 5 and rows[0]["state"] == "gap" and abs(rows[0]["gap"]) > 0.1
    assert next(r for r in rows if r["metric"] == "response_toxicity")["mean"] is None
    file.write_text(json.dumps({"store": {"url": url}}))
    refused = CliRunner().invoke(app, ["fairness", "-c", str(file)])
    assert isinstance(refused.exception, BadConfig) and "fairness" in str(refused.exception)

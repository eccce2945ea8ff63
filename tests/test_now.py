"""The front page: what services do in a window, each closed row read once, and one metric alone."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from starlette.testclient import TestClient

from agent.panes import HOUR_S, MINUTE_S, Group
from agent.sla import Objective
from agent.store import Store, open_store, tables
from consumers.server.points import Points
from consumers.server.rehearsal import rehearsal
from consumers.server.views import VIEWS
from tests.boards import START, Closed, put
from tests.serving import served, told

SMALL, LARGE = Group("chat", "wren-small", "production"), Group("chat", "wren-large", "production")
SHADOW = Group("chat", "finch", "shadow:finch")
DAY_S = 24 * HOUR_S


def _rows(hours: int) -> list[Closed]:
    part = SMALL._replace(segment="tenant=a")
    return [Closed(START, part, {"response_relevance": [0.5] * 4})] + [
        Closed(
            START + hour * HOUR_S,
            group,
            {"response_relevance": [level] * 10, "latency": [0.5] * 9 + [4.0], "error": [0.0] * 10},
            missing={"response_relevance": {"error": 2}},
        )
        for hour in range(hours)
        for group, level in ((SMALL, 0.25), (LARGE, 0.75), (SHADOW, 1.0))
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = open_store(told(tmp_path).store.url.get_secret_value())
    put(made, _rows(24), START + DAY_S)
    made.close()
    return made


def _row(found: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    (service,) = found["services"]
    rows = (row for part in service["parts"] for row in part["rows"])
    (cells,) = (row["cells"] for row in rows if row["metric"] == metric)
    return list(cells)


def test_a_window_has_means_quantiles_and_rates_of_each_column(
    tmp_path: Path, store: Store
) -> None:
    with served(told(tmp_path)) as client:
        found = client.get("/api/now").json()
    assert (found["newest"], found["start"]) == (START + DAY_S, START)
    (service,) = found["services"]
    assert [(one["model"], one["calls"]) for one in service["columns"]] == [
        ("*", 480), ("wren-large", 240), ("wren-small", 240), ("finch", 240),
    ]  # fmt: skip
    means = [one["value"] for one in _row(found, "response_relevance")]
    assert means == pytest.approx([0.5, 0.75, 0.25, 1.0])
    assert _row(found, "calls")[1]["value"] == pytest.approx(10 / HOUR_S)
    assert _row(found, "latency p50")[1]["value"] == pytest.approx(0.5, rel=0.01)
    assert _row(found, "latency p95")[1]["value"] == pytest.approx(4.0, rel=0.01)
    assert len(_row(found, "latency p50")[1]["over_time"]) == len(found["at"]) == 24


def test_a_window_is_counted_back_from_the_newest_closed_pane(tmp_path: Path, store: Store) -> None:
    with served(told(tmp_path)) as client:
        found = client.get("/api/now?window=6h").json()
        assert _row(found, "calls")[1]["n"] == 60
        for wrong in ("window=2h", "service=" + "x" * 300):
            assert client.get(f"/api/now?{wrong}").status_code == 422


def test_one_metric_has_its_course_its_models_its_segments_and_what_is_missing(
    tmp_path: Path, store: Store
) -> None:
    with served(told(tmp_path)) as client:
        asked = "service=chat&metric=response_relevance"
        found = client.get(f"/api/now?{asked}").json()["detail"]
        assert found["value"] == pytest.approx(0.5) and found["n"] == 480
        assert found["course"]["curves"][0]["values"] == pytest.approx([0.5] * 24)
        assert [one["title"] for one in found["models"]] == ["wren-large", "wren-small"]
        assert found["segments"] == [{"name": "tenant=a", "n": 4, "value": pytest.approx(0.5)}]
        assert found["missing"] == {"error": 96}
        alone = client.get(f"/api/now?{asked}&model=wren-small").json()["detail"]
        assert alone["value"] == pytest.approx(0.25) and not alone["models"]
        assert client.get("/api/now?service=none&metric=none").json()["detail"] is None
        assert client.get("/?service=none&metric=none").status_code == 200
        page = client.get(f"/?{asked}")
        assert page.status_code == 200 and page.text.count("data-x=") >= 24


def test_the_last_step_of_a_volume_is_as_long_as_what_is_closed_of_it(tmp_path: Path) -> None:
    config, seconds = told(tmp_path), 2 * HOUR_S + 630
    store = open_store(config.store.url.get_secret_value())
    put(store, _live(seconds), START + seconds)
    store.close()
    with served(config) as client:
        found = client.get("/api/now?window=24h&service=chat&metric=latency").json()["detail"]
    volume = found["volume"]
    assert seconds % volume["step_s"]
    assert volume["curves"][0]["values"] == pytest.approx([1.0] * len(volume["at"]))


def test_a_metric_of_few_calls_has_few_steps(tmp_path: Path) -> None:
    config = told(tmp_path)
    store = open_store(config.store.url.get_secret_value())
    rows = [
        Closed(START + 7 * at * MINUTE_S, SMALL, {"latency": [1.0]}, MINUTE_S) for at in range(45)
    ]
    put(store, rows, START + 6 * HOUR_S)
    store.close()
    with served(config) as client:
        found = client.get("/api/now?window=6h&service=chat&metric=latency").json()["detail"]
    (p50, _) = found["course"]["curves"]
    assert found["n"] == 45 and 6 <= len(p50["values"]) <= 12
    assert None not in p50["values"]


def test_a_tick_is_for_what_is_known_and_not_old(tmp_path: Path, store: Store) -> None:
    newest = START + DAY_S
    with served(told(tmp_path), clock=lambda: newest + 25 * 60.0) as client:
        page = client.get("/").text
        assert "</span>Nothing rings." in page and "is old" not in page
        for nobody in ("/?service=nobody", "/?service=nobody&metric=latency"):
            assert "Nothing rings" not in client.get(nobody).text
    with served(told(tmp_path), clock=lambda: newest + 27 * 60.0) as client:
        page = client.get("/").text
        assert "What stands here is old" in page and "Nothing rang by then." in page
        assert "sign good" not in page


def test_a_metric_leads_to_its_calls_and_findings_of_the_chosen_model(
    tmp_path: Path, store: Store
) -> None:
    with served(told(tmp_path)) as client:
        of = "service=chat&amp;model=wren-small"
        page = client.get(f"/?{of}&variant=production&metric=latency".replace("&amp;", "&")).text
        assert f'/calls?window=24h&amp;{of}&amp;variant=production&amp;metric=latency"' in page
        assert f'/findings?{of}&amp;metric=latency"' in page


def test_an_objective_is_said_to_be_a_share_that_breached(tmp_path: Path) -> None:
    slo = {"fast": Objective(at_most=1.0, target=0.92)}
    config = told(tmp_path).model_copy(update={"slo": slo})
    with closing(open_store(config.store.url.get_secret_value())) as made:
        rows = {"slo_fast": [1.0] + [0.0] * 9, "response_toxicity": [0.2] * 10}
        put(made, [Closed(START, SMALL, rows)], START + HOUR_S)
    with served(config) as client:
        assert "Objectives: share of the calls that breached them" in client.get("/").text
        page = client.get("/?service=chat&metric=slo_fast").text
        assert "<dt>Breached, of the calls</dt><dd>10.0 %</dd>" in page
        assert '<dt>May breach</dt><dd>8.0 % <span class="soft">by its target of 92 %' in page
        toxicity = client.get("/?service=chat&metric=response_toxicity").text
        assert "<dt>Mean score</dt>" in toxicity and "an evaluation has the share flag" in toxicity
        assert "May breach" not in toxicity


@pytest.mark.parametrize("asked", ["", "?service=none&metric=none", "?service=<b>&metric=<i>"])
def test_what_is_not_there_is_said(tmp_path: Path, asked: str) -> None:
    with served(told(tmp_path)) as client:
        page = client.get(f"/{asked}")
        assert page.status_code == 200 and "Nothing has been closed yet" in page.text
        assert "<b>" not in page.text and "<i>" not in page.text


def _live(seconds: int) -> list[Closed]:
    """A call a second as closing leaves it: panes of 10 s, whole minutes and whole hours."""
    return [
        Closed(START + at, group, {"latency": [0.5] * level_s}, level_s)
        for group in (SMALL, SMALL._replace(segment="tenant=a"))
        for level_s in (10, MINUTE_S, HOUR_S)
        for at in range(0, seconds // level_s * level_s, level_s)
    ]


@pytest.mark.parametrize("window", ["1h", "24h", "30d"])
@pytest.mark.parametrize("seconds", [40, 130, HOUR_S + 70])
def test_what_is_not_rolled_up_yet_is_counted_once(
    tmp_path: Path, window: str, seconds: int
) -> None:
    config = told(tmp_path)
    store = open_store(config.store.url.get_secret_value())
    put(store, _live(seconds), START + seconds)
    store.close()
    with served(config) as client:
        found = client.get(f"/api/now?window={window}").json()
        (column,) = found["services"][0]["columns"]
        asked = f"window={window}&service=chat&metric=latency"
        detail = client.get(f"/api/now?{asked}").json()["detail"]
    (calls,) = _row(found, "calls")
    begun = 2 * MINUTE_S if window == "1h" and seconds > HOUR_S else 0
    assert (found["newest"], found["start"]) == (START + seconds, START + begun)
    assert column["calls"] == calls["n"] == seconds - begun
    assert (calls["value"], max(calls["over_time"])) == pytest.approx((1.0, 1.0))
    assert detail["n"] == pytest.approx(calls["n"], abs=MINUTE_S)  # by panes of 10 s in an hour
    assert [one["n"] for one in detail["segments"]] == [seconds]  # since a whole hour


def test_a_closed_row_is_read_once_and_one_of_an_open_hour_again(tmp_path: Path) -> None:
    config = told(tmp_path)
    store, points = open_store(config.store.url.get_secret_value()), Points()

    def calls() -> float:
        with store.reading() as tx:
            levels_s = HOUR_S, MINUTE_S
            return float(points.sheet(tx, levels_s, START, START + 2 * DAY_S, 60).calls.sum())

    put(store, _rows(24), START + DAY_S)
    open_hour = [replace(one, level_s=MINUTE_S) for one in _rows(25)[73:]]
    put(store, open_hour, START + DAY_S + MINUTE_S)
    assert calls() == 750
    with store.transaction() as tx:
        tx.execute(delete(tables.panes))
    assert calls() == 750  # nothing was closed since
    put(store, [], START + DAY_S + 2 * MINUTE_S)
    assert calls() == 720
    with store.reading() as tx:
        nothing = points.sheet(tx, (HOUR_S,), START - DAY_S, START, 24)
    assert nothing.calls.shape == (0, 24) and nothing.histogram("latency")[1].sum() == 0
    store.close()


def test_a_rehearsal_makes_every_page(tmp_path: Path, store: Store) -> None:
    with served(told(tmp_path, refresh_s=3600.0)) as client:
        press = client.app.state.press  # type: ignore[attr-defined]  # an app of ours
        with closing(rehearsal(press, ["x"])) as making:
            making._thread.join()
        made = list(press.copies._shelves)
    for view in VIEWS:
        assert f"{view.path}?{{}}&nobody" in made
    assert '/?{"window":"30d"}&nobody' in made and '/experiments?{"name":"x"}&nobody' in made


def test_a_page_names_what_is_hostile_as_text(tmp_path: Path) -> None:
    config, bad = told(tmp_path), Group("<script>x</script>", "\u202em'\"", "production")
    store = open_store(config.store.url.get_secret_value())
    put(store, [Closed(START, bad, {"response_relevance": [0.5]})], START + HOUR_S)
    store.close()
    with served(config) as client:
        assert_inert(client, "/")
        assert_inert(client, "/?service=%3Cscript%3Ex%3C/script%3E&metric=response_relevance")


def assert_inert(client: TestClient, path: str) -> None:
    """No markup of a record is markup of the page."""
    page = client.get(path)
    assert page.status_code == 200 and "<script>x" not in page.text
    assert "&lt;script&gt;x" in page.text and "\u202e" not in page.text

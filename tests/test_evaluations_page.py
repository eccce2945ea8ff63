"""The page of evaluations: the runs, one of them, two beside each other."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from agent.store import open_store
from agent.store.evaluations import evaluations
from consumers.evaluations import Wish, conclude
from consumers.server.scatter import scattered
from suites.analysis.pareto import Front, Point
from suites.analysis.weights import Weighing
from suites.analysis.whole import analyse, since
from suites.intervals import Figure
from suites.keeping import read_run
from suites.record import Run
from suites.report.aside import Aside
from tests.evaluated import right_and_wrong, run_suite, suite_tree, sums, write_lines
from tests.serving import served, told


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def runs(folder: Path) -> tuple[Run, Run]:
    """Two runs of one suite, in the second of which `small` has become better."""
    write_lines(folder / "sums.jsonl", sums(60))
    store = open_store(f"sqlite:///{folder}/v.db")
    tree = suite_tree({name: {"answers": f"{name}.jsonl"} for name in ("large", "small")})
    made = []
    for wrong in (2, 20):
        for name, one in (("large", 10), ("small", wrong)):
            cost = {"cost_usd": 0.004 if name == "large" else 0.001}
            rows = [row | cost for row in right_and_wrong(60, one)]
            write_lines(folder / f"{name}.jsonl", rows)
        made.append(run_suite(tree, folder, store))
    store.close()
    return made[0], made[1]


def test_a_run_and_what_became_of_it_since_another(folder: Path, runs: tuple[Run, Run]) -> None:
    first, second = runs
    with served(told(folder)) as client:
        rows = client.get("/api/evaluations").json()["runs"]
        names = [(row["name"], row["before"]) for row in rows]
        assert names == [("arithmetic#2", "arithmetic#1"), ("arithmetic#1", "")]
        asked = {"run": "arithmetic#2", "beside": "arithmetic#1"}
        report = client.get("/api/evaluations", params=asked).json()["report"]
        whole = analyse(second, Weighing())
        shown = {one["target"]: one["overall"] for one in report["standings"]}
        for one in whole.standings:
            assert one.overall is not None
            assert shown[one.target]["mean"] == pytest.approx(one.overall.mean)
            assert shown[one.target]["lower"] == pytest.approx(one.overall.lower)
        (before,) = [
            one for one in report["before"]
            if one["name"] == "number_match" and one["ours"] == "small"
        ]  # fmt: skip
        (want,) = [
            one for one in since(second, first, Weighing())
            if one.name == "number_match" and one.ours == "small"
        ]  # fmt: skip
        assert before["difference"]["mean"] == pytest.approx(want.difference.mean)
        assert before["difference"]["mean"] > 0.3
        assert before["better"] == "small"
        page = client.get("/evaluations", params=asked).text
        assert "Since arithmetic#1" in page and "Quality against cost" in page


def test_a_page_ranks_by_the_weights_and_goals_of_the_suite(tmp_path: Path) -> None:
    write_lines(tmp_path / "sums.jsonl", sums(60))
    for name, wrong, seconds in (("exact", 20, 4.0), ("quick", 2, 0.5)):
        rows = [row | {"latency_s": seconds} for row in right_and_wrong(60, wrong)]
        write_lines(tmp_path / f"{name}.jsonl", rows)
    targets = {name: {"answers": f"{name}.jsonl"} for name in ("exact", "quick")}
    tree = suite_tree(targets, weights={"quality": 9.0, "efficiency": 1.0}, goals={"latency": 8.0})
    with closing(open_store(f"sqlite:///{tmp_path}/v.db")) as store:
        run = run_suite(tree, tmp_path, store)
        with store.reading() as tx:
            assert read_run(tx, run.name) == run
        assert conclude(run, None, store, Wish(), Aside()).weighing.weights["quality"] == 9.0
    with served(told(tmp_path)) as client:
        report = client.get("/api/evaluations", params={"run": "arithmetic"}).json()["report"]
        assert [one["target"] for one in report["standings"]] == ["exact", "quick"]
        assert report["weights"] == {"quality": 0.9, "efficiency": 0.1}
        assert [one["dimensions"]["efficiency"]["mean"] for one in report["standings"]] == [1, 1]
    with closing(open_store(f"sqlite:///{tmp_path}/v.db")) as store, store.transaction() as tx:
        tx.execute(update(evaluations).values(weighing=None))  # as an older version kept it
    with served(told(tmp_path)) as client:
        report = client.get("/api/evaluations", params={"run": "arithmetic"}).json()["report"]
        assert [one["target"] for one in report["standings"]] == ["quick", "exact"]
        assert any("without the weights and goals of its suite" in one for one in report["notes"])


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"run": "nothing"}, "no finished run nothing"),
        ({"run": "arithmetic", "beside": "<b>"}, "no finished run &lt;b&gt;"),
    ],
)
def test_a_run_that_is_not_there_is_said(folder: Path, asked: dict[str, Any], problem: str) -> None:
    with served(told(folder)) as client:
        answer = client.get("/evaluations", params=asked)
        assert answer.status_code == 200 and problem in answer.text


def _point(name: str, quality: float, cost: float, front: bool) -> Point:
    held, paid = (
        Figure(what, 10, mean, 0.9 * mean, 1.1 * mean, mean)
        for what, mean in (("quality", quality), ("cost", cost))
    )
    return Point(name, held, paid, front, ())


def test_better_is_higher_and_cheaper_is_further_left() -> None:
    front = Front("cost", "usd", (_point("a", 0.5, 1, True), _point("b", 0.4, 2, False),
                                  _point("c", 0.8, 4, True)))  # fmt: skip
    plane = scattered(front)
    a, b, c = plane.dots
    assert a.x < b.x < c.x and c.y < a.y < b.y
    assert all(dot.left <= dot.x <= dot.right and dot.top <= dot.y <= dot.bottom
               for dot in plane.dots)  # fmt: skip
    assert all(0 <= place <= 100 for dot in plane.dots for place in (dot.x, dot.y))
    cheap = replace(front, points=(_point("a", 0.5, 2e-5, True), _point("c", 0.8, 9e-5, True)))
    assert [tick.text for tick in scattered(cheap).across][:3] == ["0", "0.00005", "0.0001"]
    # The line goes from one of the front to the next and leaves what is beaten aside.
    assert plane.steps.count("H") == 1

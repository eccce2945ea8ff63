"""A suite with a judge, from its file to what is said of the judge."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BadConfig
from agent.record import Answer, Call
from agent.store import Store
from consumers.cli_judge import aside_of, show_aside
from suites.judge import running
from suites.keeping import read_run
from suites.record import Run
from suites.report.aside import Aside
from suites.report.files import as_tree
from suites.suite import suite_of
from tests.evaluated import run_suite, suite_tree, sums, values, write_lines
from tests.judges import fond_of_the_first, honest, obedient, read, verdict
from tests.live.endpoint import Endpoint

N = 60
GOOD = {f"It is {2 * i + 1}." for i in range(N)} | {
    "The library opened its doors in 1931.", "Eight each, so twenty-four.", "It is mercury.",
}  # fmt: skip


def answered(wrong: int) -> list[dict[str, Any]]:
    return [{"id": f"s{i}", "response": f"It is {2 * i + 1 + (i % wrong == 0)}."} for i in range(N)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "sums.jsonl", sums(N))
    write_lines(tmp_path / "new.jsonl", answered(3))
    write_lines(tmp_path / "old.jsonl", answered(2))
    return tmp_path


@pytest.fixture
def fake() -> Iterator[Endpoint]:
    with Endpoint("say") as one:
        one.say = honest(GOOD)
        yield one


def tree(fake: Endpoint, **more: Any) -> dict[str, Any]:
    by = {"url": fake.url, "model": "judge-1", "private": True, "stream": False}
    targets = {"new": {"answers": "new.jsonl"}, "old": {"answers": "old.jsonl"}}
    judge = {"by": by, "rubrics": ["correctness"], **more}
    return suite_tree(targets) | {"judge": judge}


def right(wrong: int) -> list[float]:
    return [float(i % wrong != 0) for i in range(N)]


def aside(run: Run, told: dict[str, Any], folder: Path, store: Store) -> Aside:
    return aside_of(run, suite_of(told), folder, store)


def test_every_answer_of_every_target_is_judged(folder: Path, store: Store, fake: Endpoint) -> None:
    told = tree(fake, cheap={"correctness": "number_match"})
    run = run_suite(told, folder, store)
    assert values(run, "judge_correctness") == right(3)
    assert values(run, "judge_correctness", 1) == right(2)
    assert run.outcomes[0].measures["judge_correctness_canaries_passed_ratio"] == 1.0
    with store.transaction() as tx:
        assert read_run(tx, "arithmetic") == run
    (new, _) = aside(run, told, folder, store).readings
    assert (new.judged, new.canaries, new.distrusted) == (N, 1.0, False)
    found = new.estimates["judge"]
    assert found.value == pytest.approx(2 / 3)
    assert found.lower < found.value < found.upper
    assert fake.asked[0][1]["temperature"] == 0.0


def test_a_share_is_judged_and_the_cheap_metric_says_the_rest(
    folder: Path, store: Store, fake: Endpoint
) -> None:
    write_lines(folder / "sums.jsonl", sums(400))
    rows = [{"id": f"s{i}", "response": f"It is {2 * i + 1 + (i % 3 == 0)}."} for i in range(400)]
    write_lines(folder / "new.jsonl", rows)
    fake.say = honest({f"It is {2 * i + 1}." for i in range(400)} | GOOD)
    told = tree(fake, share=0.3, cheap={"correctness": "number_match"})
    run = run_suite(told, folder, store)
    new, _ = aside(run, told, folder, store).readings
    alone, both = (new.estimates[name] for name in ("judge", "judge + number_match"))
    assert 80 < new.judged < 160
    assert new.missing == {"sampled_out": 400 - new.judged}
    assert (both.judged, both.others) == (new.judged, 400 - new.judged)
    assert both.lower < 2 / 3 < both.upper
    assert both.width < 0.6 * alone.width


def test_a_stopped_run_asks_no_question_twice(
    folder: Path, store: Store, fake: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> dict[str, float]:
        raise KeyboardInterrupt

    whole = run_suite(tree(fake), folder, store)
    asked = len(fake.asked)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(running, "_trust_measures", stop)
        run_suite(tree(fake), folder, store, fresh=True)
    before = len(fake.asked)
    assert before - asked == 9  # the canaries
    again = run_suite(tree(fake), folder, store)
    assert len(fake.asked) - asked == asked
    assert again.outcomes == whole.outcomes


def test_a_judge_that_obeys_what_it_judges_does_not_count(
    folder: Path, store: Store, fake: Endpoint
) -> None:
    fake.say = obedient
    told = tree(fake, against="old")
    run = run_suite(told, folder, store)
    assert set(values(run, "judge_correctness")) == {"judge_distrusted"}
    assert run.outcomes[0].scores["judge_correctness"][0].status == "invalid"
    assert set(values(run, "judge_correctness_win")) == {"judge_distrusted"}
    assert len(fake.asked) == 9
    new, _ = aside(run, told, folder, store).readings
    assert new.distrusted
    assert new.canaries == pytest.approx(6 / 9)


def test_one_target_is_compared_with_the_others(folder: Path, store: Store, fake: Endpoint) -> None:
    told = tree(fake, against="old")
    run = run_suite(told, folder, store)
    better = [0.5 + (i % 3 != 0) / 2 - (i % 2 != 0) / 2 for i in range(N)]
    assert values(run, "judge_correctness_win") == better
    assert "judge_correctness_win" not in run.outcomes[1].scores
    assert run.outcomes[0].measures["judge_correctness_position_bias_ratio"] == 0.0

    def fond(body: dict[str, Any]) -> str:
        return honest(GOOD)(body) if "answer" in read(body)[2] else fond_of_the_first(body)

    fake.say = fond
    run = run_suite(told, folder, store, fresh=True)
    assert set(values(run, "judge_correctness_win")) == {0.5}
    # Where both gave the same answer the two orders are one question.
    assert run.outcomes[0].measures["judge_correctness_position_bias_ratio"] == 1.0


def test_a_cap_ends_the_asking_and_nothing_is_lost(
    folder: Path, store: Store, fake: Endpoint
) -> None:
    run = run_suite(tree(fake, budget={"calls": 30}), folder, store)
    assert len(fake.asked) == 30
    found = [*values(run, "judge_correctness"), *values(run, "judge_correctness", 1)]
    assert len([one for one in found if isinstance(one, float)]) >= 21
    assert {one for one in found if isinstance(one, str)} == {"over_budget"}


def test_people_s_labels_calibrate_and_correct_it(
    folder: Path, store: Store, fake: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [{"id": f"s{i}", "label": "right" if i % 3 else "wrong"} for i in range(0, N, 2)]
    more: list[Any] = [{"id": "s1", "label": "fine"}, {"label": "right"}, "{"]
    write_lines(folder / "labels.jsonl", [*labels, *more])

    def strict(body: dict[str, Any]) -> str:
        """Wrong of every right answer that ends in 1."""
        mark, names, parts = read(body)
        hard = parts["answer"].startswith("It is") and parts["answer"].endswith("1.")
        return verdict(mark, names[0]) if hard else honest(GOOD)(body)

    fake.say = strict
    told = tree(fake, labels="labels.jsonl")
    run = run_suite(told, folder, store)
    found = aside(run, told, folder, store)
    assert dict(found.rejected) == {"bad_label": 1, "no_id": 1, "json": 1}
    held = found.readings[0].calibration
    assert held is not None
    assert (held.n, held.unjudged) == (30, 0)
    assert held.sensitivity.value == 1.0
    assert held.specificity.value < 1.0
    assert 0 < held.kappa.value < 1
    people = found.readings[0].estimates["people + judge"]
    assert (people.judged, people.others) == (30, 30)
    assert people.lower < 2 / 3 < people.upper
    corrected = found.readings[0].estimates["bad, corrected"]
    assert corrected.method == "rogan-gladen"
    assert corrected.lower < 1 / 3 < corrected.upper
    json.dumps(as_tree(found))
    show_aside(found)
    said = capsys.readouterr().out
    assert "against 30 labels: agreement" in said
    assert "1 labels are none: bad_label" in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rubrics": ["kindness"]}, "judge.rubrics: kindness"),
        ({"rubrics": ["correctness", "correctness"]}, "two rubrics"),
        ({"cheap": {"tone": "rouge1"}}, "judge.cheap.tone"),
        ({"cheap": {"correctness": "rouge9"}}, "no metric rouge9"),
        ({"against": "ours"}, "ours is unknown"),
        ({"tasks": ["other"]}, "other is unknown"),
        ({"labels": "away.jsonl"}, "judge.labels: away.jsonl is no file"),
        ({"budget": {"usd": 1}}, "needs by.price"),
        ({"by": {"answers": "new.jsonl"}}, "judge nothing"),
        ({"by": {"folder": "away"}}, "judge.by.folder"),
    ],
)
def test_a_judge_that_cannot_be_used_is_refused_before_anything_is_asked(
    folder: Path, store: Store, fake: Endpoint, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadConfig) as error:
        run_suite(tree(fake, **more), folder, store)
    assert says in str(error.value)
    assert fake.asked == []


def test_a_model_in_a_folder_is_loaded_once(
    folder: Path, store: Store, fake: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    class Local:
        rows = 8

        def __init__(self, where: str, *_: Any) -> None:
            opened.append(where)

        def ask(self, calls: Sequence[Call]) -> list[Answer]:
            return [Answer("ok", text="I cannot tell.") for _ in calls]

    monkeypatch.setattr(running, "open_local", Local)
    (folder / "model").mkdir()
    told = tree(fake, by={"folder": "model"}, rubrics=["correctness", "helpfulness"], bar=0)
    run = run_suite(told, folder, store)
    assert opened == ["judge.by"]
    assert set(values(run, "judge_correctness")) == {"bad_json"}

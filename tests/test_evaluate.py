"""A suite over recorded answers, from its file to what the store gives back."""

import gzip
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import update

from agent.errors import BadConfig
from agent.record import NOT_MEANT, Call, Score
from agent.score import Panel
from agent.store import Store
from agent.store.evaluations import evaluations
from suites.keeping import find_run, forget, read_run, runs_of
from suites.summary import counts_of, lines_of
from tests.evaluated import right_and_wrong, run_suite, suite_tree, sums, values, write_lines

DRIFT = Path(__file__).parents[2] / "shared" / "data" / "dev" / "drift"
RECORDED = {"old": {"answers": "answers.jsonl"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "sums.jsonl", sums(30))
    write_lines(tmp_path / "answers.jsonl", right_and_wrong(30))
    return tmp_path


def test_recorded_answers_are_scored_item_by_item(folder: Path, store: Store) -> None:
    run = run_suite(suite_tree(RECORDED), folder, store)
    assert values(run, "number_match") == [float(i % 3 != 0) for i in range(30)]
    first = run.outcomes[0].calls[0]
    assert first is not None
    assert (first.id, first.origin, first.variant, first.model) == (
        "sums:s0", "dataset", "old", "old")  # fmt: skip
    assert (first.response, first.reference, first.latency_s) == ("It is 2.", "1", 0.5)
    (line,) = [one for one in lines_of(run) if one.figure.metric == "number_match"]
    assert (line.task, line.target, line.figure.n) == ("sums", "old", 30)
    assert line.figure.mean == pytest.approx(2 / 3) and line.figure.lower < 2 / 3


def test_a_run_is_read_back_as_it_was(folder: Path, any_store: Store) -> None:
    store = any_store
    write_lines(folder / "sums.jsonl", [*sums(30), "{broken"])
    other = {"prompt": "Who wrote it?", "contexts": ["Ada wrote it."], "system": "Be brief."}
    more = write_lines(folder / "docs.jsonl", [other])
    tree = suite_tree(RECORDED)
    tree["tasks"]["docs"] = {"data": more.name, "scorers": ["repetition"]}
    first, second = (run_suite(tree, folder, store) for _ in range(2))
    with store.transaction() as tx:
        assert read_run(tx, "arithmetic#1") == first
        assert read_run(tx, "arithmetic") == second
        assert [one.name for one in runs_of(tx)] == ["arithmetic#2", "arithmetic#1"]
        assert forget(tx, "arithmetic#2", 0.0).number == 2
        assert find_run(tx, "arithmetic").name == "arithmetic#1"
        with pytest.raises(BadConfig, match="no finished run arithmetic#2"):
            read_run(tx, "arithmetic#2")
    assert first.rejected == {("sums", "json"): 1}
    assert values(first, "number_match")[30] == NOT_MEANT, "a metric of another task"
    assert values(first, "response_repetition")[30] == "no_answer"


def test_all_answers_to_an_item_are_scored_side_by_side(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[tuple[str, str]]] = []
    plain = Panel.score

    def score(self: Panel, calls: Sequence[Call]) -> dict[str, list[Score]]:
        batches.append([(call.id, call.model) for call in calls])
        return plain(self, calls)

    monkeypatch.setattr(Panel, "score", score)
    write_lines(folder / "sums.jsonl", sums(3))
    write_lines(folder / "answers.jsonl", right_and_wrong(3))
    write_lines(folder / "better.jsonl", right_and_wrong(2, wrong=9)[1:])
    run = run_suite(suite_tree(RECORDED | {"new": {"answers": "better.jsonl"}}), folder, store)
    ids = [("s0", "old"), ("s1", "old"), ("s1", "new"), ("s2", "old")]
    assert batches[0] == [(f"sums:{name}", model) for name, model in ids]
    assert values(run, "number_match") == [0.0, 1.0, 1.0]
    assert values(run, "number_match", 1) == ["no_answer", 1.0, "no_answer"]


def test_broken_rows_empty_references_and_missing_answers_are_counted(
    folder: Path, store: Store
) -> None:
    rows = [*sums(4), "{not json", "[1, 2]", {"id": "s1", "prompt": "again?"}, {"id": "s9"},
            {"id": "s5", "prompt": "Why?", "reference": ""},
            {"id": "s6", "prompt": "What is 1 plus 1?", "reference": "2"},
            {"id": "s7", "prompt": ["no", "text"]},
            {"id": "s8", "prompt": "half \ud800"}]  # fmt: skip
    write_lines(folder / "sums.jsonl", rows)
    answers = [*right_and_wrong(3), {"id": "s6", "response": ""}, {"id": "s3"}, "]",
               {"response": "to whom?"}, {"id": "s5", "status": "timeout"}]  # fmt: skip
    write_lines(folder / "answers.jsonl", answers)
    run = run_suite(suite_tree(RECORDED), folder, store)
    assert run.rejected == {
        ("sums", "bad_text"): 1, ("sums", "duplicate_id"): 1, ("sums", "encoding"): 1,
        ("sums", "json"): 1, ("sums", "no_prompt"): 1, ("sums", "not_an_object"): 1,
        ("targets.old", "bad_id"): 1, ("targets.old", "json"): 1,
        ("targets.old", "no_response"): 1,
    }  # fmt: skip
    assert values(run, "number_match") == [0.0, 1.0, 1.0, "no_answer", "no_reference", 0.0]
    assert counts_of(run.outcomes[0]) == {
        "answered": 4, "empty": 1, "failed": {"timeout": 1}, "unasked": {"no_answer": 1},
    }  # fmt: skip


def test_answers_are_found_by_prompt_with_or_without_the_template(
    folder: Path, store: Store
) -> None:
    rows = sums(3)
    asked = [rows[0]["prompt"], f"Q: {rows[1]['prompt']}", [{"role": "user", "content": "x"},
             {"role": "user", "content": rows[2]["prompt"]}]]  # fmt: skip
    write_lines(folder / "sums.jsonl", [{"prompt": r["prompt"], "reference": "1"} for r in rows])
    write_lines(folder / "answers.jsonl", [{"prompt": p, "response": "1"} for p in asked])
    run = run_suite(suite_tree(RECORDED, template="Q: {prompt}"), folder, store)
    assert values(run, "exact_match") == [1.0, 1.0, 1.0]
    assert [item.call.id for item in run.items] == ["sums:1", "sums:2", "sums:3"]


def test_several_models_in_one_file_are_told_apart(folder: Path, store: Store) -> None:
    rows = [{"key": r["id"], "outputs": {"m-1": "1", "m-1.5": r["reference"]}, "set": "a"}
            for r in sums(3)]  # fmt: skip
    other = {"key": "s0", "outputs": {"m-1": "wrong"}, "set": "b"}
    write_lines(folder / "answers.jsonl", [other, *rows])
    named = {
        name: {"answers": "answers.jsonl", "where": {"set": "a"},
               "columns": {"id": "key", "response": f"outputs.{name}"}}
        for name in ("m-1", "m-1.5")
    }  # fmt: skip
    run = run_suite(suite_tree(named), folder, store)
    assert values(run, "exact_match", 0)[:3] == [1.0, 0.0, 0.0]
    assert values(run, "exact_match", 1)[:3] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("file", "pattern", "shares"),
    [
        ("prime", r"(?i)\[(yes|no)\]|^(yes|no)$", (0.840, 0.511)),
        ("happynumber", r"boxed\{(\d+)\}", (0.836, 0.352)),
    ],
)
def test_gpt_4_of_march_and_june_2023(
    store: Store, tmp_path: Path, file: str, pattern: str, shares: tuple[float, float]
) -> None:
    path = DRIFT / f"llmdrift_{file}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there: the shared data is not beside the checkout")
    march, june = ({"model": f"gpt-4-{v}"} for v in ("0314", "0613"))
    columns = {"id": "item", "tokens_out": "response_tokens"}
    mapping = {"id": "item", "prompt": "prompt", "reference": "ref"}
    tree = suite_tree(
        {name: {"answers": str(path), "where": where, "columns": columns}
         for name, where in (("march", march), ("june", june))},
        data=str(path), where=march, mapping=mapping, extract=pattern, scorers=["matches"],
    )  # fmt: skip
    run = run_suite(tree, tmp_path, store)
    with gzip.open(path) as lines:
        rows = [json.loads(line) for line in lines]
    for outcome, where, share in zip(run.outcomes, (march, june), shares, strict=True):
        scores = [one.value for one in outcome.scores["exact_match"]]
        correct = [row["correct"] for row in rows if row["model"] == where["model"]]
        assert scores == correct, "item by item"
        assert sum(correct) / len(correct) == pytest.approx(share, abs=0.005)


def test_a_run_that_lives_is_nobody_elses(folder: Path, store: Store) -> None:
    tree, host = suite_tree(RECORDED), socket.gethostname()

    def held(holder: str, silent_s: float) -> None:
        """Say that the newest run was stopped in the hands of somebody."""
        with store.transaction() as tx:
            seen = 1_800_000_000.0 - silent_s
            tx.execute(update(evaluations).values(finished=None, holder=holder, seen=seen))

    assert run_suite(tree, folder, store).name == "arithmetic#1"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for gone in (f"{host}/{dead.pid}", "elsewhere/1"):
        held(gone, 300)
        assert run_suite(tree, folder, store).name == "arithmetic#1"
    for there in (f"{host}/{os.getppid()}", "elsewhere/1"):
        held(there, 10)
        with pytest.raises(BadConfig, match=f"arithmetic#1: is run by {there}"):
            run_suite(tree, folder, store)
    assert run_suite(tree, folder, store, fresh=True).name == "arithmetic#2"

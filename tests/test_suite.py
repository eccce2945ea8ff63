"""The suite file, and the items that it makes."""

from pathlib import Path
from typing import Any

import pytest

from agent.errors import BadConfig
from suites.items import gather
from suites.record import Item
from suites.suite import load_suite, suite_of
from tests.evaluated import suite_tree, sums, write_lines

RECORDED = {"old": {"answers": "answers.jsonl"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "sums.jsonl", sums(40))
    return tmp_path


def items(folder: Path, **more: Any) -> tuple[Item, ...]:
    return gather(suite_of(suite_tree(RECORDED, **more)), folder)[0]


def ids(found: tuple[Item, ...]) -> list[str]:
    return [item.call.id for item in found]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"limits": 3}, "tasks.sums.limits: unknown key"),
        ({"mapping": "gsm9k"}, "tasks.sums: gsm9k is unknown; known are plain, commonsense_qa"),
        ({"mapping": {"promt": "q"}}, "tasks.sums: promt is unknown; known are id, prompt"),
        ({"kind": "poem"}, "tasks.sums: poem is unknown; known are qa"),
        ({"scorers": ["match"]}, "tasks.sums: match is unknown"),
        ({"probes": ["typo"]}, "tasks.sums: typo is unknown"),
        ({"template": "Answer."}, "tasks.sums.template: must hold {prompt}"),
        ({"extract": "("}, "tasks.sums.extract: is no regular expression"),
        ({"few_shot": -1}, "tasks.sums.few_shot: "),
        ({"seed": "x"}, "seed: "),
        ({"seed": -1}, "seed: "),
        ({"budget": {"eur": 5}}, "budget.eur: unknown key"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_the_key(
    change: dict[str, Any], line: str
) -> None:
    with pytest.raises(BadConfig) as caught:
        suite_of(suite_tree(RECORDED, **change))
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ({}, "needs one of `url`, `folder` and `answers`"),
        ({"answers": "a.jsonl", "folder": "b"}, "needs one of"),
        ({"url": "https://x.test/v1"}, "needs `model`"),
        ({"url": "http://x.test/v1", "model": "m"}, "sends clear text"),
        ({"url": "ftp://x.test/v1", "model": "m"}, "url: must be an http"),
        ({"folder": "b", "where": {"a": "b"}}, "are of recorded `answers`"),
        ({"answers": "a.jsonl", "columns": {"answer": "x"}}, "answer is unknown"),
        ({"folder": "b", "parameters": {"n": 2}}, "n is unknown"),
    ],
)
def test_a_target_that_is_none_is_one_line(target: dict[str, Any], line: str) -> None:
    with pytest.raises(BadConfig) as caught:
        suite_of(suite_tree({"new": target}))
    assert str(caught.value).startswith("targets.new: ") and line in str(caught.value)


def test_a_rule_of_compliance_is_for_a_task_that_there_is() -> None:
    rules = {"answers": {"short": {"chars": 9, "tasks": ["sum"]}}}
    with pytest.raises(BadConfig, match="sum is unknown; known are sums"):
        suite_of(suite_tree(RECORDED) | {"compliance": rules})


def test_a_file_is_read_with_its_doubts(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("name: a\nname: b\n")
    with pytest.raises(BadConfig, match="name: stands twice at line 2"):
        load_suite(path)
    path.write_text("name: a\ntasks: {x: {data: a.jsonl}}\ntargets: {y: {answers: b.jsonl}}\n")
    assert load_suite(path).tasks["x"].mapping == "plain"


def test_a_limit_is_drawn_by_seed_and_a_smaller_one_is_part_of_it(folder: Path) -> None:
    ten, twenty = ids(items(folder, limit=10)), ids(items(folder, limit=20))
    assert len(ten) == 10 and len(twenty) == 20 and set(ten) < set(twenty)
    assert ten == sorted(ten, key=lambda one: int(one[6:])), "in the order of the dataset"
    assert ten != ids(items(folder))[:10]
    assert ten != ids(items(folder, limit=10, seed=1)) and ten == ids(items(folder, limit=10))
    write_lines(folder / "sums.jsonl", reversed(sums(40)))
    assert set(ids(items(folder, limit=10))) == set(ten), "whatever the order of the rows"


def test_templates_and_examples_are_put_around_the_prompt(folder: Path) -> None:
    found = items(folder, few_shot=3, template="{prompt}\nA {number}.", system="Be brief.")
    drawn = set()
    for item in found:
        roles = [turn.role for turn in item.call.messages]
        assert roles == ["system", *["user", "assistant"] * 3, "user"]
        asked = [turn.content for turn in item.call.messages if turn.role == "user"]
        assert len(set(asked)) == 4, "the item itself is no example, and none comes twice"
        assert asked[-1] == item.call.prompt == f"{item.facts['plain_prompt']}\nA {{number}}."
        drawn.add(tuple(asked[:3]))
        answers = [turn.content for turn in item.call.messages if turn.role == "assistant"]
        known = {row["prompt"]: row["reference"] for row in sums(40)}
        assert answers == [known[one.partition("\n")[0]] for one in asked[:3]]
    assert len(drawn) > 20, "each has its own"
    assert found == items(folder, few_shot=3, template="{prompt}\nA {number}.", system="Be brief.")


def test_a_question_that_asks_the_same_is_no_example(folder: Path) -> None:
    same = [{"id": f"t{i}", "prompt": "Why?", "reference": "So."} for i in range(3)]
    write_lines(
        folder / "sums.jsonl", [*same, {"id": "t9", "prompt": "How?", "reference": "Thus."}]
    )
    first = items(folder, few_shot=2)[0]
    assert [turn.content for turn in first.call.messages] == ["How?", "Thus.", "Why?"]


def test_contexts_go_where_the_template_says(folder: Path) -> None:
    row = {"prompt": "Who wrote {contexts}?", "contexts": ["Ada.", "Bob {prompt}."]}
    write_lines(folder / "sums.jsonl", [row])
    (item,) = items(folder, template="{contexts}\n---\n{prompt}")
    assert item.call.prompt == "Ada.\n\nBob {prompt}.\n---\nWho wrote {contexts}?"


def test_twins_are_put_like_their_items(folder: Path) -> None:
    found = items(folder, probes=["case"], few_shot=2, limit=5)
    assert len(found) == 10
    by_id = {item.call.id: item for item in found}
    for twin in (item for item in found if item.twin):
        own = by_id[str(twin.twin)]
        assert twin.call.messages[:-1] == own.call.messages[:-1], "the same examples"
        assert twin.call.prompt != own.call.prompt


def test_a_dataset_without_a_question_is_refused(folder: Path) -> None:
    write_lines(folder / "sums.jsonl", ["{", {"id": "x"}])
    with pytest.raises(BadConfig, match=r"tasks\.sums\.data: .* holds no question \(1 json, 1 no_"):
        items(folder)

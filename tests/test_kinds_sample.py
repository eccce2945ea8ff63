"""The suite of docs/kinds: its answers are for its questions, and it says what the page shows."""

import json
from pathlib import Path

import yaml

from agent.store import Store
from suites.items import gather
from suites.kinds import shipped
from suites.suite import suite_of
from suites.summary import lines_of
from tests.evaluated import run_suite

DOCS = Path(__file__).parents[1] / "docs"
TREE = yaml.safe_load((DOCS / "kinds" / "suite.yaml").read_text(encoding="utf-8"))
PAGE = (DOCS / "suites.md").read_text(encoding="utf-8")


def test_every_question_has_an_answer_of_both() -> None:
    asked = {one.call.id for one in gather(suite_of(TREE), DOCS / "kinds")[0]}
    for name in ("careful", "chatty"):
        lines = (DOCS / "kinds" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert {json.loads(line)["id"] for line in lines} == asked


def test_the_page_shows_what_comes_out(store: Store) -> None:
    quick = {name: TREE["tasks"][name] for name in ("desk", "code", "secrets")}
    tree = {**TREE, "tasks": {name: {**one, "scorers": []} for name, one in quick.items()}}
    shown = 0
    for one in lines_of(run_suite(tree, DOCS / "kinds", store)):
        found = one.figure
        cell = f"{found.mean:.3g} [{found.lower:.3g}, {found.upper:.3g}] of {found.n}"
        row = [line for line in PAGE.splitlines() if line.startswith(f"      {found.metric} ")]
        assert not row or any(cell in line for line in row), (one, cell)
        shown += bool(row)
    assert shown == 14


def test_the_page_counts_our_questions() -> None:
    for kind in ("attack", "leakage", "bias"):
        assert f"| `{kind}` | {len(shipped(kind, 't', 7))}: " in PAGE

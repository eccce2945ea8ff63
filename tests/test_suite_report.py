"""The report of a run: what it says, that texts of users stay text, and that it needs no more."""

import json
import math
import re
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from agent.buckets import Floats
from suites.analysis.weights import Weighing
from suites.analysis.whole import Analysis, analyse
from suites.gate import Verdict
from suites.report.figures import bars
from suites.report.files import as_json, as_junit, write_report
from suites.report.page import amount, change, render
from suites.report.paint import PAGE, as_svg, letters
from suites.report.pictures import pictures_of
from tests.suites_data import made

pytest.importorskip("matplotlib", reason="pictures need the extra [evaluate]")

HOSTILE = "</svg><script>alert(1)</script>$x^2$\"'&{{7*7}}]]>"
FAST = Weighing(draws=300)
DOCS = Path(__file__).parents[1] / "docs" / "report.md"


class Words(HTMLParser):
    """What a reader reads, and the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


def read(page: str) -> tuple[str, list[str]]:
    parser = Words()
    parser.feed(re.sub(r"<style>.*?</style>", "", page, flags=re.S))
    return " ".join(" ".join(parser.words).split()), parser.tags


def analysis_of(name: str = "a", seed: int = 0) -> Analysis:
    """Two targets with every part of a report: speed, cost, safety, failures, groups."""
    rng = np.random.default_rng(seed)
    n = 60
    scores = {
        target: {
            "exact_match": [*(float(v) for v in rng.random(n) < rate), *[math.nan] * 20],
            "response_toxicity": [*rng.random(n).tolist(), *[math.nan] * 20],
            "robustness_typos": [*[math.nan] * n, *rng.random(20).tolist()],
        }
        for target, rate in ((name, 0.8), ("b", 0.4))
    }
    calls: dict[str, Any] = {
        target: [
            {"latency_s": float(rng.lognormal()), "cost_usd": cost, "response": f"{name} says",
             "prompt": f"{name} asks {at}"}
            for at in range(n + 20)
        ]
        for target, cost in ((name, 0.002), ("b", 0.001))
    }  # fmt: skip
    twins = {n + at: at for at in range(20)}
    return analyse(made(scores, twins=twins, **calls), FAST, near)


def near(texts: Any) -> Floats:
    rng = np.random.default_rng(1)
    points = np.eye(4)[np.arange(len(texts)) % 2] + rng.normal(0, 0.05, (len(texts), 4))
    unit: Floats = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit


@pytest.fixture(scope="module")
def whole() -> Analysis:
    return analysis_of()


@pytest.fixture(scope="module")
def page(whole: Analysis) -> str:
    return render(whole, pictures_of(whole))


def test_every_part_is_on_the_page(whole: Analysis, page: str) -> None:
    words, tags = read(page)
    assert "Take a: it is ahead of every other target." in words
    for heading in ("Scores", "What to do", "Strengths and weaknesses", "Metrics",
                    "Speed and cost", "Failed answers", "How to read this"):  # fmt: skip
        assert heading in words
    for picture in ("radar", "scores", "latency", "pareto-cost", "pareto-latency", "failures",
                    "clusters"):  # fmt: skip
        assert f'<figure id="{picture}"' in page
    assert tags.count("svg") >= 7
    first = whole.standings[0]
    assert first.overall is not None
    assert f"{first.overall.mean:.3f}" in words
    assert f"{first.overall.lower:.3f} to {first.overall.upper:.3f}" in words


def test_the_page_needs_nothing_else(page: str) -> None:
    assert page.startswith("<!doctype html>")
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert not re.search(r"https?:|//[a-z]|@import|\bsrc=|<script|\son[a-z]+=|data:", page)
    inside = {*re.findall(r"url\(#([^)]*)\)", page), *re.findall(r'href="#([^"]*)"', page)}
    assert inside and not re.search(r"url\((?!#)", page)
    assert all(page.count(f'id="{one}"') == 1 for one in inside)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert all("scope=" in one for one in re.findall(r"<th\b[^>]*>", page))
    # Colours of pictures are those of the page, which has two sets.
    assert "#0a0b" not in page and page.count("var(--ink)") > 20
    assert "prefers-color-scheme: dark" in page


def test_the_same_run_gives_the_same_page(whole: Analysis) -> None:
    again = analysis_of()
    assert render(again, {}) == render(whole, {})
    assert as_json(again) == as_json(whole)
    with letters(PAGE):
        assert as_svg(bars(again, PAGE), "x") == as_svg(bars(whole, PAGE), "x")


def test_every_picture_is_said_in_words(page: str) -> None:
    alts = re.findall(r'role="img" aria-label="([^"]+)"', page)
    assert len(alts) == page.count("<figure")
    assert any("half within" in alt for alt in alts)
    assert any("on the front" in alt for alt in alts)


def test_texts_of_users_stay_text() -> None:
    analysis = analysis_of(HOSTILE)
    verdict = Verdict(HOSTILE, HOSTILE, "at least 1", False, HOSTILE)
    page = render(analysis, pictures_of(analysis), (verdict,))
    words, tags = read(page)
    assert "script" not in tags and "<script" not in page
    assert HOSTILE in words
    assert f"{HOSTILE} asks" in words
    assert "49" not in re.findall(r"alert\(1\).{0,30}", words)[0]
    tree = json.loads(as_json(analysis, (verdict,)))
    assert tree["standings"][0]["target"] == HOSTILE
    cases = ElementTree.fromstring(as_junit(analysis, (verdict,)))
    assert cases.find("testsuite") is not None


def test_a_closed_gate_is_the_first_thing_said(whole: Analysis) -> None:
    held = Verdict("a", "quality", "at least 0.1", True, "a: quality holds")
    broken = Verdict("b", "quality", "at least 0.9", False, "b: quality does not")
    assert (
        "The gate is closed: 1 of 2 rules are broken." in read(render(whole, {}, (held, broken)))[0]
    )
    assert "The gate is open: all 1 rules hold." in read(render(whole, {}, (held,)))[0]


def test_the_json_holds_all_and_its_keys_are_in_the_page_of_the_docs(whole: Analysis) -> None:
    tree = json.loads(as_json(whole))
    beside = {"schema", "gate", "judge", "labels_rejected", "compliance"}
    assert set(tree) == {*beside, *(one.name for one in fields(Analysis))}
    assert len(tree["metrics"]) == len(whole.metrics)
    assert tree["standings"][0]["ranks"] == [1, 1]
    told = DOCS.read_text(encoding="utf-8")
    assert [key for key in tree if f"`{key}`" not in told] == []
    lost = analyse(made({"a": {"exact_match": [None] * 3}}), FAST)
    (metric,) = [m for m in json.loads(as_json(lost))["metrics"] if m["metric"] == "exact_match"]
    assert metric["figure"]["mean"] is None and metric["reasons"] == {"scorer_failed": 3}


def test_junit_has_a_case_for_each_rule_and_metric(whole: Analysis) -> None:
    verdicts = (
        Verdict("a", "quality", "at least 0.9", False, "a: quality is\x00 low"),
        Verdict("a", "t/exact_match", "at least 0.1", True, "a: fine"),
    )
    root = ElementTree.fromstring(as_junit(whole, verdicts))
    suite = next(one for one in root if one.get("name") == "a")
    names = [case.get("name") for case in suite]
    assert names[:2] == ["quality at least 0.9", "t/exact_match at least 0.1"]
    assert "t/exact_match" not in names and "t/response_toxicity" in names
    assert (suite.get("failures"), suite.get("tests")) == ("1", str(len(names)))
    failure = suite.find("testcase/failure")
    assert failure is not None and failure.get("message") == "a: quality is low"
    lost = analyse(made({"a": {"exact_match": [None] * 3}}), FAST)
    assert ElementTree.fromstring(as_junit(lost)).find("testsuite/testcase/skipped") is not None


def test_the_files_of_a_report(whole: Analysis, tmp_path: Path) -> None:
    paths = write_report(tmp_path / "new" / "report", whole)
    names = [path.name for path in paths]
    assert names[:3] == ["report.html", "report.json", "junit.xml"]
    pictures = [path for path in paths if path.suffix == ".png"]
    assert len(pictures) == 7
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert len(paths[0].read_bytes()) < 400_000


def test_a_single_target_without_anything_that_counts_has_a_page() -> None:
    bare = analyse(made({"a": {"response_refusal": [0.1, 0.2]}}), FAST)
    words, _ = read(render(bare, pictures_of(bare)))
    assert "a: nothing that counts was measured." in words
    assert not re.search(r"\bnan\b|\binf\b", words)


def test_numbers_in_print() -> None:
    assert amount(0.12345, "ratio") == "0.123"
    assert amount(12.345, "seconds") == "12.3 s"
    assert amount(-0.0000123, "usd") == "\N{MINUS SIGN}0.000012 USD"
    assert change(0.5, "score") == "+0.500"
    assert change(-0.5, "score") == "\N{MINUS SIGN}0.500"


def test_one_item_has_a_page_without_numbers_that_are_none() -> None:
    calls: dict[str, Any] = {t: [{"latency_s": 1.0, "cost_usd": 0.0}] for t in ("a", "b")}
    found = analyse(made({t: {"exact_match": [1.0]} for t in calls}, **calls), FAST)
    page = render(found, pictures_of(found))
    assert "\N{MINUS SIGN}\N{INFINITY} to \N{INFINITY} s" in read(page)[0]
    assert not re.search(r"\b(nan|inf)\b", page)


def test_a_rule_of_one_task_leaves_the_other_tasks_their_cases() -> None:
    found = analyse(made({"a": {"exact_match": [1.0, 0.0]}}, tasks=["x", "y"]), FAST)
    suite = as_junit(found, (Verdict("a", "x/exact_match", "at least 1", True, "fine"),)).decode()
    assert 'name="y/exact_match"' in suite and 'name="x/exact_match"' not in suite

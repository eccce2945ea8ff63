"""The report: what it says and draws, that names stay text, and that it needs nothing else."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from abtest.line import Line
from abtest.pages.curve import Curve, curve_of
from abtest.pages.forest import axis_of, mark_of
from abtest.pages.scale import Scale, time_scale, time_ticks, value_ticks
from abtest.readout import readout
from abtest.report import render, signed
from abtest.run import Key, Point, Run, Stage
from agent.experiments import Experiment
from agent.panes import Row
from agent.summaries import BoundedHistogram, Counts, LogHistogram, Summary

START = 1_767_225_600.0
DECIDED = START + 7_000.0
HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"


def experiment(**options: Any) -> Experiment:
    given: dict[str, Any] = {
        "arms": {"production": 0.5, "canary": 0.5}, "primary": "slo_fast", "margin": 0.02,
        "guardrails": {"error": 0.03}, "start": START,
    }  # fmt: skip
    return Experiment(**{**given, **options})


def arm_row(rate: float, calls: int = 400) -> Row:
    flags, names = np.arange(calls) < rate * calls, [f"call {n}" for n in range(calls)]
    found: dict[str, Summary] = {}
    for metric in ("slo_fast", "error", "response_pii"):
        found[metric] = histogram = BoundedHistogram()
        histogram.update(flags, names)
    found["latency"] = latency = LogHistogram()
    latency.update(1.0 + flags + np.linspace(0, 1, calls))
    return Row(found, Counts({"ok": calls}))


def run_of(told: Experiment, worse: float = 0.2) -> Run:
    """The candidates breach more often, by so much, than the control's tenth."""
    run = Run(began=START, reached={"log-0": START + 9_000.0}, stages=[Stage(0, {}, False)])
    for arm in told.arms:
        rate = 0.1 if arm == told.control else 0.1 + worse
        run.models[arm] = {"m": 800}
        run.rows[Key(0, arm)] = arm_row(rate).merge(arm_row(rate))
        run.rows[Key(0, arm, "tenant=a")] = arm_row(rate)
        run.rows[Key(0, arm, "tenant=b")] = arm_row(rate)
        run.points += [
            Point(START + 90.0 * n, arm, worse, worse - 2 / (n + 4), worse + 2 / (n + 4))
            for n in range(1, 101 if arm != told.control else 1)
        ]
    return run


def decided(told: Experiment, *nulls: str, worse: float = 0.2) -> Run:
    run = run_of(told, worse)
    for arm in told.candidates:
        for null in nulls:
            run.peak(arm, told.primary, null).see(DECIDED, 9.0, 3.0)
    return run


def page_of(run: Run, told: Experiment, name: str = "spring") -> str:
    return render(name, told, readout(name, told, run), run.points)


class Words(HTMLParser):
    """What a reader reads."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def text_of(page: str) -> str:
    parser = Words()
    parser.feed(page)
    return re.sub(r"\s+", " ", "".join(parser.words))


def primary(told: Experiment, run: Run) -> Line:
    return readout("spring", told, run)[0]


def picture(line: Line, points: list[Point], at: float | None = None) -> Curve:
    found = curve_of(line, points, 0.02, at)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("nulls", "sentence"),
    [
        (("above 0",), "canary is worse than production on slo_fast since 2026-01-01 01:56:40Z."),
        (("below 0",), "canary is better than production on slo_fast since 2026-01-01 01:56:40Z."),
        (("above -margin", "below margin"),
         "canary is equivalent to production on slo_fast within the margin of ±0.02 since 2026-"),
        (("above 0", "below 0"),
         "Invalid since 2026-01-01 01:56:40Z: the difference changed its sign."),
        ((), "Not yet decided whether canary is better or worse than production on slo_fast."),
    ],
)  # fmt: skip
def test_the_verdict_is_a_sentence(nulls: tuple[str, ...], sentence: str) -> None:
    told = experiment()
    page = page_of(decided(told, *nulls), told)
    assert sentence in text_of(page)
    assert ('<line class="decided" x1=' in page.split("</figure>")[0]) == bool(nulls)


def test_an_undecided_experiment_says_how_many_calls_more() -> None:
    told, run = experiment(margin=None), run_of(experiment(), worse=0.05)
    (line, *_) = readout("spring", told, run)
    assert line.more is not None
    assert f"about {line.more:,.0f} more calls in both arms together" in text_of(page_of(run, told))
    never = replace(line, more=None)
    assert "no decision is in sight" in text_of(render("spring", told, [never], []))


def test_an_invalid_run_says_why_and_shows_no_decision() -> None:
    told = experiment()
    run = decided(told, "above 0")
    run.peak("sample ratio").see(DECIDED, 20.0, 6.9)
    page = page_of(run, told)
    assert "Invalid: calls are not split as configured, p = 2e-09." in text_of(page)
    assert "Nothing may be concluded" in text_of(page)
    assert "worse since" not in page


def test_the_page_says_whose_alpha_is_whose() -> None:
    told = experiment(alpha=0.1)
    page = text_of(page_of(run_of(told), told))
    assert "at most 10 %, each candidate in each run: several add up" in page
    assert "at most 10 % of all that are given here, of metrics, segments and gaps together" in page


def test_every_line_of_the_readout_is_on_the_page() -> None:
    told = experiment(slice_calls=50)
    run = run_of(told)
    lines, page = readout("spring", told, run), text_of(page_of(run, told))
    assert {line.role for line in lines} == {
        "primary", "guardrail", "other", "amount", "slice", "gap", "check",
    }  # fmt: skip
    for line in lines:
        if line.role != "check":
            assert line.metric in page
            assert line.segment in page
            assert signed(f"{line.estimate:+.4f}") in page or line.statistic.startswith("ratio")
            assert f"{line.verdict} " in page or line.role == "amount"
    assert "p = 1 that the shares hold" in page
    assert "asymptotic: holds for large samples only" in page


def test_names_of_users_stay_text() -> None:
    told = experiment(
        arms={"production": {"share": 0.5, "model": HOSTILE}, HOSTILE: 0.5},
        guardrails={}, slice_calls=50,
    )  # fmt: skip
    run = run_of(told)
    run.rows[Key(0, HOSTILE, f"tenant={HOSTILE}")] = arm_row(0.3)
    run.rows[Key(0, "production", f"tenant={HOSTILE}")] = arm_row(0.1)
    run.skipped[HOSTILE] = 3
    page = page_of(run, told, HOSTILE)
    assert "<script" not in page
    assert HOSTILE in text_of(page)
    assert f"tenant={HOSTILE}" in text_of(page)
    assert f"3 calls left out: {HOSTILE}" in text_of(page)


def test_the_page_needs_nothing_else() -> None:
    told = experiment()
    page = page_of(decided(told, "above 0"), told)
    assert page.startswith("<!doctype html>")
    assert not re.search(r"https?://|//[a-z]|@import|url\(|\bsrc=|<script|\bon[a-z]+=", page)
    links = re.findall(r'href="([^"]*)"', page)
    assert links
    assert all(link[0] == "#" and f'id="{link[1:]}"' in page for link in links)
    named = " ".join(re.findall(r'aria-labelledby="([^"]*)"', page)).split()
    assert all(page.count(f' id="{one}"') == 1 for one in named)
    assert "prefers-color-scheme: dark" in page
    headers = re.findall(r"<th\b[^>]*>", page)
    assert headers
    assert all("scope=" in one for one in headers)


def test_the_band_is_where_the_interval_is() -> None:
    line = primary(experiment(), run_of(experiment()))
    points = [Point(START + 60 * n, "canary", 0.0, -0.5, 0.5) for n in range(3)]
    flat = replace(line, estimate=0.0, lower=-0.5, upper=0.5)
    # The frame is 6 % of the interval's width higher and lower than it: 560 / 1120 from its middle.
    assert picture(flat, points).band == (
        "M0.0 53.6L500.0 53.6L1000.0 53.6L1000.0 946.4L500.0 946.4L0.0 946.4Z"
    )
    points[1] = replace(points[1], upper=0.25, lower=-0.25)
    moved = picture(flat, points)
    assert moved.band == "M0.0 53.6L500.0 276.8L1000.0 53.6L1000.0 946.4L500.0 723.2L0.0 946.4Z"
    assert moved.middle == "M0.0 500.0L500.0 500.0L1000.0 500.0"
    assert (moved.zero, [tick.at for tick in moved.margins]) == (50.0, [48.214, 51.786])


def test_the_decision_is_where_it_was_made() -> None:
    line = primary(experiment(), run_of(experiment()))
    points = [Point(START + 60 * n, "canary", 0.0, -0.5, 0.5) for n in range(5)]
    assert picture(line, points, START + 60.0).decided == 25.0
    assert picture(line, points).decided is None


def test_what_is_unknown_or_without_end_is_drawn_as_that() -> None:
    line = primary(experiment(), run_of(experiment()))
    bounds = [(-0.5, 0.5), (math.nan, math.nan), (-math.inf, math.inf), (-0.1, 0.3)]
    points = [Point(START + 60 * n, "canary", math.nan if n == 1 else 0.1, *ends)
              for n, ends in enumerate(bounds)]  # fmt: skip
    found = picture(line, points)
    assert found.band.count("M") == 2
    assert found.middle.count("M") == 2
    assert found.cut
    assert not re.search(r"nan|inf", found.band + found.middle)
    unknown = replace(line, estimate=math.nan, lower=math.nan, upper=math.inf, log_evidence=None)
    page = render("spring", experiment(), [unknown], points)
    assert not re.search(r"\bnan\b|\binf\b", re.sub(r"<style>.*?</style>", "", page, flags=re.S))
    assert "no interval" in text_of(page)
    endless = replace(line, lower=-math.inf, upper=math.inf)
    mark = mark_of(endless, axis_of([endless], {}), ())
    assert mark is not None
    assert (mark.left, mark.right, mark.cut_left, mark.cut_right) == (0.0, 100.0, True, True)


@pytest.mark.parametrize("count", [0, 1, 2, 480])
def test_any_number_of_points_is_drawn(count: int) -> None:
    told = experiment()
    run = run_of(told)
    run.points = [Point(START + 60 * n, "canary", 0.2, 0.1, 0.3) for n in range(count)]
    page = page_of(run, told)
    assert page.count("<figure>") == (1 if count else 0)
    assert ("No pane has closed" in page) == (count == 0)
    assert len(page) < 100_000


def test_each_candidate_has_its_picture_and_its_rows() -> None:
    told = experiment(arms={"production": 0.5, "one": 0.25, "two": 0.25})
    page = page_of(decided(told, "above 0"), told)
    assert page.count("<figure>") == 2
    for arm in ("one", "two"):
        assert f"{arm} is worse than production" in text_of(page)
        assert page.count(f'class="arm">{arm}</td>') == sum(
            line.arms[-1] == arm for line in readout("spring", told, run_of(told))
            if line.role != "check"
        )  # fmt: skip


def test_looking_back_has_neither_verdict_nor_picture() -> None:
    told = experiment(
        design="observational", margin=None, guardrails={},
        arms={"first": {"variant": "v", "end": START + 3600},
              "second": {"variant": "v", "start": START + 3600}},
    )  # fmt: skip
    line = Line(
        "halves", "observational", "slo_fast", ("first", "second"), {"first": 9, "second": 8},
        0.1, -0.2, 0.3, None, "observational, no verdict", ("chosen after the fact",),
        role="primary", good="low", level=0.2,
    )  # fmt: skip
    page = text_of(render("halves", told, [line], []))
    assert "No verdict on second against first: the comparison is observational." in page
    assert "it has no course in time" in page
    assert "chosen after the fact" in page
    assert "Nothing to read yet." in text_of(render("halves", told, [], []))


def test_ticks_are_round_and_in_utc() -> None:
    assert [t.text for t in value_ticks(Scale(-0.11, 0.19))][:3] == ["-0.10", "-0.05", "0"]
    hours = time_ticks(time_scale(START + 30, START + 4 * 3600))
    assert [(t.text, t.below) for t in hours[:2]] == [("00:00", "1 Jan 2026"), ("01:00", "")]
    days = time_ticks(time_scale(START, START + 9 * 86_400))
    assert [(t.text, t.below) for t in days[:2]] == [("1 Jan", "2026"), ("3 Jan", "")]
    assert len(time_ticks(time_scale(START, START + 30 * 365 * 86_400))) <= 6
    assert signed("[-0.1000, x1.2] 2026-01-01 -") == (
        "[\N{MINUS SIGN}0.1000, \N{MULTIPLICATION SIGN}1.2] 2026-01-01 -"
    )

"""A rate taken apart by segment, in a run and in its report."""

from dataclasses import replace

from agent.record import Call, Score
from suites.analysis.weights import Weighing
from suites.analysis.whole import analyse
from suites.intervals import FEWEST
from suites.kinds import shipped
from suites.record import Outcome, Run
from suites.report.files import as_json
from suites.report.page import render
from suites.segments import Part, parts_of

ITEMS = (*shipped("attack", "break", 7), *shipped("bias", "swap", 7, 80))


def run_of() -> Run:
    """Fiction gets through, and so does every fourth of the others; one group is refused."""
    attacks = [one.task == "break" for one in ITEMS]
    hits = [
        Score(float(one.facts["technique"] == "fiction" or at % 4 == 0))
        if attack else Score(None, "unscored", "not_meant")
        for at, (one, attack) in enumerate(zip(ITEMS, attacks, strict=True))
    ]  # fmt: skip
    refused = [Score(float(one.facts.get("group") in ("women", "<b>"))) for one in ITEMS]
    calls = [
        Call(one.call.id, 0.0, "m", prompt="p", response="x" * (100 + at % 7), origin="dataset")
        for at, one in enumerate(ITEMS)
    ]
    scores = {"jailbreak_success": tuple(hits), "response_refusal": tuple(refused)}
    return Run("r#1", 0.0, "d", ITEMS, (Outcome("new", "m", tuple(calls), scores),))


def test_the_technique_that_gets_through_comes_first() -> None:
    parts = [one for one in parts_of(run_of()) if one.segment == "technique"]
    assert {one.metric for one in parts} == {"jailbreak_success"}
    assert (parts[0].value, parts[0].figure.mean, parts[0].figure.n) == ("fiction", 1.0, 6)
    assert len(parts) == 16 and sum(one.figure.n for one in parts) == 99
    alone = parts_of(run_of(), alpha=0.05 * 16)
    (same,) = [one for one in alone if one.value == "fiction" and one.segment == "technique"]
    assert same.figure.lower > parts[0].figure.lower, "16 intervals together are wider than one"


def ends(parts: list[Part]) -> dict[tuple[str, str], tuple[float, float]]:
    return {
        (one.segment, one.value): (one.figure.lower, one.figure.upper)
        for one in parts
        if one.target == "new"
    }


def test_the_intervals_of_all_columns_of_a_table_hold_together() -> None:
    run = run_of()
    twice = replace(run, outcomes=(*run.outcomes, replace(run.outcomes[0], target="old")))
    assert ends(parts_of(twice, 0.05)) == ends(parts_of(run, 0.025)) != ends(parts_of(run, 0.05))


def test_a_score_taken_apart_is_not_resampled() -> None:
    run = run_of()
    scores = tuple(Score(0.9 if at % 9 else 0.1) for at in range(len(ITEMS)))
    leaks = replace(run.outcomes[0], scores={"prompt_leakage": scores})
    halves = tuple(
        replace(one, call=replace(one.call, segment=(("half", f"{at % 2}"),)))
        for at, one in enumerate(ITEMS)
    )
    run = replace(run, items=halves, outcomes=(leaks,))
    found = [one for one in parts_of(run) if one.task == "break"]
    assert min(one.figure.n for one in found) >= FEWEST
    assert {one.figure.method for one in found} == {"betting"}


def test_the_report_shows_techniques_and_the_groups_that_are_treated_otherwise() -> None:
    run = run_of()
    named = replace(ITEMS[0].call, segment=(("technique", "<script>x</script>"),))
    run = replace(run, items=(replace(ITEMS[0], call=named), *ITEMS[1:]))
    found = analyse(run, Weighing())
    page = render(found, {})
    assert "jailbreak_success in break by technique" in page and "fiction" in page
    assert "<script>x" not in page and "&lt;script&gt;x" in page
    told = [one for one in found.gaps if one.matters]
    assert {(one.group, one.metric) for one in told} <= {
        ("women", "response_refusal"), ("men", "response_refusal")
    }  # fmt: skip
    assert f"{len(told)} of {len(found.gaps)} gaps between groups are surely more than 0.02" in page
    assert '"segment": "technique"' in as_json(found)


def test_a_run_without_segments_has_no_such_section() -> None:
    run = run_of()
    plain = [replace(one, call=replace(one.call, segment=()), facts={}) for one in ITEMS]
    page = render(analyse(replace(run, items=tuple(plain)), Weighing()), {})
    assert "Attacks and groups" not in page

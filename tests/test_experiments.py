"""What an experiment may say of itself, and what is refused in one line that names the key."""

from pathlib import Path
from typing import Any

import pytest

from agent.config import load_config
from agent.errors import BadConfig

START = "2026-01-01T00:00:00Z"
SPLIT: dict[str, Any] = {
    "arms": {"production": 0.9, "canary": 0.1},
    "primary": "response_relevance",
    "start": START,
}
PAIRED: dict[str, Any] = {
    "design": "paired",
    "arms": ["production", "shadow:new"],
    "primary": "latency_win",
    "start": START,
}
HALF = {"production": 0.5, "canary": 0.5}
SLO = {"fast": {"metric": "latency", "at_most": 2}}


def refusal(**changes: Any) -> str:
    """What is said of a split with these changes."""
    with pytest.raises(BadConfig) as error:
        load_config(slo=SLO, experiments={"x": SPLIT | changes})
    said = str(error.value)
    assert "\n" not in said and said.startswith("experiments.x")
    return said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": {"production": 0.9, "canary": 0.2}}, "sum to 1.1, not to 1"),
        ({"arms": {"production": 0.9, "canary": {}}}, "arm canary has no share"),
        ({"arms": ["a", "a"]}, "names an arm twice"),
        ({"arms": {"a": 0.5, "b": {"share": 0.5, "variant": "a"}}}, "two arms are the same"),
        ({"arms": {"production": 0.9}}, "at least 2"),
        ({"arms": {"production": 1.0, "canary": 0.0}}, "less than 1"),
        ({"ramp": [{"at": "2026-01-02", "shares": {**HALF, "blue": 0.1}}]}, "unknown arm blue"),
        ({"ramp": [{"at": "2026-01-02", "shares": {"production": 0.6, "canary": 0.3}}]}, "to 0.9"),
        ({"ramp": [{"at": "2025-12-31", "shares": HALF}]}, "overlaps itself"),
        (
            {"ramp": [{"at": f"2026-01-0{day}", "shares": HALF} for day in (3, 2)]},
            "overlaps itself",
        ),
        ({"end": "2025-12-31"}, "ends before it starts"),
        (
            {"end": "2026-01-02", "ramp": [{"at": "2026-01-03", "shares": HALF}]},
            "a step of its ramp after its end",
        ),
        ({"primary": "latency"}, "without a range; name latency_win in a paired design or slo_"),
        ({"guardrails": {"cost": 0.1}}, "cost is a metric without a range"),
        ({"primary": "latency_win"}, "latency_win needs a paired design"),
        ({"primary": "response_smell"}, "unknown metric response_smell"),
        ({"primary": "response_relevance_win"}, "a metric without a range"),
        ({"primary": "response_refusal"}, "says nothing of the good end"),
        ({"guardrails": {"response_toxicity": 0}}, "greater than 0"),
        ({"primary": "slo_slow"}, "slo_slow, which is not in slo"),
        ({"start": "soon"}, "no ISO 8601 time"),
        ({"arms": {"a": {"share": 0.5, "start": START}, "b": 0.5}}, "observational"),
        ({"design": "paired"}, "has no shares"),
        ({"design": "aa", "arms": {"a": 0.5, "shadow:b": 0.5}}, "has no shares"),
        ({"design": "paired", "arms": ["production", "canary"]}, "shadow:<name>"),
        (
            {"design": "observational", "arms": ["production", "canary"], "unit": "session"},
            "counts calls: leave out unit session",
        ),
        ({"colour": "red"}, "unknown key"),
    ],
)
def test_a_bad_experiment_is_refused_in_one_line(changes: dict[str, Any], said: str) -> None:
    assert said in refusal(**changes)


def test_periods_that_share_calls_are_refused() -> None:
    arms = {
        "before": {"variant": "production", "end": "2026-01-03"},
        "after": {"variant": "production", "start": "2026-01-02"},
    }
    assert "two arms share calls" in refusal(design="observational", arms=arms)
    arms["after"]["start"] = "2026-01-03"
    told = load_config(experiments={"x": SPLIT | {"design": "observational", "arms": arms}})
    assert told.experiments["x"].period("after") == (1_767_398_400.0, float("inf"))


def test_what_is_configured_comes_back() -> None:
    ramp = [{"at": "2026-01-02T00:00:00", "shares": HALF}]
    split = load_config(
        slo=SLO, experiments={"x": SPLIT | {"ramp": ramp, "guardrails": {"slo_fast": 0.02}}}
    ).experiments["x"]
    assert split.epochs() == [
        (1_767_225_600.0, {"production": 0.9, "canary": 0.1}),
        (1_767_312_000.0, HALF),
    ]
    assert (split.control, split.candidates) == ("production", ("canary",))
    assert [split.good_end(m) for m in ("response_relevance", "slo_fast")] == ["high", "low"]
    paired = load_config(experiments={"x": PAIRED}).experiments["x"]
    assert paired.good_end("latency_win") == "high"
    assert paired.variant("shadow:new") == "shadow:new"


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "vedette.yaml"
    file.write_text("service: a\nslo:\n  fast: {at_most: 1}\n  fast: {at_most: 2}\n")
    with pytest.raises(BadConfig, match="fast: stands twice at line 4"):
        load_config(file)


def test_panes_that_close_before_a_slow_call_ends_are_refused() -> None:
    with pytest.raises(BadConfig, match=r"panes\.lateness_s: is shorter than request_timeout_s"):
        load_config(panes={"lateness_s": 60}, experiments={"x": SPLIT})
    assert load_config(panes={"lateness_s": 60}).panes.allowed_lateness_s == 60


@pytest.mark.parametrize("given", ["2026-12-01", "2026-12-01T00:00Z", "2026-12-01T01:00+01:00"])
def test_a_time_is_read_as_yaml_gives_it(tmp_path: Path, given: str) -> None:
    path = tmp_path / "v.yaml"
    arms = "{production: {share: 0.5}, canary: {share: 0.5}}"
    path.write_text(f"experiments: {{x: {{start: {given}, primary: error, arms: {arms}}}}}\n")
    assert load_config(path).experiments["x"].start == 1_796_083_200

"""What experiments came to is a finding, once: on the page, in the list, over with its run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from abtest.concluding import keep_conclusions
from agent.config import Config, load_config
from agent.findings import Finding
from agent.store import Store
from agent.store.findings import all_findings
from consumers.cli_findings import findings_table
from consumers.findings import newest
from tests.experiments import NOW, call, split, told, travel
from tests.serving import served

Records = list[dict[str, Any]]
Found = Callable[..., list[Finding]]


@pytest.fixture
def found(store: Store) -> Found:
    """The findings after records went through the whole road."""

    def go(config: Config, records: Records) -> list[Finding]:
        travel(store, config, records)
        with store.reading() as tx:
            return all_findings(tx, 100)

    return go


def test_a_candidate_that_does_harm_rings_once_and_until_its_run_is_over(
    store: Store, found: Found, rng: np.random.Generator
) -> None:
    records, config = split(rng, 1600, -0.1), told()
    (one,) = found(config, records)
    assert (one.kind, one.state, one.severity) == ("experiment", "firing", "critical")
    assert dict(one.name) == {"service": "support", "experiment": "x", "arm": "canary",
                              "metric": "response_relevance"}  # fmt: skip
    assert one.summary.startswith("x: canary is worse than production on response_relevance since")
    assert one.lower < one.effect < one.upper < 0 < one.threshold <= one.statistic
    assert found(config, records) == [one], "another look finds nothing new"
    with store.transaction() as tx:
        assert keep_conclusions(tx, config, NOW) == []
    (over,) = found(told(margin=0.02), [])  # another definition: a new run
    assert (over.key, over.state) == (one.key, "resolved")
    assert over.summary.endswith("that run is over, or says so no longer")


@pytest.mark.parametrize(("effect", "more", "verdict"), [
    (0.12, {}, "better than"), (0.0, {"margin": 0.08}, "equivalent to"),
])  # fmt: skip
def test_what_is_decided_well_is_told_and_rings_nowhere(
    found: Found, rng: np.random.Generator, effect: float, more: dict[str, Any], verdict: str
) -> None:
    (one,) = found(told(**more), split(rng, 1600, effect))
    assert (one.kind, one.state) == ("experiment", "resolved") and verdict in one.summary


def test_a_broken_guardrail_rings_beside_a_better_primary_metric(
    found: Found, rng: np.random.Generator
) -> None:
    slow = [one | ({"latency_s": 3.0} if one["variant"] == "canary" and at % 3 == 0 else {})
            for at, one in enumerate(split(rng, 1200, 0.2))]  # fmt: skip
    rows = found(told(guardrails={"slo_fast": 0.02}), slow)
    said = {dict(one.name)["metric"]: (one.state, one.severity) for one in rows}
    assert said == {"response_relevance": ("resolved", "warning"),
                    "slo_fast": ("firing", "critical")}  # fmt: skip
    (rail,) = (one for one in rows if one.state == "firing")
    assert rail.summary.endswith("by more than the margin of 0.02")


def test_calls_that_are_not_split_as_configured_ring_alone(
    store: Store, found: Found, rng: np.random.Generator
) -> None:
    config = told()
    (one,) = found(config, split(rng, 1600, 0.0, share=0.7))
    assert (one.kind, one.state, one.severity) == ("sample ratio", "firing", "warning")
    assert "are not split as configured" in one.summary and 0 < one.n <= 1600
    (row,) = newest(store, config, 10)
    assert "sample ratio of support / x" in str(list(findings_table([row]).columns[1].cells))


def test_a_shadow_that_is_worse_harms_nobody(found: Found, rng: np.random.Generator) -> None:
    config = told(design="aa")
    (one,) = found(config, split(rng, 2400, 0.12))
    assert (one.state, one.severity) == ("firing", "warning")
    assert "the self-test of one model found a difference" in one.summary


def test_an_experiment_that_has_ended_rings_no_more(found: Found, rng: np.random.Generator) -> None:
    records = split(rng, 1600, -0.1)
    config = told()
    assert [one.state for one in found(config, records)] == ["firing"]
    ended = told(end=records[-1]["at"] - 100)
    assert [one.state for one in found(ended, [call(1700, 0.5)])] == ["resolved"]


def test_the_page_leads_from_a_finding_to_its_experiment(
    store: Store, sqlite_url: str, found: Found, rng: np.random.Generator
) -> None:
    config = told()
    found(config, split(rng, 1200, -0.15))
    store.close()
    here = load_config(store={"url": sqlite_url}, models=False)
    config = here.model_copy(update={"experiments": config.experiments})
    with served(config) as client:
        page = client.get("/findings?kind=experiment").text
        assert '<a href="/experiments?name=x">How its interval went</a>' in page
        assert "x: canary is worse than production" in page and "Control" in page

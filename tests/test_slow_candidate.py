"""A candidate three times as slow that times out on hard prompts, and no better and no worse.

What it loses by its time-outs its answers win back, so the mean difference with a time-out as the
worst score is 0: whoever finds one is wrong. Without the time-outs it looks better than it is.
"""

import math
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from abtest.advance import advance
from abtest.run import Run
from agent.buckets import Bools, Floats
from agent.experiments import Experiment
from agent.pairs import CANDIDATE_FAILED, CONTROL_FAILED, PAIR, Outcome, Pair, beside, paired_row
from agent.panes import Group
from agent.record import Ask
from agent.score import Panel
from agent.store import Store
from agent.store.pairs import unanswered
from agent.store.reads import StoredPane
from agent.store.tickets import ticket_key
from tests.experiments import Told
from tests.road import InboxRoad, native
from tests.shadowing import answer, asking, closed, mark_sent, paired, send
from tests.simulation import SHARED, quality

METRIC, WIDTH_S, TIME_OUT_S = "response_relevance", 10, 60.0
PAIRS, A_PANE = 2_000, 20
GROUP = Group("support", "b", "paired:new")
EXPERIMENT = Experiment.model_validate(
    {"design": "paired", "arms": ["production", "shadow:new"], "primary": METRIC, "start": 0.0}
)


@dataclass(frozen=True, slots=True)
class Answers:
    """Scores of one side, and which of its calls were answered in time."""

    scores: Floats
    there: Bools


def sides(rng: np.random.Generator, n: int, won: float) -> tuple[Answers, Answers]:
    """Both sides of n prompts. The harder one is, the worse are answers and the longer they take:
    medians of 5 and 15 s, log-sd 1. The candidate wins a share `won` of what is left to win."""
    hard = rng.standard_normal(n)
    found = []
    for median, extra in ((5.0, 0.0), (15.0, won)):
        own, slow = rng.standard_normal(n), rng.standard_normal(n)
        scores = quality(math.sqrt(1 - SHARED) * own - math.sqrt(SHARED) * hard)
        took = median * np.exp(0.6 * hard + 0.8 * slow)
        found.append(Answers(scores + extra * (1 - scores), took <= TIME_OUT_S))
    return found[0], found[1]


@cache
def balance() -> float:
    """What the candidate must win for the difference to be 0."""
    control, candidate = sides(np.random.default_rng(7), 4_000_000, 0.0)
    lost = (control.scores * control.there).mean() - (candidate.scores * candidate.there).mean()
    return float(lost / ((1 - candidate.scores) * candidate.there).mean())


def side(answers: Answers, at: int) -> Outcome:
    """One side as its row holds it."""
    if answers.there[at]:
        return Outcome("ok", {METRIC: float(answers.scores[at]), "error": 0.0})
    return Outcome("timeout", {"error": 1.0}, {METRIC: "no_response"})


def pair(control: Answers, candidate: Answers, at: int) -> Pair:
    """A pair as it is folded; a candidate that does not answer has no row at all."""
    asked = side(control, at)
    said = side(candidate, at) if candidate.there[at] else unanswered(asked)
    return Pair(ticket_key("new", "support", f"call-{at}"), asked, said)


def is_found(rng: np.random.Generator, dropping: bool) -> bool:
    """Whether a reader who looks after every pane ever finds a difference."""
    control, candidate = sides(rng, PAIRS, balance())
    panes = []
    for first in range(0, PAIRS, A_PANE):
        made = [
            pair(control, candidate, at)
            for at in range(first, first + A_PANE)
            if candidate.there[at] or not dropping
        ]
        start = first // A_PANE * WIDTH_S
        blob = paired_row(made, GROUP.variant).to_bytes()
        panes.append(StoredPane(start, WIDTH_S, GROUP, blob))
    (run,) = advance(Run(), EXPERIMENT, panes, {}, "live", 1e9)
    peaks = [run.seen("shadow:new", METRIC, null) for null in ("above 0", "below 0")]
    return any(peak.decided_at is not None for peak in peaks)


def rate(repetitions: int, dropping: bool) -> float:
    """The share of repetitions in which a difference is found that is none."""
    rngs = np.random.default_rng(11).spawn(repetitions)
    return float(np.mean([is_found(rng, dropping) for rng in rngs]))


def test_the_candidate_loses_by_time_outs_what_it_wins_by_answers() -> None:
    control, candidate = sides(np.random.default_rng(8), 1_000_000, balance())
    worst = candidate.scores * candidate.there - control.scores * control.there
    assert worst.mean() == pytest.approx(0.0, abs=5 * worst.std() / 1_000)
    both = control.there & candidate.there
    assert (candidate.scores - control.scores)[both].mean() > 0.03
    assert 0.07 < 1 - candidate.there.mean() < 0.10
    assert control.scores[~candidate.there].mean() < control.scores.mean() - 0.1


def test_dropping_time_outs_finds_what_is_not_there() -> None:
    assert rate(20, dropping=True) > 0.20


@pytest.mark.prove
def test_time_outs_as_the_worst_score_keep_the_promise(record_property: Any) -> None:
    found = rate(400, dropping=False)
    record_property("false positives of a slow candidate, imputed", found)
    record_property("false positives of a slow candidate, dropped", rate(100, dropping=True))
    assert found <= 0.05


def test_few_find_a_difference_where_time_outs_count() -> None:
    assert rate(40, dropping=False) <= 0.05


def test_the_store_folds_what_the_simulation_folds(any_store: Store) -> None:
    control, candidate = sides(np.random.default_rng(5), 300, balance())
    control.there[3] = candidate.there[3] = candidate.there[4] = False
    road = InboxRoad(any_store, asking(), Panel([(Told(), 1.0)]))
    failed = {"status": "timeout", "response": None, "latency_s": None}
    send(road, [
        native(at, response=repr(float(control.scores[at])))
        | ({} if control.there[at] else failed)
        for at in range(300)
    ])  # fmt: skip
    asks = {int(ask.call.id[5:]): ask for ask in road.listener.asks}
    mark_sent(any_store, list(asks.values()))
    there = [at for at in asks if candidate.there[at]]
    send(road, [said(asks[at], float(candidate.scores[at])) for at in there])
    closed(any_store, road, time.time() + 601)
    made = paired(any_store)[GROUP]
    expected = paired_row([pair(control, candidate, at) for at in range(300)], GROUP.variant)
    assert made.calls.words == {PAIR: 300} == expected.calls.words
    alone = [beside(METRIC, reason) for reason in (CANDIDATE_FAILED, CONTROL_FAILED)]
    for name in (METRIC, alone[0], "error"):
        assert made.summaries[name].to_bytes() == expected.summaries[name].to_bytes()
    assert (alone[1] in made.summaries) == (alone[1] in expected.summaries)


def said(ask: Ask, score: float) -> dict[str, Any]:
    """The candidate's answer, which states its score."""
    return answer(ask, response=repr(score))

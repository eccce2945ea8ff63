"""Verdicts of production where not all that was drawn was asked: what counts, and what is told."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from agent.store.judgements import Answered, Drawn, Scope
from consumers.verdicts import Found, Sample, found_in, sample_of

ANY = Scope(0.0, 4e9)
PII = "response_pii"
CHEAP = f"judge + {PII}"


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def answered(number: int, at: float, verdict: float | None, cheap: float = 0.0) -> Answered:
    return Answered(key(number), at, cheap, verdict)


def found(rows: Sequence[Answered], tickets: Iterable[Drawn], cheap: str | None = PII) -> Found:
    return found_in("harm", cheap, ANY, rows, sample_of(tickets))


def two_hours(state: str, why: str = "") -> tuple[list[Answered], list[Drawn]]:
    """A call each 6 s: the first is drawn of every ten, and of hour 0 from 1800 s on none asked."""
    rows, tickets = list[Answered](), list[Drawn]()
    for at in range(0, 7200, 6):
        asked = not 1800 <= at < 3600
        drawn = at // 6 % 10 == 0
        rows.append(answered(at, float(at), 1.0 if drawn and asked else None))
        if drawn:
            settled = ("answered", "") if asked else (state, why)
            tickets.append(Drawn(key(at), float(at), *settled))
    return rows, tickets


def test_an_hour_counts_up_to_its_first_drawn_call_that_was_not_asked() -> None:
    told = found(*two_hours("not_asked", "over_budget"))
    assert (told.calls, told.judged, told.aside) == (900, 90, 300)
    assert told.unasked == {"over_budget": 30}
    assert told.estimates["judge"].others == 810
    assert list(told.estimates) == ["judge", CHEAP], "no figure at every look"
    (line,) = told.warnings
    assert line.startswith("30 calls that were drawn were not asked (30 over_budget): an hour")
    assert "300 answered calls are in no figure, and there is no figure at every look" in line


def test_verdicts_behind_a_call_that_was_not_asked_do_not_count() -> None:
    rows, tickets = two_hours("not_asked", "breaker")
    tickets[1] = replace(tickets[1], state="not_asked", why="stopped")
    rows[10] = replace(rows[10], verdict=None)
    told = found(rows, tickets, None)
    assert (told.calls, told.judged, told.aside) == (610, 61, 590)
    assert told.unasked == {"breaker": 30, "stopped": 1}
    assert "at every look" not in told.warnings[0], "without a cheap score there is none"


def test_calls_that_wait_do_not_count_yet() -> None:
    told = found(*two_hours("owed"))
    assert (told.calls, told.aside, told.waiting, told.unasked) == (900, 300, 30, {})
    assert "at every look" in told.estimates
    assert told.warnings == ["30 drawn calls wait to be asked: 300 calls do not count yet"]


def test_where_all_that_was_drawn_was_asked_every_call_counts_without_a_warning() -> None:
    rows, tickets = two_hours("answered")
    rows = [replace(one, verdict=1.0) if one.at % 60 == 0 else one for one in rows]
    told = found(rows, tickets)
    assert (told.calls, told.judged, told.aside, told.silent) == (1200, 120, 0, 0)
    assert told.warnings == [] and "at every look" in told.estimates


@pytest.mark.parametrize("state", ["failed", "expired", "answered"])
def test_a_verdict_that_was_not_given_may_be_the_worst_or_the_best(state: str) -> None:
    rows = [answered(n, float(n), n % 2 if n < 80 else None, 0.5) for n in range(300)]
    tickets = [Drawn(key(n), float(n), "answered" if n < 80 else state, "") for n in range(100)]
    told, sure = found(rows, tickets), found(rows, tickets[:80])
    assert told.silent == 20 and len(told.warnings) == 1 and not sure.warnings
    for name, one in sure.estimates.items():
        wide = told.estimates[name]
        assert (wide.value, wide.judged, wide.others) == (one.value, one.judged, one.others)
        assert wide.lower < one.lower - 0.05 and wide.upper > one.upper + 0.05


def day(rng: np.random.Generator) -> tuple[list[Answered], list[Drawn], np.ndarray]:
    """1,500 calls an hour by day, .70 of them right, and 150 by night, .95; a tenth is drawn and
    of those at most 30 an hour are asked. Also what is right of each."""
    rows, tickets, right = list[Answered](), list[Drawn](), list[float]()
    for hour in range(24):
        busy = 8 <= hour < 20
        at = hour * 3600 + np.sort(rng.random(1500 if busy else 150)) * 3600
        truth = rng.random(len(at)) < (0.70 if busy else 0.95)
        flags = np.where(rng.random(len(at)) < 0.8, truth, rng.random(len(at)) < 0.85)
        drawn = np.flatnonzero(rng.random(len(at)) < 0.1)
        asked = set(drawn[:30].tolist())
        states = [("answered", "") if n in asked else ("not_asked", "over_budget") for n in drawn]
        base = len(right)
        rows += [
            answered(base + n, float(at[n]), float(truth[n]) if n in asked else None, 1 - flags[n])
            for n in range(len(at))
        ]
        tickets += [Drawn(key(base + n), float(at[n]), *state)
                    for n, state in zip(drawn.tolist(), states, strict=True)]  # fmt: skip
        right += truth.astype(float).tolist()
    return rows, tickets, np.array(right)


def test_intervals_hold_the_truth_where_the_budget_binds(rng: np.random.Generator) -> None:
    """What is promised is the mean of the calls that count, as they are told."""
    held, planted = np.zeros(2), np.zeros(2)
    for _ in range(40):
        rows, tickets, right = day(rng)
        sample = sample_of(tickets)
        blind = Sample(sample.asked, sample.unasked, 0, {})
        for covered, one in ((held, sample), (planted, blind)):
            told = found_in("harm", PII, ANY, rows, one)
            counted = np.array([one.is_even(row.at) for row in rows])
            truth = right[counted].mean()
            assert told.calls == counted.sum()
            for at, name in enumerate(("judge", CHEAP)):
                estimate = told.estimates[name]
                covered[at] += estimate.lower <= truth <= estimate.upper
    assert (held / 40 >= 0.9).all()
    assert (planted / 40 < 0.5).all(), "as one sample of all calls they miss it"

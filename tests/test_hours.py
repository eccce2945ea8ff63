"""Baselines by the hour of the day."""

import math
from dataclasses import replace

import numpy as np
import pytest

from agent.buckets import BINS
from agent.packing import open_row
from tests.test_shape import HOUSE, RULES, row
from watch.advance import Finding, advance, findings
from watch.baseline import DAY, HEARD, LESSON, Baseline, hear, learn
from watch.lessons import Rules, end_lessons
from watch.sample import sample_of
from watch.series import PaneRow, Slots, whole
from watch.state import Watch

DAY_S, PANE_S, CALLS = 86_400, 1200, 100
DRIFT = RULES.drift.model_copy(update={"baseline_calls": 1000, "by_hour": True})
HOURLY = replace(RULES, drift=DRIFT)
FLAT = replace(RULES, drift=DRIFT.model_copy(update={"by_hour": False}))


def live(rng: np.random.Generator, rules: Rules, days: int, drop_from: float) -> list[Finding]:
    """Relevance that swings by .2 over each day, and is .1 lower from some day on."""
    watch, found = Watch(Slots(1000), rules.hours), list[Finding]()
    for pane in range(0, days * DAY_S, PANE_S):
        mean = 0.6 + 0.2 * math.sin(2 * math.pi * pane / DAY_S) - 0.1 * (pane >= drop_from * DAY_S)
        values = rng.normal(mean, 0.08, CALLS)
        held = [PaneRow(HOUSE, open_row(row({"response_relevance": values}, rng).to_bytes()))]
        sample = sample_of(held, watch.slots, {}, rules.shares, PANE_S)
        some = advance(watch, pane, sample, rules)
        found += [one for one in some if one.name.model == "*" and one.name.view == "level"]
        again = Watch.from_bytes(watch.to_bytes(), watch.bases.tobytes(), 1000)
        assert again.to_bytes() == watch.to_bytes()
    return found


def test_a_drop_smaller_than_the_daily_swing_is_found_by_the_hour_alone(
    rng: np.random.Generator,
) -> None:
    # Twenty panes of an hour are seven days.
    (rang,) = live(rng, HOURLY, 9, 8.0)
    assert rang.side == "below" and 8 * DAY_S <= rang.began <= 8 * DAY_S + 6 * 3600
    # One baseline, of the first hours, takes each evening for a change.
    assert len(live(rng, FLAT, 4, 99.0)) > 2


def test_an_unchanged_cycle_rings_never(rng: np.random.Generator) -> None:
    assert live(rng, HOURLY, 12, 99.0) == []


def dropped(rng: np.random.Generator, untaught: tuple[int, ...]) -> tuple[Watch, list[Finding]]:
    """A watch that saw eight days, but for some hours, and a ninth that is .1 lower; what rang."""
    watch, found = Watch(Slots(1000), 24), list[Finding]()
    for pane in range(0, 9 * DAY_S, PANE_S):
        hour, degraded = pane // 3600 % 24, pane >= 8 * DAY_S
        if hour in untaught and not degraded:
            continue
        mean = 0.6 + 0.2 * math.sin(2 * math.pi * hour / 24) - 0.1 * degraded
        some = {"response_relevance": rng.normal(mean, 0.08, CALLS)}
        held = [PaneRow(HOUSE, open_row(row(some, rng).to_bytes()))]
        sample = sample_of(held, watch.slots, {}, HOURLY.shares, PANE_S)
        found += advance(watch, pane, sample, HOURLY)
    return watch, found


def test_the_effect_is_against_what_was_normal_at_its_hours(rng: np.random.Generator) -> None:
    """What rings is told with the hours that its calls were of, not with the hour of now."""
    watch, _ = dropped(rng, ())
    slot = watch.slots.known(whole("s", "response_relevance"))
    (told,) = findings(watch, np.array([slot]), HOURLY, "firing")
    assert told.effect == pytest.approx(-0.1, abs=0.01)
    assert told.lower < -0.1 < told.upper


def test_an_hour_that_was_not_learned_ends_no_alarm(rng: np.random.Generator) -> None:
    watch, found = dropped(rng, (20, 21, 22, 23))
    slot = watch.slots.known(whole("s", "response_relevance"))
    assert "firing" in {one.state for one in found if one.name == watch.slots.names[slot]}
    assert {one.state for one in found} == {"firing"} and slot in watch.alarms["slot"]
    # Nor are calls of what rings taken for what is normal in it.
    assert not len(watch.lessons[np.isin(watch.lessons["slot"], slot * 24 + np.arange(24))])
    # The newest pane is of such an hour: what rang is told with the band that it left.
    (one,) = findings(watch, np.array([slot]), HOURLY, "firing")
    assert one.baseline.calls and one.baseline == Baseline(
        *watch.bands_of(np.array([slot]), one.began).item(0)
    )


def test_other_hours_than_before_are_learned_anew() -> None:
    watch = Watch(Slots(10), 1)
    watch.slots.number(whole("s", "error"))
    watch.grow()
    watch.bands["calls"] = 5
    watch.by_hour(24)
    assert len(watch.bands) == 24 and not watch.bands["calls"].any()
    watch.bands["calls"] = 5
    watch.by_hour(24)
    assert watch.bands["calls"].all()


def test_each_band_of_an_hour_has_its_part_of_what_a_baseline_may_miss(
    rng: np.random.Generator,
) -> None:
    told = []
    for rules, seen in ((HOURLY, 24), (FLAT, 1)):
        watch, held = Watch(Slots(10), rules.hours), np.zeros(1, LESSON)
        counts = np.zeros((1, BINS + 1))
        counts[0, [0, BINS]] = 40.0, 10.0
        for pane in range(0, 86_400, 60):
            hear(held, pane, counts)
        watch.slots.number(whole("s", "error"))
        watch.grow()
        watch.lessons = held.copy()
        end_lessons(watch, 0, np.array([0]), rules)
        (same,) = learn(held, rules.budget.baseline_alpha / seen)
        assert watch.bands[0] == same
        told.append(same["upper"] - same["lower"])
    assert told[0] > told[1]


def test_a_version_that_knows_no_hours_of_the_day_reads_the_lessons(
    rng: np.random.Generator,
) -> None:
    watch, _ = dropped(rng, ())
    some = sample_of(
        [PaneRow(HOUSE, open_row(row({"error": rng.random(9)}, rng).to_bytes()))],
        watch.slots, {}, HOURLY.shares, PANE_S,
    )  # fmt: skip
    advance(watch, 10 * DAY_S, some, HOURLY)
    assert len(watch.lessons)
    data = watch.to_bytes()
    # What such a version writes ends with the alarms.
    older = Watch.from_bytes(data[: -len(watch.lessons) * DAY.itemsize], b"", 1000)
    for name in HEARD.names or ():
        assert older.lessons[name].tobytes() == watch.lessons[name].tobytes()
    assert not older.lessons["day_n"].any()
    assert older.alarms.tobytes() == watch.alarms.tobytes()
    assert Watch.from_bytes(data, b"", 1000).lessons.tobytes() == watch.lessons.tobytes()

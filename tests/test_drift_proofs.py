"""Whether false alarms stay within the budget, and how long a change takes; minutes."""

import math
import sys

import numpy as np
import pytest

from tests.drifting import DAY_S, MEAN, Traffic, alarms, bands, baselines, delays, pane_s
from watch.budget import YEAR_S, Budget
from watch.detector import Bands

pytestmark = pytest.mark.prove
SERIES, PANES = 400, 1500  # a year of so few panes can be lived through
SHIFTS = (-0.05, -0.1)
TRAFFIC = {
    "independent": Traffic(),
    "a daily cycle of .03": Traffic(daily=0.03),
    "sessions of 10, ICC .1": Traffic(icc=0.1),
    "sessions of 10, ICC .3": Traffic(icc=0.3),
    "sessions of 10, ICC .1, over ten panes": Traffic(icc=0.1, together=False),
    "sessions of 10, ICC .3, over ten panes": Traffic(icc=0.3, together=False),
}


def tell(line: str) -> None:
    """For who runs this with -s."""
    sys.stdout.write(f"\n{line}")


def within_a_year(false_alarms: float, slots: int) -> Budget:
    """A budget a year, which has PANES panes."""
    return Budget(false_alarms, slots, YEAR_S / PANES)


@pytest.mark.parametrize("calls", [1000, 5000])
@pytest.mark.parametrize("name", TRAFFIC)
def test_false_alarms_stay_within_the_budget(
    rng: np.random.Generator, name: str, calls: int
) -> None:
    traffic = TRAFFIC[name]
    for slots, budget in ((SERIES, within_a_year(20.0, SERIES)), (1, within_a_year(1.0, 1))):
        allowed = budget.false_alarms_per_year * SERIES / slots
        known = baselines(rng, traffic, SERIES, calls, budget)
        rung = int(alarms(rng, traffic, bands(known), budget.log_threshold, PANES).sum())
        effect = known["design_effect"].mean()
        tell(f"{name}, baseline of {calls}, {slots} slots: {rung} of {allowed:.0f} allowed,"
             f" design effect {effect:.2f}")  # fmt: skip
        assert rung <= allowed


def test_two_days_of_panes_of_ten_seconds(rng: np.random.Generator) -> None:
    """A spot check in real time: the product's pane and budget, a day's cycle, sessions."""
    traffic = Traffic(calls=10, icc=0.3, together=False, daily=0.03)
    length, budget = 2 * DAY_S // traffic.pane_s, Budget(1.0, 1000, traffic.pane_s)
    known = bands(baselines(rng, traffic, 50, 20_000, budget))
    bare = Bands(np.full(50, MEAN), np.full(50, MEAN), np.ones(50))
    rung, planted = (
        int(alarms(rng, traffic, within, budget.log_threshold, length).sum())
        for within in (known, bare)
    )
    tell(f"50 series, two days of 10 s panes: {rung}, without band and design effect {planted}")
    assert rung == 0 < planted


def test_a_planted_threshold_or_no_discount_breaks_the_promise(rng: np.random.Generator) -> None:
    budget, allowed = within_a_year(20.0, SERIES), 20
    calm = bands(baselines(rng, Traffic(), SERIES, 20_000, budget))
    middle = Bands(np.full(SERIES, MEAN), np.full(SERIES, MEAN), calm.design_effect)
    wrong = budget.log_threshold - math.log(10)
    assert int(alarms(rng, Traffic(), middle, wrong, PANES).sum()) > allowed
    alike = Traffic(icc=0.3)
    bare = bands(baselines(rng, alike, SERIES, 5000, budget), discounted=False)
    rung = int(alarms(rng, alike, bare, budget.log_threshold, PANES).sum())
    tell(f"without the design effect: {rung} of {allowed} allowed")
    assert rung > allowed


def test_delays(rng: np.random.Generator) -> None:
    budget = Budget(1.0, 1000, 10)
    tell(f"{'baseline':>8} {'traffic':32} {'-.05':>8} {'-.10':>8}  median calls")
    found = {}
    for calls in (1000, 5000, 20_000):
        for name in ("independent", "sessions of 10, ICC .1", "sessions of 10, ICC .3"):
            known = bands(baselines(rng, TRAFFIC[name], 100, calls, budget))
            ways = (delays(rng, TRAFFIC[name], known, budget.log_threshold, s) for s in SHIFTS)
            took = [50 * float(np.median(one)) for one in ways]
            found[calls, name] = took
            tell(f"{calls:8} {name:32} {took[0]:8.0f} {took[1]:8.0f}")
    assert found[5000, "independent"][1] <= 300


def test_a_pane_costs_little_over_the_detector_that_sees_every_call(
    rng: np.random.Generator,
) -> None:
    budget = Budget(1.0, 1000, 10)
    known = bands(baselines(rng, Traffic(), 100, 5000, budget))
    by_pane = np.median(delays(rng, Traffic(), known, budget.log_threshold, -0.05)) * 50
    # One call a pane at the same threshold is the detector of single events.
    some = known.of(np.arange(30))
    by_call = np.median(delays(rng, Traffic(calls=1), some, budget.log_threshold, -0.05))
    tell(f"-.05 by panes of 50: {by_pane:.0f} calls, by the call: {by_call:.0f}")
    assert by_pane <= 1.5 * by_call + 50
    assert np.isfinite(by_call)


def test_a_thousand_series_take_a_pane_in_fifty_milliseconds(rng: np.random.Generator) -> None:
    took_s = pane_s(rng, 30)
    tell(f"1,000 series, one pane, the detector alone: {1e3 * took_s:.0f} ms")
    assert took_s <= 0.05

"""Whether gaps are told where there is none, over a year of hourly looks, and how many calls a gap
takes; minutes."""

import math
import sys

import numpy as np
import pytest

from tests.segments import ALPHA, Traffic, ever_told, evidence, sums

pytestmark = pytest.mark.prove
WINDOWS, HOURS, METRICS = 52, 168, 5
TWENTY = (0.05,) * 20
TRAFFIC = {
    "independent": Traffic(TWENTY, 1000),
    "a daily cycle of .08": Traffic(TWENTY, 1000, daily=0.08),
    "rare, .01": Traffic(TWENTY, 1000, mean=0.01),
    "few calls, 2 a value and hour": Traffic(TWENTY, 40),
    "sessions of 10, ICC .1": Traffic(TWENTY, 1000, icc=0.1),
    "sessions of 10, ICC .3": Traffic(TWENTY, 1000, icc=0.3),
}


def tell(line: str) -> None:
    """For who runs this with -s."""
    sys.stdout.write(f"\n{line}")


DEFECTS: dict[str, dict[str, bool]] = {
    "as it is": {},
    "without e-BH": {"adjusted": False},
    "without the design effect": {"discounted": False},
}


def a_year(rng: np.random.Generator, traffic: Traffic) -> dict[str, int]:
    """Windows of a year in which anything is told at any hour: as it is, and with defects."""
    found = dict.fromkeys(DEFECTS, 0)
    for _ in range(WINDOWS):
        some = [sums(rng, traffic, 2 * HOURS, HOURS) for _ in range(METRICS)]
        for name, defect in DEFECTS.items():
            found[name] += ever_told(some, **defect)
    return found


@pytest.mark.parametrize("name", TRAFFIC)
def test_at_most_alpha_of_windows_tell_a_gap_that_is_none(
    rng: np.random.Generator, name: str
) -> None:
    found = a_year(rng, TRAFFIC[name])
    said = ", ".join(f"{way} {n}" for way, n in found.items())
    tell(f"{name}: of {WINDOWS} windows, {ALPHA * WINDOWS:.1f} allowed: {said}")
    assert found["as it is"] <= ALPHA * WINDOWS
    assert found["without e-BH"] > ALPHA * WINDOWS
    assert found["without the design effect"] > ALPHA * WINDOWS or "ICC" not in name


def calls_until(rng: np.random.Generator, traffic: Traffic, matters: float) -> float:
    """Calls of the first value until its gap is told beside 99 others without one."""
    whole = sums(rng, traffic, 2 * HOURS, HOURS)
    found = np.flatnonzero(evidence(whole, matters)[0] >= math.log(100 / ALPHA))
    return float(whole.n[0, 0, HOURS : HOURS + found[0] + 1].sum()) if len(found) else math.inf


def test_how_many_calls_a_gap_takes(rng: np.random.Generator) -> None:
    tell("mean  share  traffic                  matters  gap .05  gap .10: median calls")
    for mean, share, icc in ((0.05, 0.05, 0.0), (0.05, 0.25, 0.0), (0.3, 0.05, 0.0),
                             (0.3, 0.25, 0.0), (0.05, 0.25, 0.3)):  # fmt: skip
        shares = (share, *((1 - share) / 3,) * 3)
        for matters in (0.0, 0.02):
            took = []
            for gap in (0.05, 0.1):
                # So many calls that a window holds some 10,000 of the value.
                traffic = Traffic(shares, round(60 / share), mean, icc=icc, gap=gap)
                took.append(np.median([calls_until(rng, traffic, matters) for _ in range(50)]))
            which = f"sessions of 10, ICC {icc:g}" if icc else "independent"
            tell(f"{mean:4.2f}  {share:5.2f}  {which:24} {matters:7.2f}"
                 f" {took[0]:8.0f} {took[1]:8.0f}")  # fmt: skip
            assert matters or icc or took[0] <= 5000

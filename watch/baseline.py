"""What is normal for a series: its mean, how sure that is, and how alike neighbouring calls are.

Calls of a session are alike and hours differ, so n calls say less than n independent ones. The
*design effect* is the variance of block means over its multinomial value, the largest of panes and
of minutes up to ten within their hours, at the upper end of what so many blocks allow. What hours
differ by beyond that widens the band instead (one-way analysis of variance), and so does a single
hour of the day that is unlike the others, once there were two days.

2026-11-25: with every pane kept until the baseline was learned, 1,000 series took 0.2 s a pane to
store and it grew with each; the sums of squares say the same.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from abtest.mixture import interval
from abtest.samples import GRID
from agent.buckets import BINS, Floats, Ints

_HOUR_S = 3600
# The pane itself (no pane is shorter), and as long as sessions last.
_BLOCKS_S = (1, 60, 300, 600)
# A baseline has at least so many panes, and fewer blocks say nothing of the design effect.
FEWEST_PANES, _FEWEST_BLOCKS = 20, 15
# The design effect is the one that so few baselines exceed (15 %, as a normal quantile).
_SURE_Z = 1.036
# Hours swing both ways: a sine's peak is 1.4 of its standard deviations from the mean.
_HOUR_SPREADS = 2.0
# One hour of 24 that is unlike the others is 4.8 of them away. What so many deviations of its mean
# exceed (of 1,000 series by chance in one or two) is that hour's own.
_DAY_HOURS, _TWO_DAYS_S, _HOUR_SURE_Z = 24, 2 * 86_400, 4.0
# The band never reaches the end of the range, where no bet can be placed.
_EDGE = 1e-6

Table = NDArray[np.void]

_SIZES = (len(_BLOCKS_S),)
# What series have shown so far, a row each: counts; of each length of blocks the open one, the
# squares (total^2 / n) and number of those closed in this hour, and the squares within the hours
# that are over; the open hour, and the squares of those that are over.
_HEARD = [
    *(("slot", "<i8"), ("counts", "<f8", (BINS + 1,)), ("panes", "<i8"), ("first", "<i8")),
    *(("pane", "<i8"), ("block", "<i8", _SIZES), ("n", "<f8", _SIZES), ("total", "<f8", _SIZES)),
    *(("squares", "<f8", _SIZES), ("blocks", "<f8", _SIZES), ("within", "<f8", _SIZES)),
    *(("freedom", "<f8", _SIZES), ("hour", "<i8"), ("hour_n", "<f8"), ("hour_total", "<f8")),
    *(("hours", "<f8"), ("hour_squares", "<f8"), ("hour_sizes", "<f8")),
]  # fmt: skip
# Calls and sums of the hours that are over, by the hour of the day: kept apart, so that a version
# that does not know them reads the rest.
_DAY = [("day_n", "<f8", (_DAY_HOURS,)), ("day_total", "<f8", (_DAY_HOURS,))]
HEARD, DAY, LESSON = np.dtype(_HEARD), np.dtype(_DAY), np.dtype([*_HEARD, *_DAY])


class Baseline(NamedTuple):
    """The band of means that are normal, and how many calls make one independent one."""

    calls: int
    mean: float
    variance: float
    lower: float
    upper: float
    design_effect: float


# Baselines as rows of a table; without one no mean leaves the band.
BAND = np.dtype([("calls", "<i8"), *((name, "<f8") for name in Baseline._fields[1:])])
NO_BAND = np.array([(0, 0.0, 0.0, 0.0, 1.0, 1.0)], BAND)


def hear(some: Table, pane: int, counts: Floats) -> None:
    """One more pane for lessons, from its counts [lessons, bins]."""
    _end_hour(some, some["hour"] != pane // _HOUR_S)
    _end_blocks(some, some["block"] != _blocks_of(pane))
    some["hour"], some["block"] = pane // _HOUR_S, _blocks_of(pane)
    n, total = counts.sum(1), counts @ GRID
    some["n"] += n[:, None]
    some["total"] += total[:, None]
    some["hour_n"] += n
    some["hour_total"] += total
    some["counts"] += counts
    some["first"] = np.where(some["panes"] == 0, pane, some["first"])
    some["panes"] += 1
    some["pane"] = pane


def enough(some: Table, calls: Ints, long_s: Floats) -> NDArray[np.bool_]:
    """Whether lessons hold as many calls as asked for, over as long, in as many panes."""
    many = (some["panes"] >= FEWEST_PANES) & (some["counts"].sum(1) >= calls)
    found: NDArray[np.bool_] = many & (some["pane"] - some["first"] >= long_s)
    return found


def learn(lessons: Table, alpha: float, matters: float = 0.0) -> Table:
    """The baselines of lessons; a band misses the truth with chance `alpha`, and is no narrower
    than what `matters` on each side."""
    some = lessons.copy()
    _end_hour(some, np.ones(len(some), np.bool_))
    counts, made = some["counts"], np.repeat(NO_BAND, len(some))
    n = counts.sum(1)
    mean = counts @ GRID / n
    variance = (counts * (GRID - mean[:, None]) ** 2).sum(1) / n
    effect = _design_effect(some, variance)
    lower, upper = interval(GRID, counts / effect[:, None], alpha)
    noise = variance * effect
    slack = np.maximum(matters, _HOUR_SPREADS * _hour_spread(some, noise))
    below, above = (np.maximum(slack, one) for one in _unlike_hours(some, mean, noise))
    made["calls"], made["mean"], made["variance"], made["design_effect"] = n, mean, variance, effect
    made["lower"] = np.maximum(np.minimum(lower, mean - below), 0.0)
    made["upper"] = np.minimum(np.maximum(np.maximum(upper, mean + above), _EDGE), 1.0)
    return made


def _blocks_of(pane: int) -> Ints:
    return np.array([pane // size_s for size_s in _BLOCKS_S])


def _end_blocks(some: Table, over: NDArray[np.bool_]) -> None:
    """Close the blocks [lessons, lengths] that are over."""
    done = over & (some["n"] > 0)
    some["squares"] += np.where(done, some["total"] ** 2 / np.maximum(some["n"], 1.0), 0.0)
    some["blocks"] += done
    some["n"][over] = some["total"][over] = 0.0


def _end_hour(some: Table, over: NDArray[np.bool_]) -> None:
    """Close the hours [lessons] that are over, and all blocks in them."""
    _end_blocks(some, np.broadcast_to(over[:, None], some["n"].shape))
    done, n = over & (some["hour_n"] > 0), np.maximum(some["hour_n"], 1.0)
    square = some["hour_total"] ** 2 / n
    each = done[:, None]
    some["within"] += np.where(each, some["squares"] - square[:, None], 0.0)
    some["freedom"] += np.where(each, some["blocks"] - 1, 0.0)
    some["hours"] += done
    some["hour_squares"] += np.where(done, square, 0.0)
    some["hour_sizes"] += np.where(done, n**2, 0.0)
    at = np.flatnonzero(done), some["hour"][done] % _DAY_HOURS
    some["day_n"][at] += some["hour_n"][done]
    some["day_total"][at] += some["hour_total"][done]
    for name in ("squares", "blocks", "hour_n", "hour_total"):
        some[name][over] = 0.0


def _design_effect(some: Table, variance: Floats) -> Floats:
    """How many calls make one independent one, at least 1."""
    freedom = some["freedom"]
    tells = (freedom >= _FEWEST_BLOCKS) & (variance > 0)[:, None]
    least = np.maximum(variance, 1e-300)[:, None] * lower_chi_square(np.maximum(freedom, 1.0))
    found: Floats = np.where(tells, some["within"] / least, 1.0).max(1).clip(1.0)
    return found


def _hour_spread(some: Table, variance: Floats) -> Floats:
    """The standard deviation of hourly means beyond their sampling noise, as large as few hours
    allow."""
    n, total = some["counts"].sum(1), some["counts"] @ GRID
    freedom = np.maximum(some["hours"] - 1, 1.0)
    between = some["hour_squares"] - total**2 / n
    sure = np.where(freedom >= _FEWEST_BLOCKS, lower_chi_square(freedom), freedom)
    each = np.maximum((n - some["hour_sizes"] / n) / freedom, 1e-300)
    spread = np.sqrt(np.maximum(0.0, between / sure - variance) / each)
    found: Floats = np.where(some["hours"] > 1, spread, 0.0)
    return found


def _unlike_hours(some: Table, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """How far the lowest and the highest hour of the day are from the mean, where that is beyond
    their sampling noise; 0 within two days."""
    n = np.maximum(some["day_n"], 1.0)
    away = np.where(some["day_n"] > 0, some["day_total"] / n - mean[:, None], 0.0)
    sure = np.abs(away) > _HOUR_SURE_Z * np.sqrt(variance[:, None] / n)
    days = some["pane"] - some["first"] >= _TWO_DAYS_S - _HOUR_S  # the last pane may be long
    told = np.where(sure & days[:, None], away, 0.0)
    return np.maximum(-told.min(1), 0.0), np.maximum(told.max(1), 0.0)


def split(lessons: Table) -> tuple[Table, Table]:
    """Lessons as they are stored: what every version reads, and the hours of the day."""
    parts = np.zeros(len(lessons), HEARD), np.zeros(len(lessons), DAY)
    for part in parts:
        for name in part.dtype.names or ():
            part[name] = lessons[name]
    return parts


def joined(*parts: Table) -> Table:
    """Lessons from what `split` made of them; without the hours of the day these begin anew."""
    lessons = np.zeros(len(parts[0]), LESSON)
    for part in parts:
        for name in part.dtype.names or ():
            lessons[name] = part[name]
    return lessons


def lower_chi_square(freedom: Floats) -> Floats:
    """The quantile that a chi-square falls below in 15 % (Wilson and Hilferty 1931)."""
    part = 2 / (9 * freedom)
    found: Floats = freedom * (1 - part - _SURE_Z * np.sqrt(part)) ** 3
    return found

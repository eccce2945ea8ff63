"""The estimate of one candidate and its interval against time, as places in a picture.

Across and down in percent, so that the picture takes any width while its letters keep their size.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from abtest.line import Line
from abtest.pages.scale import Frame, Scale, Tick, apart, time_scale, time_ticks, value_ticks
from abtest.run import Point
from abtest.wording import number

# The first intervals are many times as wide as the last; the frame is for what comes after.
_BEGINNING = 0.12
# Half the width of a point with no neighbour, in percent.
_LONE = 0.6
# Labels closer than this run into each other: 15 of the 280 pixels of the picture's height.
_LABEL = 5.4
_MOMENT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Curve:
    """One picture. Paths are in thousandths of its width and height, the rest in percent.

    `cut` says that some interval leaves the frame.
    """

    band: str
    edges: str
    middle: str
    across: list[Tick]
    down: list[Tick]
    zero: float
    margins: list[Tick]
    decided: float | None
    end: float
    dot: float | None
    labels: list[Tick]
    cut: bool


def curve_of(
    line: Line, points: Sequence[Point], margin: float | None, decided: float | None
) -> Curve | None:
    """The picture of a candidate's points, None where there are none."""
    mine = sorted((p for p in points if math.isfinite(p.at)), key=lambda point: point.at)
    if not mine:
        return None
    times, values = _time_scale(mine, decided), _value_scale(line, mine, margin)
    place = _Place(times, values)
    edges = () if margin is None else (margin, -margin)
    low = [end for p in mine for end in (p.lower, p.upper) if not math.isnan(end)]
    return Curve(
        band="".join(place.band(part) for part in _stretches(mine, _has_interval)),
        edges="".join(place.edges(part) for part in _stretches(mine, _has_interval)),
        middle="".join(place.middle(part) for part in _stretches(mine, _has_estimate)),
        across=time_ticks(times), down=_upside_down(value_ticks(values)),
        zero=place.down(0.0), margins=[Tick(place.down(e), f"{e:+g}") for e in edges],
        decided=None if decided is None else times.percent(decided),
        end=times.percent(mine[-1].at),
        dot=place.down(line.estimate) if math.isfinite(line.estimate) else None,
        labels=_labels(line, place),
        cut=any(not values.low <= end <= values.high for end in low),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Place(Frame):
    def _beside(self, part: Sequence[Point]) -> list[tuple[float, Point]]:
        across = [(self.times.percent(point.at), point) for point in part]
        if len(part) > 1:
            return across
        return [(across[0][0] + aside, part[0]) for aside in (-_LONE, _LONE)]

    def band(self, part: Sequence[Point]) -> str:
        """The area between the ends of the intervals."""
        both = self._beside(part)
        there = [self.point(x, point.upper) for x, point in both]
        back = [self.point(x, point.lower) for x, point in reversed(both)]
        return f"M{'L'.join(there + back)}Z"

    def edges(self, part: Sequence[Point]) -> str:
        """The lines of the upper and the lower ends."""
        both = self._beside(part)
        upper = "L".join(self.point(x, point.upper) for x, point in both)
        return f"M{upper}M" + "L".join(self.point(x, point.lower) for x, point in both)

    def middle(self, part: Sequence[Point]) -> str:
        """The line of the estimates."""
        return "M" + "L".join(self.point(x, point.estimate) for x, point in self._beside(part))


def _has_interval(point: Point) -> bool:
    return not math.isnan(point.lower) and not math.isnan(point.upper)


def _has_estimate(point: Point) -> bool:
    return math.isfinite(point.estimate)


def _stretches(points: Sequence[Point], there: Callable[[Point], bool]) -> list[list[Point]]:
    return [list(part) for is_there, part in itertools.groupby(points, key=there) if is_there]


def _time_scale(points: Sequence[Point], decided: float | None) -> Scale:
    low, high = points[0].at, points[-1].at
    if decided is not None:
        low, high = min(low, decided), max(high, decided)
    return time_scale(low, high) if high > low else Scale(low - _MOMENT_S, high + _MOMENT_S)


def _value_scale(line: Line, points: Sequence[Point], margin: float | None) -> Scale:
    first, last = points[0].at, points[-1].at
    late = [p for p in points if p.at >= first + _BEGINNING * (last - first)]
    shown = _finite(end for p in late for end in (p.estimate, p.lower, p.upper))
    shown += _finite((line.estimate, line.lower, line.upper, 0.0))
    shown += [] if margin is None else [margin, -margin]
    low, high = min(shown), max(shown)
    spare = 0.06 * (high - low) or 1.0
    return Scale(low - spare, high + spare)


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _upside_down(ticks: Sequence[Tick]) -> list[Tick]:
    return [Tick(round(100 - tick.at, 3), tick.text) for tick in ticks]


def _labels(line: Line, place: _Place) -> list[Tick]:
    """The last interval in numbers, beside where it ends."""
    values = [v for v in (line.upper, line.estimate, line.lower) if not math.isnan(v)]
    downs = apart([min(max(place.down(v), 0.0), 100.0) for v in values], _LABEL)
    return [
        Tick(down, number(value, line), strong=value == line.estimate)
        for down, value in zip(downs, values, strict=True)
    ]

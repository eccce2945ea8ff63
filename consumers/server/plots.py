"""Lines over time: figures as plain data, and their places in a picture.

Across and down in percent, so that a picture takes any width while its letters keep their size.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from abtest.pages.scale import Frame, Scale, Tick, apart, time_scale, time_ticks, value_ticks
from abtest.wording import moment
from consumers.server.words import shown

Values = tuple[float | None, ...]

# Half the width of a point with no neighbour, in percent.
_LONE = 0.6
# Above and below what is drawn stays so much of its height free.
_SPARE = 0.08
_TICKS = 5
# Labels closer than this run into each other: 15 pixels of a picture's height, and of a small one.
_LABEL = (5.4, 11.6)
# A table beside a picture has at most so many rows; the picture may have more points.
_ROWS = 400


@dataclass(frozen=True, slots=True)
class Curve:
    """A line: one value for each time of its figure, None where there is none."""

    name: str
    values: Values


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment, or a level, with what it is."""

    at: float
    name: str


@dataclass(frozen=True, slots=True)
class Figure:
    """Lines over time; `at` are epoch seconds in order, `step_s` how far apart neighbours are.

    `lower` and `upper` are a band, one value for each time, and empty where there is none; `level`
    is a value that matters, and `marks` are moments that do. The axis holds `axis` as well, so that
    figures beside each other have the same.
    """

    title: str
    unit: str
    at: tuple[float, ...]
    step_s: float
    curves: tuple[Curve, ...]
    lower: Values = ()
    upper: Values = ()
    band: str = ""
    level: Mark | None = None
    marks: tuple[Mark, ...] = ()
    axis: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A curve as it is drawn; where it ends, across and down, with its value in words, and how far
    down these stand."""

    name: str
    path: str
    end: tuple[float, float, str] | None
    label: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One time of a figure: across, and in words the time and the value of each column."""

    across: float
    when: str
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture. Paths are in thousandths of its width and height, the rest in percent."""

    lines: list[Line]
    band: str
    across: list[Tick]
    down: list[Tick]
    level: float | None
    marks: list[Tick]
    columns: list[str]
    readings: list[Reading]
    thinned: int
    summary: str


@dataclass(frozen=True, slots=True)
class Spark:
    """A small picture without axes; `band` is its top and its height. In thousandths."""

    path: str
    band: tuple[int, int] | None


def known(values: Iterable[float]) -> Values:
    """Values of which those that are no numbers are missing."""
    held = tuple(values)
    if all(map(math.isfinite, held)):  # as most
        return held
    return tuple(value if math.isfinite(value) else None for value in held)


def drawn(figure: Figure, small: bool = False) -> Drawing | None:
    """The picture of a figure, lower where it is `small`; None where it has nothing to show."""
    extra = [*(figure.axis or ()), *([] if figure.level is None else [figure.level.at])]
    held = _finite([*_all(figure.curves), *figure.lower, *figure.upper])
    if not held:
        return None
    times, values = _time_scale(figure), value_scale([*held, *extra])
    place = _Place(times, values)
    columns = [one.name for one in figure.curves] + ([figure.band] if figure.band else [])
    readings, thinned = _readings(figure, place)
    return Drawing(
        lines=_lines(figure, place, _LABEL[small]),
        band=place.band(figure), across=time_ticks(times, _TICKS),
        down=[Tick(round(100 - t.at, 3), t.text) for t in value_ticks(values, _TICKS, "")],
        level=None if figure.level is None else place.down(figure.level.at),
        marks=[Tick(times.percent(one.at), one.name) for one in figure.marks],
        columns=columns, readings=readings, thinned=thinned, summary=_summary(figure),
    )  # fmt: skip


def sparked(values: Values, band: tuple[float, float] | None = None) -> Spark | None:
    """A row of equally spaced values as a small picture; None without a value.

    A page has hundreds of them: their places are whole thousandths.
    """
    known = _finite(values)
    if not known:
        return None
    scale = value_scale([*known, *(band or ())])
    high, steep = scale.high, 1000 / (scale.high - scale.low)
    if len(known) == len(values) > 1:
        path = _whole(len(values)) % tuple([round((high - value) * steep) for value in known])
    else:
        path = _broken([None if v is None else round((high - v) * steep) for v in values])
    area = None
    if band is not None:
        top = round((high - band[1]) * steep)
        area = top, max(round((high - band[0]) * steep) - top, 4)
    return Spark(path, area)


@functools.cache
def _whole(count: int) -> str:
    """The path through so many points that are all there, for their places from above."""
    return "M" + "L".join(f"{1000 * n // (count - 1)} %d" for n in range(count))


def _broken(downs: Sequence[int | None]) -> str:
    """The path through what is there; what stands alone is a short stroke."""
    path, pen, last = list[str](), "M", max(1, len(downs) - 1)
    for n, down in enumerate(downs):
        if down is None:
            pen = "M"
            continue
        across = 1000 * n // last
        alone = pen == "M" and (n == last or n + 1 == len(downs) or downs[n + 1] is None)
        path.append(f"M{across - 9} {down}h18" if alone else f"{pen}{across} {down}")
        pen = "L"
    return "".join(path)


def value_scale(values: Sequence[float]) -> Scale:
    """An axis that holds these values with room to spare; it does not pass 0 for that."""
    low, high = min(values), max(values)
    spare = _SPARE * (high - low) or 0.1 * abs(high) or 1.0
    return Scale(max(low - spare, 0.0) if low >= 0 else low - spare, high + spare)


@dataclass(frozen=True, slots=True)
class _Place(Frame):
    def path(self, points: Iterable[tuple[float, float | None]], step: float) -> str:
        """The line through points, broken where one is missing."""
        return "".join(self._stroke(part) for part in _stretches(points, step))

    def _stroke(self, part: Sequence[tuple[float, float]]) -> str:
        across = [(self.times.percent(at), value) for at, value in part]
        if len(across) == 1:
            ((x, value),) = across
            across = [(x - _LONE, value), (x + _LONE, value)]
        return "M" + "L".join(self.point(x, value) for x, value in across)

    def band(self, figure: Figure) -> str:
        """The area between `lower` and `upper`."""
        made = ""
        edges = zip(figure.at, figure.lower, figure.upper, strict=True) if figure.lower else ()
        for known, some in itertools.groupby(edges, key=lambda one: None not in one[1:]):
            part = [(self.times.percent(at), low, high) for at, low, high in some]
            if known:
                there = [self.point(x, high or 0.0) for x, _, high in part]
                back = [self.point(x, low or 0.0) for x, low, _ in reversed(part)]
                made += f"M{'L'.join(there + back)}Z"
        return made


def _stretches(
    points: Iterable[tuple[float, float | None]], step: float
) -> list[list[tuple[float, float]]]:
    """Neighbours that follow each other without a gap of more than a step and a half."""
    found, last = list[list[tuple[float, float]]](), -math.inf
    for at, value in points:
        if value is None or not math.isfinite(value):
            continue
        if at - last > 1.5 * step:
            found.append([])
        found[-1].append((at, value))
        last = at
    return found


def _lines(figure: Figure, place: _Place, least: float) -> list[Line]:
    """The curves, their newest values written apart from each other."""
    ends = dict[int, tuple[float, float, str]]()
    for n, one in enumerate(figure.curves):
        known = [(at, v) for at, v in zip(figure.at, one.values, strict=True) if v is not None]
        if known:
            at, value = known[-1]
            ends[n] = place.times.percent(at), place.down(value), shown(value, figure.unit)
    order = sorted(ends, key=lambda n: ends[n][1])
    downs = dict(zip(order, apart([ends[n][1] for n in order], least), strict=True))
    return [
        Line(one.name, place.path(zip(figure.at, one.values, strict=True), figure.step_s),
             ends.get(n), downs.get(n, 0.0))
        for n, one in enumerate(figure.curves)
    ]  # fmt: skip


def _readings(figure: Figure, place: _Place) -> tuple[list[Reading], int]:
    """The newest times of a figure, or every so many-th, and how many that is; 0 for all."""
    every = math.ceil(len(figure.at) / _ROWS)
    places = range(len(figure.at) - 1, -1, -every)
    made = []
    for n in reversed(places):
        cells = [shown(one.values[n], figure.unit) for one in figure.curves]
        if figure.band:
            ends = shown(figure.lower[n], figure.unit), shown(figure.upper[n], figure.unit)
            cells.append(f"{ends[0]} to {ends[1]}")
        across = place.times.percent(figure.at[n])
        made.append(Reading(across, moment(figure.at[n]), cells))
    return made, every if every > 1 else 0


def _summary(figure: Figure) -> str:
    """The picture for who does not see it."""
    said = []
    for one in figure.curves:
        held = _finite(one.values)
        if held:
            low, high, last = (shown(v, figure.unit) for v in (min(held), max(held), held[-1]))
            said.append(f"{one.name} lies between {low} and {high}, at last {last}")
    ends = f"From {moment(figure.at[0])} to {moment(figure.at[-1])}: "
    return ends + "; ".join(said) + "."


def _time_scale(figure: Figure) -> Scale:
    shown_at = [*figure.at, *(one.at for one in figure.marks)]
    low, high = min(shown_at), max(shown_at)
    return time_scale(low, high) if high > low else Scale(low - 1800.0, high + 1800.0)


def _all(curves: Iterable[Curve]) -> Values:
    return tuple(value for one in curves for value in one.values)


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]

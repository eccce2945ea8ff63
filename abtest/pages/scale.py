"""From values and times to places on an axis, and the ticks that a reader expects there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_TIME_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(m * _MINUTE for m in (1, 2, 5, 10, 15, 30)),
    *(h * _HOUR for h in (1, 2, 3, 6, 12)),
    *(d * _DAY for d in (1, 2, 7, 14, 28, 91, 182, 365)),
)
# So many times stand on an axis at most.
_TIMES = 5
# An axis that begins so little after a round time begins there.
_JUST = 0.03


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place; `below` is the day or year where it changes."""

    at: float
    text: str
    below: str = ""
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`."""

    low: float
    high: float

    def percent(self, value: float) -> float:
        """Where a value lies, in percent of the axis; what is far outside comes no nearer.

        Browsers draw coordinates beyond some thousands wrongly, and none as infinity.
        """
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, -1.0), 2.0), 3)


@dataclass(frozen=True, slots=True)
class Frame:
    """The two axes of a picture."""

    times: Scale
    values: Scale

    def down(self, value: float) -> float:
        """How far below the upper edge a value lies, in percent."""
        return round(100 - self.values.percent(value), 3)

    def point(self, across: float, value: float) -> str:
        """A point of a path, in thousandths; `across` is in percent."""
        return f"{10 * across:.1f} {10 * self.down(value):.1f}"


def step_of(width: float, most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that cuts a width into at most so many."""
    power = 10.0 ** math.floor(math.log10(width / most))
    return next(s * power for s in (1, 2, 5, 10) if s * power * most >= width * (1 - 1e-9))


def value_ticks(scale: Scale, most: int = 8, sign: str = "+") -> list[Tick]:
    """Round numbers, signed unless `sign` is empty, 0 without a sign."""
    step = step_of(scale.high - scale.low, most)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [
        Tick(scale.percent(n * step), f"{n * step:{sign}.{places}f}" if n else "0")
        for n in range(first, last + 1)
    ]


def time_ticks(scale: Scale, most: int = _TIMES) -> list[Tick]:
    """Round times in UTC; the day is said of the first and where it changes."""
    step = _time_step(scale.high - scale.low, most)
    first, last = math.ceil(scale.low / step), math.floor(scale.high / step)
    ticks: list[Tick] = []
    said = ""
    for n in range(first, last + 1):
        text, below = _words(datetime.fromtimestamp(n * step, UTC), step)
        ticks.append(Tick(scale.percent(n * step), text, below if below != said else ""))
        said = below
    return ticks


def time_scale(low: float, high: float) -> Scale:
    """From one time to another, or from the round time just before it."""
    step = _time_step(high - low, _TIMES)
    before = low // step * step
    return Scale(before if low - before <= _JUST * (high - low) else low, high)


def _time_step(width: float, most: int) -> int:
    step = next((s for s in _TIME_STEPS if s * most >= width), 365 * _DAY)
    return step * max(1, math.ceil(width / (most * step)))


def _words(at: datetime, step: int) -> tuple[str, str]:
    day = f"{at.day} {at:%b}"
    if step >= _DAY:
        return day, f"{at:%Y}"
    return (f"{at:%H:%M:%S}" if step < _MINUTE else f"{at:%H:%M}"), f"{day} {at:%Y}"


def apart(places: Sequence[float], least: float) -> list[float]:
    """Places moved away from the middle one until each is that far from the next."""
    middle = len(places) // 2
    moved = list(places)
    for at in range(middle - 1, -1, -1):
        moved[at] = min(moved[at], moved[at + 1] - least)
    for at in range(middle + 1, len(moved)):
        moved[at] = max(moved[at], moved[at - 1] + least)
    return moved

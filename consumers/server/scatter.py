"""Quality against an amount, as places in a picture: percent across and down."""

import math
from dataclasses import dataclass

import numpy as np

from abtest.pages.scale import Scale, Tick, step_of
from suites.analysis.pareto import Front

_SPARE = 0.06
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Dot:
    """One target: its place, the ends of its intervals, and whether nothing beats it."""

    target: str
    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    front: bool
    end: bool


@dataclass(frozen=True, slots=True)
class Scatter:
    """The picture; `steps` is the line along the front, in thousandths."""

    dots: tuple[Dot, ...]
    across: tuple[Tick, ...]
    down: tuple[Tick, ...]
    steps: str


def scattered(front: Front) -> Scatter:
    """The points of a front; amounts begin at 0."""
    amounts = Scale(0.0, _top(max(p.amount.upper for p in front.points)))
    low = min(p.quality.lower for p in front.points)
    high = max(p.quality.upper for p in front.points)
    spare = max(_SPARE * (high - low), 0.01)
    quality = Scale(max(0.0, low - spare), min(1.0, high + spare))
    dots = tuple(
        Dot(
            point.target, amounts.percent(point.amount.mean), _down(quality, point.quality.mean),
            amounts.percent(point.amount.lower), amounts.percent(point.amount.upper),
            _down(quality, point.quality.upper), _down(quality, point.quality.lower),
            point.front, amounts.percent(point.amount.mean) > 60,
        )
        for point in front.points
    )  # fmt: skip
    across = tuple(Tick(amounts.percent(v), _said(v)) for v in _round(amounts))
    down = tuple(Tick(_down(quality, v), _said(v)) for v in _round(quality))
    return Scatter(dots, across, down, _steps(dots))


def _top(most: float) -> float:
    return most * (1 + _SPARE) if math.isfinite(most) and most > 0 else 1.0


def _down(scale: Scale, value: float) -> float:
    return round(100 - scale.percent(value), 3)


def _round(scale: Scale) -> list[float]:
    step = step_of(scale.high - scale.low, _TICKS)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def _said(value: float) -> str:
    """Without an exponent, however cheap."""
    return np.format_float_positional(value, trim="-")


def _steps(dots: tuple[Dot, ...]) -> str:
    """From one target of the front to the next: more quality costs more."""
    on = sorted((dot for dot in dots if dot.front), key=lambda dot: dot.x)
    if len(on) < 2:
        return ""
    path = f"M{10 * on[0].x:.1f} {10 * on[0].y:.1f}"
    return path + "".join(f"H{10 * dot.x:.1f}V{10 * dot.y:.1f}" for dot in on[1:])

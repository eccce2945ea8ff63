"""Intervals of many lines on one axis, one row a line, as places in percent of its width."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from abtest.line import Line
from abtest.pages.scale import Scale, Tick, step_of, value_ticks

# Beyond so many times the middling row's reach a row is cut, so that it does not flatten the rest.
_MOST = 3.0


@dataclass(frozen=True, slots=True)
class Mark:
    """One row: the whisker, its dot, the best case beside it, and where a margin lies.

    `cut_left` and `cut_right` say that the interval goes on; `sure` that it excludes 0.
    """

    left: float
    right: float
    dot: float | None
    cut_left: bool
    cut_right: bool
    best: tuple[float, float] | None
    margins: tuple[float, ...]
    sure: bool


def axis_of(lines: Sequence[Line], margins: Mapping[str, float]) -> Scale:
    """One axis around 0 for all these lines."""
    reach = [r for line in lines if (r := _reach(line)) > 0]
    held = [r for line in lines if line.role in ("primary", "guardrail") and (r := _reach(line))]
    held += [m for name, m in margins.items() if any(line.metric == name for line in lines)]
    if not reach and not held:
        return Scale(-1.0, 1.0)
    usual = _MOST * statistics.median(reach) if reach else 0.0
    far = max(max(held, default=0.0), min(max(reach, default=0.0), usual))
    step = step_of(far, 4)
    far = step * math.ceil(far / step - 1e-9)
    return Scale(-far, far)


def axis_ticks(scale: Scale) -> list[Tick]:
    """The ends and 0, and between them where there is room."""
    return value_ticks(scale, 4)


def mark_of(line: Line, scale: Scale, margins: Sequence[float]) -> Mark | None:
    """The row of a line, None where it has no interval."""
    if math.isnan(line.lower) or math.isnan(line.upper):
        return None
    seen = math.isfinite(line.estimate) and scale.low <= line.estimate <= scale.high
    return Mark(
        _within(line.lower, scale), _within(line.upper, scale),
        scale.percent(line.estimate) if seen else None,
        line.lower < scale.low, line.upper > scale.high, _best(line, scale),
        tuple(scale.percent(m) for m in margins), line.lower > 0 or line.upper < 0,
    )  # fmt: skip


def _best(line: Line, scale: Scale) -> tuple[float, float] | None:
    if not differs(line) or line.best is None:
        return None
    return _within(line.best[0], scale), _within(line.best[1], scale)


def differs(line: Line) -> bool:
    """Whether the interval is another one with failed calls at the best end."""
    if line.best is None or any(math.isnan(end) for end in line.best):
        return False
    pairs = zip(line.best, (line.lower, line.upper), strict=True)
    return any(one != other and not abs(one - other) < 5e-5 for one, other in pairs)


def _within(value: float, scale: Scale) -> float:
    return min(max(scale.percent(value), 0.0), 100.0)


def _reach(line: Line) -> float:
    return max((abs(end) for end in (line.lower, line.upper) if math.isfinite(end)), default=0.0)

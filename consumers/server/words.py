"""Numbers and times in words, the same on every page."""

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from agent.catalog import Metric

_STEPS = ((86_400, "d"), (3600, "h"), (60, "min"))
_DASH = "\N{EN DASH}"


def ago(seconds: float) -> str:
    """How long ago something was, in its two largest parts; a page changes once a minute by it."""
    if seconds < 60:
        return "just now"
    at = next(i for i, (size, _) in enumerate(_STEPS) if seconds >= size)
    size, name = _STEPS[at]
    whole, rest = divmod(int(seconds), size)
    if at + 1 == len(_STEPS):
        return f"{whole} {name} ago"
    smaller, unit = _STEPS[at + 1]
    left = rest // smaller
    return f"{whole} {name} {left} {unit} ago" if left else f"{whole} {name} ago"


def lasting(seconds: float) -> str:
    """A length of time in its largest whole unit."""
    for span, unit in _STEPS:
        if seconds >= span and not seconds % span:
            return f"{seconds // span:.0f} {unit}"
    return f"{seconds:.0f} s"


def shown(value: float | None, unit: str) -> str:
    """A value in its unit, a dash where there is none.

    `ratio` is a score in [0, 1], `share` a part of all, `count` a whole number; what is counted
    in other units than seconds and dollars stands by itself.
    """
    if value is None or not math.isfinite(value):
        return _DASH
    if unit == "share":
        return _percent(value)
    if unit == "ratio":
        return f"{value:.3f}"
    if unit == "count":
        return f"{value:,.0f}"
    behind = {"usd": " $", "seconds": " s"}.get(unit, "")
    return f"{_digits(value)}{behind}"


def unit_of(metric: Metric) -> str:
    """What the mean of a metric is in: of a flag it is a share."""
    return "share" if metric.kind == "flag" else metric.unit


def _percent(ratio: float) -> str:
    """To a digit that still says something."""
    if 0 < ratio < 0.0001:
        return "< 0.01 %"
    return f"{100 * ratio:.{0 if ratio in (0, 1) else 1 if abs(ratio) >= 0.001 else 2}f} %"


def _digits(value: float) -> str:
    """Three digits that count, none behind the point from 100 on."""
    if value == 0:
        return "0"
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(max(places, 0), 10)}f}"


def change(value: float, unit: str) -> str:
    """A difference with its sign; one of shares is in percentage points."""
    if unit == "share":
        return f"{100 * value:+.{1 if abs(value) >= 0.001 else 2}f} pp"
    return f"{value:+.4f}"


def given(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, without what is empty: that only makes addresses longer."""
    return {name: value for name, value in asked.items() if value}


def visible(value: Any) -> Any:
    """A text with what would not be seen, or would turn what stands beside it, written out."""
    if not isinstance(value, str) or (value.isascii() and value.isprintable()):
        return value
    if hasattr(value, "__html__"):  # markup of ours
        return value
    return "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in ("Cf", "Cc", "Cs") and c not in "\n\t"
        else c
        for c in value
    )  # fmt: skip

"""Where everything that was received went, as ribbons from one bar to its ends.

Across in percent, so that the picture takes any width; down in pixels, so that letters fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# The height of all ribbons together, of the room that an end's label needs, and of the thinnest.
_WHOLE_PX, _LABEL_PX, _LEAST_PX = 132.0, 26.0, 1.5
# The bar and where the ribbons end, in percent.
_BAR, _END = 1.0, 52.0


@dataclass(frozen=True, slots=True)
class Ribbon:
    """One end: its path in percent across and pixels down, and the middle of where it ends."""

    name: str
    calls: int
    share: float
    path: str
    at: float


@dataclass(frozen=True, slots=True)
class Flow:
    """The picture: its height, the bar's top and height, and the ribbons from top to bottom."""

    height: float
    top: float
    bar: float
    ribbons: tuple[Ribbon, ...]


def flow_of(ends: Mapping[str, int]) -> Flow:
    """The ribbons of the ends that anything came to, each as thick as its share of all."""
    held = [(name, n) for name, n in ends.items() if n > 0]
    total = sum(n for _, n in held)
    thick = [max(_LEAST_PX, _WHOLE_PX * n / total) for _, n in held]
    rooms = [max(_LABEL_PX, one) for one in thick]
    height, bar = sum(rooms), sum(thick)
    top = max(0.0, (height - bar) / 2)
    ribbons, here, there = [], top, 0.0
    for (name, n), width, room in zip(held, thick, rooms, strict=True):
        at = there + room / 2
        path = _path(here, at - width / 2, width)
        ribbons.append(Ribbon(name, n, n / total, path, round(at, 2)))
        here, there = here + width, there + room
    return Flow(round(height, 2), round(top, 2), round(bar, 2), tuple(ribbons))


def _path(top: float, end: float, width: float) -> str:
    middle = (_BAR + _END) / 2
    curves = (
        f"M{_BAR} {top:.2f}C{middle} {top:.2f} {middle} {end:.2f} {_END} {end:.2f}",
        f"V{end + width:.2f}C{middle} {end + width:.2f} {middle} {top + width:.2f} {_BAR} ",
    )
    return f"{''.join(curves)}{top + width:.2f}Z"

"""Lengths of time as Prometheus writes them."""

import re

_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


def seconds(time: str) -> float:
    """A time of one unit, such as 15m, in seconds."""
    n, unit = re.fullmatch(r"(\d+)([a-z]+)", time).groups()  # type: ignore[union-attr]  # a typing error of ours would show in every test
    return int(n) * _UNITS_MS[unit] / 1000


def span(length_s: float) -> str:
    """Seconds in as many units as it takes: 1h30m, 7s500ms."""
    left, said = round(length_s * 1000), ""
    for unit, size_ms in _UNITS_MS.items():
        n, left = divmod(left, size_ms)
        said += f"{n}{unit}" if n else ""
    return said or "0s"

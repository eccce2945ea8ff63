"""A label set on a page of metrics: its values as the page can carry them, its numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = tuple[str, ...]
Group = tuple[str, str, str]
Array = npt.NDArray[np.float64]

# Prometheus servers often refuse a whole scrape over one long value; 128 is a usual limit.
LABEL_CHARS = 128
OTHER = "other"
_OTHERS = (OTHER, OTHER, OTHER)
# What is shown however many values there are: the service as a whole stands for a model.
_ALWAYS = frozenset({OTHER, "*"})
# Closed sets: partitions come from the broker (a gauge of two written as one would show neither),
# and a cap on `label` would have to count itself.
_UNCAPPED = frozenset({"partition", "label"})


def clean(value: str, chars: int = LABEL_CHARS) -> str:
    """Cut, and without what cannot be printed."""
    # A lone surrogate cannot be written as UTF-8: unreplaced, it takes the whole page down.
    short = value[:chars]
    if short.isprintable():
        return short
    return "".join(char if char.isprintable() else "\ufffd" for char in short)


def escape(value: str) -> str:
    """As it stands between quotes."""
    return value.replace("\\", r"\\").replace('"', r"\"")


@dataclass(frozen=True, slots=True)
class Child:
    """One label set of a series: its labels, its ready lines and its numbers.

    A counter or gauge has one number; a histogram has one a bucket, then the sum.
    """

    labels: Labels
    lines: tuple[str, ...]
    numbers: Array

    def shown(self) -> list[float]:
        """The numbers in the order of the lines: cumulated buckets, count, sum."""
        if len(self.numbers) == 1:
            return [float(self.numbers[0])]
        cumulated = np.cumsum(self.numbers[:-1])
        return [*cumulated.tolist(), float(cumulated[-1]), float(self.numbers[-1])]


class Caps:
    """The values that labels have so far: at most `values_max` of each, and at most `groups_max`
    groups of service, model and variant; `overflowed` is told of what is written as `other`."""

    def __init__(self, values_max: int, groups_max: int, overflowed: Callable[[str], None]) -> None:
        self._values_max, self._groups_max = values_max, groups_max
        self._overflowed = overflowed
        self._values: dict[str, set[str]] = {}
        self._groups: set[Group] = set()

    def group(self, group: Group) -> Group:
        """The labels that a group is counted under."""
        if group in self._groups:
            return group
        service, model, variant = map(self.value, ("service", "model", "variant"), group)
        known = (service, model, variant)
        if known not in self._groups and known != _OTHERS:
            if len(self._groups) >= self._groups_max:
                self._overflowed("group")
                return _OTHERS
            self._groups.add(known)
        return known

    def value(self, name: str, value: str) -> str:
        """The value of a label as it is written."""
        known = clean(value)
        values = self._values.setdefault(name, set())
        if known in values or known in _ALWAYS or name in _UNCAPPED:
            return known
        if len(values) >= self._values_max:
            self._overflowed(name)
            return OTHER
        values.add(known)
        return known

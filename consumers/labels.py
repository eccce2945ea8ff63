"""A label set on a page of metrics: its values as the page can carry them, its numbers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = tuple[str, ...]
Array = npt.NDArray[np.float64]

# Prometheus servers often refuse a whole scrape over one long value; 128 is a usual limit.
LABEL_CHARS = 128


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

"""Every series of the page Now as a row of a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumers.server.sheet import Sheet

if TYPE_CHECKING:
    from consumers.server.views.now import Now


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one model and variant over the window, with the band that it is watched in."""

    service: str
    model: str
    variant: str
    metric: str
    unit: str
    value: float | None
    n: int
    band_lower: float | None
    band_upper: float | None
    state: str
    start: int
    end: int


def _series(found: "Now") -> Iterator[Series]:
    for service in found.services:
        for row in (row for part in service.parts for row in part.rows):
            for column, cell in zip(service.columns, row.cells, strict=True):
                yield Series(
                    service.name, column.model, column.variant, row.metric, row.unit, cell.value,
                    cell.n, cell.lower, cell.upper, cell.state, found.start, found.end,
                )  # fmt: skip


SERIES = Sheet(Series, _series)

"""The closed hours of two windows, by value of a segment: what gaps are read from."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from abtest.samples import GRID
from agent.buckets import LOG_GAMMA, ZERO_BUCKET, Floats, Ints
from agent.config import Config
from agent.packing import open_row
from agent.panes import HOUR_S
from agent.stacks import Layer, Stacks
from agent.store import Transaction, reads
from agent.store.reads import StoredPane
from agent.summaries import LogHistogram
from watch.gaps import Sums

DAY_S = 86_400
QUANTILES = (0.5, 0.9)
# Log buckets are counted from here on: e^-40 is below any amount, and the place of zero.
_LOWEST = -2000
# Places are numbers: group, source and hour, of 20 bits each.
_GROUP, _SOURCE, _LOW = 40, 20, (1 << 20) - 1


class Span(NamedTuple):
    """A window from `start`, looked at when the hours before `end` are closed, and the window
    before it."""

    start: int
    end: int
    length_s: int

    @classmethod
    def at(cls, end: int, days: int) -> "Span":
        """The window that holds the hour before `end`."""
        length_s = days * DAY_S
        return cls((end - 1) // length_s * length_s, end, length_s)

    @property
    def over(self) -> bool:
        """Whether all of the window was seen."""
        return self.end == self.start + self.length_s


@dataclass(frozen=True, slots=True)
class Compared:
    """One variable of a service by the values of one key. An amount counts as its share
    above `edge`, the `quantile` of all these values in the window before (NaN where there was
    none); `amounts` are the counts in log buckets of this window, [values, buckets]."""

    service: str
    key: str
    values: tuple[str, ...]
    metric: str
    sums: Sums
    quantile: float | None = None
    edge: float = math.nan
    amounts: Floats | None = None


class Hours:
    """The closed hours as they were read, each once: sums of bounded metrics and buckets of
    amounts, with their places, which are the number of the group, of the source, and the hour.

    2026-11-25: read anew at each look, two weeks of 100 values took 2 s of a core.
    """

    def __init__(self, config: Config) -> None:
        assert config.fairness is not None
        self.fairness, self._keys = config.fairness, config.fairness.segments or config.segments
        self.bounded, self.amounts = self.fairness.bounded(), self.fairness.amounts()
        self._metrics = {name: at for at, name in enumerate((*self.bounded, *self.amounts))}
        self.groups: dict[tuple[str, str], int] = {}
        self.sources: dict[str, int] = {}
        # Since when, and how far each source was read.
        self._begin, self._reached = -1, dict[str, int]()
        # Metric, place, then calls, sum and sum of squares; or bucket and calls.
        self._sums: list[tuple[Any, ...]] = []
        self._buckets: list[tuple[Any, ...]] = []

    def compared(self, tx: Transaction, span: Span) -> list[Compared]:
        """Everything that is compared at a look, by service, key and metric; none goes back."""
        self._read(tx, span)
        if not self.groups:
            return []
        tables = _Tables(self, span, _columns(self._sums), _columns(self._buckets))
        made: list[Compared] = []
        for whose, rows in sorted(_by_key(self.groups).items()):
            mine = _Mine(*whose, tuple(rows), np.array(list(rows.values())))
            for at, metric in enumerate(self.bounded):
                made.append(tables.bounded(mine, at, metric))
            for at, metric in enumerate(self.amounts):
                made += tables.amount(mine, at, metric)
        return made

    def _read(self, tx: Transaction, span: Span) -> None:
        """Read the hours that closed since; a new window is read as a whole."""
        begin = span.start - span.length_s
        if begin != self._begin:
            self.groups, self.sources, self._reached = {}, {}, {}
            self._sums, self._buckets, self._begin = [], [], begin
        for source, through in sorted(reads.closed_times(tx).items()):
            end = min(span.end, int(through // HOUR_S * HOUR_S))
            start = max(begin, self._reached.get(source, 0))
            for day in range(start, end, DAY_S):  # a day at a time: a week of rows is not held
                rows = reads.hour_panes(tx, source, (day, min(day + DAY_S, end)), self._keys)
                places = np.array([self._place(source, one) for one in rows])
                for layer in Stacks([open_row(one.blob) for one in rows]).layers:
                    self._add(layer, places[layer.places])
                self._reached[source] = min(day + DAY_S, end)

    def _place(self, source: str, one: StoredPane) -> int:
        whose = one.group.service, one.group.segment
        group = self.groups.setdefault(whose, len(self.groups))
        where = self.sources.setdefault(source, len(self.sources))
        return (group << _GROUP) + (where << _SOURCE) + one.pane // HOUR_S

    def _add(self, layer: Layer, places: Ints) -> None:
        """Rows of the same series, each at its place."""
        metrics = np.array([self._metrics.get(name, -1) for name in layer.names])
        sizes, (bins, counts) = layer.heads["bins"].astype(np.int64), layer.bins
        wanted = np.repeat(np.tile(metrics >= 0, len(sizes)), sizes.ravel())
        owners = np.repeat(np.arange(sizes.size), sizes.ravel())[wanted]
        bins, counts = bins[wanted], counts[wanted]
        metric, place = metrics[owners % len(metrics)], places[owners // len(metrics)]
        mine, width = metric < len(self.bounded), len(self._metrics)
        x, n = GRID[bins[mine]], counts[mine].astype(np.float64)
        code, at = np.unique(place[mine] * width + metric[mine], return_inverse=True)
        summed = (np.bincount(at, n * x**power, len(code)) for power in (0, 1, 2))
        self._sums.append((code % width, code // width, *summed))
        buckets = np.maximum(bins[~mine], _LOWEST) - np.int16(_LOWEST)
        amount = (metric[~mine] - len(self.bounded)).astype(np.int8)
        self._buckets.append((amount, place[~mine], buckets, counts[~mine].astype(np.int32)))


class _Mine(NamedTuple):
    """The values of one key of a service, and their numbers among all groups."""

    service: str
    key: str
    values: tuple[str, ...]
    numbers: Ints

    @property
    def order(self) -> Ints:
        """Where the values stand when sorted by their numbers."""
        return np.argsort(self.numbers)


def _by_key(groups: dict[tuple[str, str], int]) -> dict[tuple[str, str], dict[str, int]]:
    """The values of each service and key, with their numbers."""
    found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for (service, segment), at in sorted(groups.items()):
        key, _, value = segment.partition("=")
        found[service, key][value] = at
    return found


class _Tables:
    """What was read, put where it belongs: [groups, sources, hours]."""

    def __init__(self, read: Hours, span: Span, sums: list[Any], buckets: list[Any]) -> None:
        self._first = span.length_s // HOUR_S
        hours = self._first + (span.end - span.start) // HOUR_S
        self._shape = len(read.groups), len(read.sources), hours
        self._begin, self._least = span.start // HOUR_S - self._first, read.fairness.least_calls
        self._sums, self._buckets = sums, buckets

    def bounded(self, mine: _Mine, at: int, metric: str) -> Compared:
        """A metric in [0, 1]; the `at`-th."""
        _, place, *summed = (one[self._sums[0] == at] for one in self._sums)
        n, total, square = (self._table(place, one)[mine.numbers] for one in summed)
        sums = Sums(n, total, square, self._first)
        return Compared(mine.service, mine.key, mine.values, metric, sums)

    def amount(self, mine: _Mine, at: int, metric: str) -> list[Compared]:
        """The shares of an amount above the quantiles of the window before."""
        here = (self._buckets[0] == at) & np.isin(self._buckets[1] >> _GROUP, mine.numbers)
        _, place, bucket, n = (one[here] for one in self._buckets)
        own, width = (place & _LOW) - self._begin >= self._first, int(bucket.max(initial=0)) + 1
        rows = np.searchsorted(mine.numbers, place[own] >> _GROUP, sorter=mine.order)
        flat = mine.order[rows] * width + bucket[own]
        counts = np.bincount(flat, n[own], len(mine.numbers) * width)
        amounts = counts.astype(np.float64, copy=False).reshape(-1, width)
        pooled = np.cumsum(np.bincount(bucket[~own], n[~own]))
        all_n = self._table(place, n)[mine.numbers]
        made = []
        for quantile in QUANTILES:
            edge, above = math.nan, np.zeros_like(all_n)
            if len(pooled) and pooled[-1] >= self._least:
                last = int(np.searchsorted(pooled, quantile * pooled[-1]))
                edge, over = _upper(last), bucket > last
                above = self._table(place[over], n[over])[mine.numbers]
            sums = Sums(all_n, above, above, self._first)
            whose = mine.service, mine.key, mine.values
            made.append(Compared(*whose, metric, sums, quantile, edge, amounts))
        return made

    def _table(self, place: Ints, values: Floats) -> Floats:
        group, source, hour = place >> _GROUP, (place >> _SOURCE) & _LOW, place & _LOW
        hour = hour - self._begin
        flat = (group * self._shape[1] + source) * self._shape[2] + hour
        made = np.bincount(flat, values, math.prod(self._shape))
        return made.astype(np.float64, copy=False).reshape(self._shape)


def _columns(parts: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The parts of each column, one after the other."""
    return [np.concatenate(one) for one in zip(*parts, strict=True)]


def _upper(place: int) -> float:
    """The upper edge of a bucket."""
    return 0.0 if place == 0 else math.exp((place + _LOWEST) * LOG_GAMMA)


def histogram(counts: Floats) -> LogHistogram:
    """The amounts of a row of `Compared.amounts` as a summary, without their sums."""
    made, used = LogHistogram(), np.flatnonzero(counts).tolist()
    pairs = [(ZERO_BUCKET if at == 0 else at + _LOWEST, int(counts[at])) for at in used]
    made.add(pairs, int(counts.sum()), 0, 0)
    return made

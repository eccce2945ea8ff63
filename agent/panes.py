"""Slices of request-start time: which pane a call falls in, and what a pane holds.

A pane row is one (pane, group) of one source partition; it holds a summary for each metric.
Rows merge by addition, so any number of workers in any order gives the same bytes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.buckets import Floats, Ints, Keys, dither_keys, dithered_bins, log_buckets, run_sums
from agent.catalog import metric_named
from agent.packing import pack_row, unpack_row
from agent.record import NOT_MEANT, Call
from agent.summaries import BoundedHistogram, Counts, LogHistogram, Summary

MINUTE_S = 60
HOUR_S = 3600
OTHER = "other"


class Group(NamedTuple):
    """Whom a series is about; `segment` is "" or one `key=value`, never a cross product."""

    service: str
    model: str
    variant: str
    segment: str = ""

    @property
    def beyond(self) -> "Group":
        """Where this group is folded beyond a cap: never a segment's calls, which stand in the
        model's own row too, among those of models."""
        key, declared, _ = self.segment.partition("=")
        return self._replace(model=OTHER, segment=f"{key}={OTHER}" if declared else "")


class RowKey(NamedTuple):
    """One pane of one group."""

    pane: int
    group: Group


@dataclass(frozen=True, slots=True)
class Column:
    """One metric over a batch of calls: values with NaN where missing, and why they are.

    `why` holds an index into `reasons` for each call; 0 means that nothing is missing.
    """

    metric: str
    values: Floats
    why: NDArray[np.int16]
    reasons: tuple[str, ...]


class Row:
    """What one pane row holds: how many calls by status and by the panel of scorers that read
    them, and a summary a metric."""

    __slots__ = ("calls", "panels", "summaries")

    def __init__(
        self,
        summaries: dict[str, Summary] | None = None,
        calls: Counts | None = None,
        panels: Counts | None = None,
    ) -> None:
        self.summaries: dict[str, Summary] = summaries if summaries is not None else {}
        self.calls = calls if calls is not None else Counts()
        self.panels = panels if panels is not None else Counts()

    def summary(self, metric: str) -> Summary:
        """The summary of a metric, empty where it was never counted."""
        found = self.summaries.get(metric)
        if found is None:
            amount = metric_named(metric).kind == "amount"
            found = LogHistogram() if amount else BoundedHistogram()
            self.summaries[metric] = found
        return found

    def merge(self, other: "Row") -> "Row":
        """Add another row's counts to this one."""
        self.calls.merge(other.calls)
        self.panels.merge(other.panels)
        for name, summary in other.summaries.items():
            if isinstance(summary, BoundedHistogram):
                self.bounded(name, summary.lower, summary.upper).merge(summary)
            else:
                own = self.summaries.setdefault(name, LogHistogram())
                assert isinstance(own, LogHistogram)
                own.merge(summary)
        return self

    def bounded(self, name: str, lower: float, upper: float) -> BoundedHistogram:
        """The summary of a bounded series, empty where it was never counted."""
        found = self.summaries.get(name)
        if found is None:
            found = self.summaries[name] = BoundedHistogram(lower, upper)
        assert isinstance(found, BoundedHistogram)
        return found

    def to_bytes(self) -> bytes:
        """Equal rows give equal bytes."""
        return pack_row(self.summaries, self.calls, self.panels)

    @classmethod
    def from_bytes(cls, blob: bytes) -> "Row":
        """Read what `to_bytes` wrote."""
        return cls(*unpack_row(blob))


def pane_of(at: float, width_s: int) -> int:
    """The start of the pane that holds a request start, in epoch seconds."""
    return int(at // width_s) * width_s


def is_late(at: float, arrival: float, width_s: int, lateness_s: float) -> bool:
    """Whether a record came after its pane's time was up: a property of the record alone."""
    return arrival > pane_of(at, width_s) + width_s + lateness_s


def is_left_out(at: float, arrival: float, closed: float, width_s: int, lateness_s: float) -> bool:
    """Whether a call stands beside its pane: it is late, or its pane is closed."""
    late = is_late(at, arrival, width_s, lateness_s)
    return late or pane_of(at, width_s) + width_s <= closed


def groups_of(call: Call, segments: Sequence[str]) -> list[Group]:
    """The group of a call and its declared segments, each a marginal of its own."""
    main = Group(call.service, call.model, call.variant)
    if not segments or not call.segment:
        return [main]
    held = dict(call.segment)
    return [main] + [main._replace(segment=f"{k}={held[k]}") for k in segments if k in held]


class PackedRow(NamedTuple):
    """A row as it is stored."""

    key: RowKey
    calls: int
    blob: bytes


class PaneBook:
    """The open pane rows of one source partition, as its only writer holds them.

    `_stored` has the bytes of the rows that are unpacked here and were written. Beyond 256 of
    them, those that a flush did not touch are kept as bytes only: unpacked a row is some 50 kB,
    packed 2 kB, and history replayed in one go opens thousands.
    """

    UNPACKED_MAX = 256

    def __init__(self, groups_max: int) -> None:
        self.groups_max = groups_max
        self.overflowed = 0
        self._rows: dict[RowKey, Row | bytes] = {}
        self._stored: dict[RowKey, bytes] = {}
        self._groups: dict[int, int] = {}
        self._dirty: set[RowKey] = set()

    def load(self, rows: Iterable[tuple[RowKey, bytes]]) -> None:
        """Start from the rows that the store holds."""
        for key, blob in rows:
            self._put(key, blob)

    def open(self, key: RowKey) -> Row:
        """The row to fold into; a group beyond the cap of its pane is folded into `other`."""
        if key not in self._rows and self._groups.get(key.pane, 0) >= self.groups_max:
            self.overflowed += 1
            key = key._replace(group=key.group.beyond)
        found = self._rows.get(key)
        row = found if isinstance(found, Row) else Row.from_bytes(found) if found else Row()
        self._put(key, row)
        self._dirty.add(key)
        return row

    def _put(self, key: RowKey, row: Row | bytes) -> None:
        if key not in self._rows:
            self._groups[key.pane] = self._groups.get(key.pane, 0) + 1
        self._rows[key] = row

    def take_dirty(self) -> list[tuple[RowKey, Row]]:
        """The rows that changed since the last time, in key order."""
        changed = sorted(self._dirty)
        self._dirty.clear()
        return [(key, row) for key in changed if isinstance(row := self._rows[key], Row)]

    def pack_dirty(self) -> list[PackedRow]:
        """The same, as they are to be stored."""
        packed = [
            PackedRow(key, row.calls.total(), row.to_bytes()) for key, row in self.take_dirty()
        ]
        touched = {one.key: one.blob for one in packed}
        self._stored |= touched
        if len(self._stored) > self.UNPACKED_MAX:
            for key in self._stored.keys() - touched.keys():
                self._rows[key] = self._stored.pop(key)
        return packed

    def drop_closed(self, closed_through: float, width_s: int) -> None:
        """Forget the rows of panes that are closed; the store has merged them."""
        for key in [key for key in self._rows if key.pane + width_s <= closed_through]:
            del self._rows[key]
            self._stored.pop(key, None)
            self._groups.pop(key.pane, None)

    def __len__(self) -> int:
        return len(self._rows)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each call of a batch is folded: pairs (row, call), sorted by row."""

    rows: list[Row]
    row_index: Ints
    call_index: Ints


def place(
    book: PaneBook,
    keys: Sequence[Sequence[RowKey]],
    statuses: Sequence[str | None],
    panel: str = "",
) -> Placement:
    """Open the rows of every call, count its status (if any) and the panel that scored it in
    them, and sort the pairs by row."""
    index: dict[RowKey, int] = {}
    rows: list[Row] = []
    pairs: list[tuple[int, int]] = []
    for call, (wanted, status) in enumerate(zip(keys, statuses, strict=True)):
        for key in wanted:
            at = index.get(key)
            if at is None:
                at = index[key] = len(rows)
                rows.append(book.open(key))
            if status is not None:
                rows[at].calls.add(status)
                rows[at].panels.add(panel)
            pairs.append((at, call))
    pairs.sort()
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Placement(rows, table[:, 0], table[:, 1])


def fold(placement: Placement, columns: Iterable[Column], events: Keys) -> None:
    """Add every column's values to the summaries of the rows, by numpy and not by the event."""
    for column in columns:
        values = column.values[placement.call_index]
        there = ~np.isnan(values)
        if there.any():
            bins = _bins(column, events)[placement.call_index][there]
            _fold_values(placement, column.metric, values[there], bins, placement.row_index[there])
        missing = column.why[placement.call_index] > 0
        if missing.any():
            _fold_missing(placement, column, missing)


def _bins(column: Column, events: Keys) -> Ints:
    held = np.nan_to_num(column.values)
    if metric_named(column.metric).kind == "amount":
        return log_buckets(held)
    return dithered_bins(held, dither_keys(events, column.metric), 0.0, 1.0)


def _fold_values(
    placement: Placement, metric: str, values: Floats, bins: Ints, row_index: Ints
) -> None:
    starts = np.flatnonzero(np.diff(row_index, prepend=-1))
    totals, squares = run_sums(values, starts), run_sums(values * values, starts)
    # One number for (row, bin), so that one unique() counts every row's bins; both parts fit 2^32.
    codes, counts = np.unique((row_index << 32) | (bins & 0xFFFFFFFF), return_counts=True)
    code_rows = codes >> 32
    first = [*np.searchsorted(code_rows, row_index[starts]).tolist(), len(codes)]
    low = (codes & 0xFFFFFFFF).astype(np.uint32).astype(np.int32).tolist()
    times = counts.tolist()
    sizes = np.diff(starts, append=len(row_index)).tolist()
    for i, row in enumerate(row_index[starts].tolist()):
        a, b = first[i], first[i + 1]
        pairs = zip(low[a:b], times[a:b], strict=True)
        placement.rows[row].summary(metric).add(pairs, sizes[i], totals[i], squares[i])


def _fold_missing(placement: Placement, column: Column, missing: NDArray[np.bool_]) -> None:
    meant = np.array([word != NOT_MEANT for word in column.reasons])[column.why]
    missing = missing & meant[placement.call_index]
    why = column.why[placement.call_index][missing].astype(np.int64)
    codes, counts = np.unique((placement.row_index[missing] << 16) | why, return_counts=True)
    for code, n in zip(codes.tolist(), counts.tolist(), strict=True):
        summary = placement.rows[code >> 16].summary(column.metric)
        summary.missing.add(column.reasons[code & 0xFFFF], n)

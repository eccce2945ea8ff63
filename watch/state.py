"""What the watch over a source knows: baselines, evidence, alarms, and how far it has seen.

Everything by series is a row of a table, so that 1,000 of them are read, moved on and written by
numpy. 2026-11-25: as JSON they took 30 ms to write and 40 ms to read while they learned.
"""

import json
from dataclasses import dataclass, field

import numpy as np

from agent.buckets import BINS, Ints
from agent.panes import HOUR_S
from watch.baseline import BAND, DAY, HEARD, LESSON, NO_BAND, Table, joined, split
from watch.detector import WAYS, Bands, Evidence
from watch.series import Name, Slots
from watch.shape import BASE

# A series out of its band: since when, and what was counted after the alarm; `n` and `total` are
# the newest calls, as many as tell whether it is back, `expected` the sum that was normal for all.
ALARM = np.dtype([
    *(("slot", "<i8"), ("began", "<i8"), ("onset", "<i8"), ("above", "?"), ("level", "<f8")),
    *(("counts", "<f8", (BINS + 1,)), ("n", "<f8"), ("total", "<f8"), ("expected", "<f8")),
])  # fmt: skip
# More models of one service than this are labels gone wrong.
_MODELS_MAX = 500
# Of a row of each part of the evidence.
_KINDS = tuple(np.dtype((kind, (WAYS,))) for kind in ("<f8", "<f8", "<i8"))


@dataclass(slots=True)
class Watch:
    """Every series of one source: `evidence` and `last` (the newest pane in which it had a value)
    by slot; `bands` by place, which is a slot, or an hour of the day of one where there are 24
    `hours`; `lessons` of places, `alarms` and `bases` of slots that have one, in their order.
    Bases are large and seldom change, so they are stored apart; `taught` says that they did.
    `models` has for each service the pane in which each of its models came first."""

    slots: Slots
    hours: int = 1
    evidence: Evidence = field(default_factory=lambda: Evidence.none(0))
    bands: Table = field(default_factory=lambda: np.zeros(0, BAND))
    last: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    lessons: Table = field(default_factory=lambda: np.zeros(0, LESSON))
    alarms: Table = field(default_factory=lambda: np.zeros(0, ALARM))
    bases: Table = field(default_factory=lambda: np.zeros(0, BASE))
    models: dict[str, dict[str, int]] = field(default_factory=dict)
    taught: bool = False
    reached: float = 0.0

    def grow(self) -> None:
        """Make room for the series that came."""
        new = len(self.slots.names) - len(self.last)
        if new:
            self.evidence = self.evidence.grown(new)
            self.bands = np.concatenate([self.bands, np.repeat(NO_BAND, new * self.hours)])
            self.last = np.concatenate([self.last, np.zeros(new, np.int64)])

    def note(self, service: str, model: str, pane: int) -> None:
        """A model of a service has calls in this pane."""
        known = self.models.setdefault(service, {})
        if len(known) < _MODELS_MAX:
            known.setdefault(model, pane)

    def deploys(self, service: str, onset: int) -> tuple[str, ...]:
        """The models of a service that came first within an hour before or since, but for those
        that it began with."""
        known = self.models.get(service, {})
        began = min(known.values(), default=0)
        return tuple(one for one, at in known.items() if began < at and onset - HOUR_S <= at)

    def places(self, slots: Ints, pane: int | Ints) -> Ints:
        """Where the bands of series stand that hold in a pane, or each in one of its own."""
        return slots * self.hours + pane // HOUR_S % self.hours

    def bands_of(self, slots: Ints, pane: int) -> Table:
        """The bands of series that hold in a pane."""
        return self.bands[self.places(slots, pane)]

    def limits(self, pane: int) -> Bands:
        """The bands that hold in a pane, as the detector takes them. [slots]"""
        held = self.bands[pane // HOUR_S % self.hours :: self.hours]
        return Bands(held["lower"], held["upper"], held["design_effect"])

    def to_bytes(self) -> bytes:
        """All but the bases; equal watches give equal bytes."""
        heard, days = split(self.lessons)
        tables = (*self.evidence, self.bands, self.last, heard, self.alarms)
        head = {
            "reached": self.reached,
            "hours": self.hours,
            "models": self.models,
            "names": self.slots.names,
            "beyond": sorted(self.slots.beyond),
            "silent": sorted(self.slots.silent),
            "rows": [len(table) for table in tables],
        }
        body = b"".join(one.tobytes() for one in (*tables, days))
        return b"\n".join([json.dumps(head).encode(), body])

    @classmethod
    def from_bytes(cls, data: bytes, bases: bytes, size: int) -> "Watch":
        """Read what `to_bytes` wrote, and the bases, for as many slots as there are now."""
        line, _, rest = data.partition(b"\n")
        head, at, tables = json.loads(line), 0, []
        kinds = (*_KINDS, BAND, np.dtype(np.int64), HEARD, ALARM)
        for kind, rows in zip(kinds, head["rows"], strict=True):
            tables.append(np.frombuffer(rest, kind, rows, at).copy())
            at += rows * kind.itemsize
        slots = Slots.restored(size, (Name(*one) for one in head["names"]))
        slots.beyond, slots.silent = ({Name(*o) for o in head[k]} for k in ("beyond", "silent"))
        log_m, recent, since, bands, last, heard, alarms = tables
        days = [np.frombuffer(rest, DAY, len(heard), at)] if at < len(rest) else []
        lessons = joined(heard, *days)
        evidence = Evidence(log_m, recent, since)
        held = np.frombuffer(bases, BASE).copy()
        models, reached = head.get("models", {}), head["reached"]
        made = cls(slots, head.get("hours", 1), evidence, bands, last, lessons, alarms, held)
        made.models, made.reached = models, reached
        return made

    def by_hour(self, hours: int) -> None:
        """Have a band for each of so many hours; other ones than before are learned anew."""
        if hours != self.hours:
            self.hours = hours
            self.bands = np.repeat(NO_BAND, len(self.slots.names) * hours)
            self.lessons, self.alarms = self.lessons[:0], self.alarms[:0]
            self.evidence = Evidence.none(len(self.slots.names))


def with_row(table: Table, row: Table) -> Table:
    """A table with more rows, in the order of slots."""
    both = np.concatenate([table, row])
    return both[np.argsort(both["slot"], kind="stable")]

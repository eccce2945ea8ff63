"""Good and bad calls of every service by objective: the last minutes, and the hours of a budget.

It is a cache of closed panes: filled from the store it is the same as one that has seen them close.
Windows end with a whole minute; those of a day and more begin with a whole hour.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.buckets import Bools, Floats, Ints
from agent.findings import Finding
from agent.packing import open_row
from agent.panes import HOUR_S, MINUTE_S
from agent.sla import WINDOWS_S, Objective
from agent.stacks import Stacks

_DAY_H = 24
# Longer windows are counted by the hour: 2026-11-25: with a day of minutes a ring was filled in
# twice the time.
_BY_MINUTE_S = 6 * HOUR_S
# And the hour that one look may see at once.
_MINUTES = (_BY_MINUTE_S + HOUR_S) // MINUTE_S
# Services beyond have no burn rates; a service takes 18 kB an objective, and 42 for a quarter.
_SERVICES_MAX = 200

# Pane, service, packed row.
Panes = Iterable[tuple[int, str, bytes]]
Name = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Ring:
    """Counts [services, objectives, time, (bad, total)] up to `end`, in epoch seconds; `hours`
    end where the hour of the last minute begins. `known` are the findings that are not over."""

    objectives: Mapping[str, Objective]
    end: int = 0
    version: int = 0
    services: list[str] = field(default_factory=list)
    minutes: Ints = field(init=False)
    hours: Ints = field(init=False)
    known: dict[Name, Finding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        longest = max((self.budget_h(one) for one in self.objectives.values()), default=0)
        longest = max(longest, WINDOWS_S[-1] // HOUR_S)
        self.minutes = np.zeros((0, len(self.objectives), _MINUTES, 2), np.int64)
        self.hours = np.zeros((0, len(self.objectives), longest, 2), np.int64)

    @staticmethod
    def budget_h(objective: Objective) -> int:
        """Hours of an objective's budget."""
        return round(objective.window_days * _DAY_H)

    @property
    def targets(self) -> Floats:
        """[objectives]."""
        return np.array([one.target for one in self.objectives.values()], np.float64)

    @property
    def hour(self) -> int:
        """The beginning of the hour that the last minute lies in."""
        return (self.end - MINUTE_S) // HOUR_S * HOUR_S

    @property
    def idle(self) -> bool:
        """Whether no window but the budget's holds a call."""
        days = self.hours[:, :, -WINDOWS_S[-1] // HOUR_S :]
        return not (self.minutes.any() or days.any())

    @property
    def begins(self) -> tuple[int, int]:
        """Where its minutes and its hours begin."""
        return self.end - _MINUTES * MINUTE_S, self.hour - self.hours.shape[2] * HOUR_S

    def fill(self, minutes: Panes, hours: Panes) -> None:
        """Start anew at the end, from all panes that it spans."""
        self.services, (first, hour) = [], self.begins
        self.hours = self._counted(hours, hour, HOUR_S, self.hours.shape[2])
        self.minutes = self._counted(minutes, first, MINUTE_S, _MINUTES)
        self._grow()

    def push(self, until: int, minutes: Panes) -> None:
        """See the minutes from the end until then, of one hour at most."""
        if self.end % HOUR_S == 0:
            self._end_hour()
        new = self._counted(minutes, self.end, MINUTE_S, (until - self.end) // MINUTE_S)
        self._grow()
        self.minutes = np.concatenate([self.minutes, new], 2)[:, :, -_MINUTES:]
        self.end = until

    def sums(self, window_s: int, count: int) -> Ints:
        """Of a window the counts at the last `count` minutes, [services, objectives, count, 2]."""
        if window_s > _BY_MINUTE_S:
            return self._long(window_s // HOUR_S, count, slice(None))
        return _windows(self.minutes, window_s // MINUTE_S, count)

    def budgets(self, count: int) -> Ints:
        """The counts of each objective's own period, like `sums`."""
        asked = enumerate(self.objectives.values())
        each = [self._long(self.budget_h(o), count, slice(at, at + 1)) for at, o in asked]
        return np.concatenate(each, 1)

    def _long(self, hours: int, count: int, whose: slice) -> Ints:
        """The last hours, the one that goes on included; all minutes lie in that one."""
        first = self.hours.shape[2] - (hours - 1)
        before = self.hours[:, whose, first:].sum(2, keepdims=True)
        within = (self.end - self.hour) // MINUTE_S
        sums = self.minutes[:, whose, -within:].cumsum(2)[:, :, -count:]
        found: Ints = before + sums
        return found

    def _end_hour(self) -> None:
        over = self.minutes[:, :, -60:].sum(2, keepdims=True)
        self.hours = np.concatenate([self.hours[:, :, 1:], over], 2)
        there: Bools = np.any(self.hours, (1, 2, 3)) | np.any(self.minutes, (1, 2, 3))
        if not there.all():
            self.services = [one for one, kept in zip(self.services, there, strict=True) if kept]
            self.minutes, self.hours = self.minutes[there], self.hours[there]

    def _counted(self, panes: Panes, first: int, step_s: int, count: int) -> Ints:
        """What panes hold, [services, objectives, count, 2]; a new service gets its place."""
        known, rows = {one: at for at, one in enumerate(self.services)}, []
        for row in panes:
            if row[1] in known or len(known) < _SERVICES_MAX:
                known.setdefault(row[1], len(known))
                rows.append(row)
        self.services = list(known)
        made = np.zeros((len(self.services), len(self.objectives), count, 2), np.int64)
        places = np.array([known[service] for _, service, _ in rows], np.int64)
        times = np.array([(pane - first) // step_s for pane, _, _ in rows], np.int64)
        for layer in Stacks([open_row(blob) for *_, blob in rows]).layers:
            for at, name in enumerate(self.objectives):
                if f"slo_{name}" in layer.names:
                    series = layer.names.index(f"slo_{name}")
                    where = places[layer.places], times[layer.places]
                    np.add.at(made[:, at, :, 0], where, layer.totals(series))
                    counts = layer.heads["n"][:, series].astype(np.int64)
                    np.add.at(made[:, at, :, 1], where, counts)
        return made

    def _grow(self) -> None:
        """Give services that came later a past without calls."""
        for part in ("minutes", "hours"):
            old = getattr(self, part)
            new = np.zeros((len(self.services) - len(old), *old.shape[1:]), np.int64)
            setattr(self, part, np.concatenate([old, new]))


def _windows(minutes: Ints, size: int, count: int) -> Ints:
    """Sums over so many minutes, at each of the last `count`."""
    sums = minutes[:, :, -(size + count) :].cumsum(2)
    found: Ints = sums[:, :, size:] - sums[:, :, :count]
    return found

"""What was read from the store before and is still true, so that a page reads only what is new."""

import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from abtest.keeping import current_run, lines_of
from abtest.line import Line
from abtest.run import Point
from agent.config import Config
from agent.sla import targeted
from agent.store import Transaction, reads, tickets, watches
from agent.store.findings import Kept, states_of
from consumers.server.points import Points
from consumers.server.recent import Recent
from consumers.server.shelf import Shelf
from watch.burn import read_ring
from watch.keeping import read_watch, rows_of
from watch.pace import Standing, standings
from watch.ring import Ring
from watch.state import Watch
from watch.trace import Trace, trace_burn, trace_drift

# Service, model, variant, metric.
Whose = tuple[str, str, str, str]
T = TypeVar("T")


class Memory:
    """Points, calls, the watched series by source, the rings of budgets, and what was concluded of
    what never changes; thread-safe."""

    def __init__(self) -> None:
        self.points, self.calls = Points(), Recent()
        self._lock = threading.Lock()
        self._rings: dict[str, Ring] = {}
        self._watches: dict[str, tuple[int | None, Watch | None, list[dict[str, Any]]]] = {}
        # A conclusion of a run of thousands of answers is some 100 kB and takes a second.
        self._conclusions, self._readouts, self._traces = Shelf(32), Shelf(32), Shelf(256)

    def series(self, tx: Transaction, config: Config) -> list[dict[str, Any]]:
        """Every series of every source, as `watch.keeping.rows_of` has it."""
        sources = sorted(reads.closed_times(tx)) if config.drift is not None else []
        return [row for one in sources for row in self._watch(tx, config, one)[1]]

    def _watch(
        self, tx: Transaction, config: Config, source: str
    ) -> tuple[Watch | None, list[dict[str, Any]]]:
        version = watches.version_of(tx, source)
        with self._lock:
            if source not in self._watches or self._watches[source][0] != version:
                watch = read_watch(tx, config, source)
                self._watches[source] = version, watch, [] if watch is None else rows_of(watch)
            return self._watches[source][1:]

    def budgets(self, tx: Transaction, config: Config) -> list[Standing]:
        """How every service stands with every objective that has a target."""
        if not targeted(config.slo):
            return []
        found = list[Standing]()
        with self._lock:
            for source in sorted(reads.closed_times(tx)):
                # What fails in the middle of a step must not be used again.
                ring = read_ring(tx, config, source, self._rings.pop(source, None))
                if ring is not None:
                    self._rings[source] = ring
                    found += standings(ring)
        return found

    def concluded(self, key: Hashable, conclude: Callable[[], T]) -> T:
        """What was concluded of what never changes."""
        return self._conclusions.get(key, conclude)

    def readout(
        self, tx: Transaction, config: Config, name: str, now: float
    ) -> tuple[list[Line], list[Point]]:
        """The lines of an experiment, and its primary metric against time, as of what is closed."""
        as_of = (*reads.closed_times(tx).items(), *tickets.paired_times(tx).items())
        as_of = (*as_of, *states_of(tx, "drift"))  # of the control, which the lines warn of

        def make() -> tuple[list[Line], list[Point]]:
            points = list[Point]()
            if config.experiments[name].design != "observational":
                points = current_run(tx, config, name, now).points
            return lines_of(tx, config, name, now), points

        return self._readouts.get((name, as_of), make)

    def trace(self, tx: Transaction, config: Config, one: Kept) -> Trace | None:
        """How the evidence of a finding came about; a drift's past does not change."""
        found, source = one.finding, one.source
        until = found.as_of if found.kind == "burn rate" else found.began

        def make() -> Trace | None:
            if found.kind == "burn rate":
                return trace_burn(tx, source, found)
            watch = self._watch(tx, config, source)[0] if config.drift is not None else None
            if watch is None:
                return None
            return trace_drift(tx, watch, source, found, config.panes.width_s)

        return self._traces.get((source, found.key, until), make)


def standing_of(series: Iterable[dict[str, Any]]) -> dict[Whose, dict[str, Any]]:
    """By (service, model, variant, metric), without segments, the state and the band of its mean;
    it rings where anything of it does."""
    found: dict[Whose, dict[str, Any]] = {}
    # Of a scorer that changed the newest version counts.
    for row in sorted(series, key=lambda row: row["last"] or 0):
        if row["segment"]:
            continue
        key = row["service"], row["model"], row["variant"], row["metric"]
        held = found.setdefault(key, {"state": "", "lower": None, "upper": None})
        if row["view"] in ("level", "rank") and held["state"] != "rings":
            held["state"] = row["state"]
        if row["view"] == "level":
            held |= {"lower": row["lower"], "upper": row["upper"]}
        if row["state"] == "rings":
            held["state"] = "rings"
    return found

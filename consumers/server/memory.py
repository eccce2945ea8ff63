"""What was read from the store before and is still true, so that a page reads only what is new."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from agent.config import Config
from agent.sla import targeted
from agent.store import Transaction, reads, watches
from consumers.server.points import Points
from watch.burn import read_ring
from watch.keeping import series_rows
from watch.pace import Standing, standings
from watch.ring import Ring

# Service, model, variant, metric.
Whose = tuple[str, str, str, str]
T = TypeVar("T")
# Conclusions that are remembered; one of a run of thousands of answers is some 100 kB.
_CONCLUSIONS = 32


class Memory:
    """Points, the watched series by source, the rings of budgets, and conclusions; thread-safe."""

    def __init__(self) -> None:
        self.points = Points()
        self._lock = threading.Lock()
        self._rings: dict[str, Ring] = {}
        self._series: dict[str, tuple[int | None, list[dict[str, Any]]]] = {}
        self._thinking = threading.Lock()
        self._concluded: OrderedDict[Hashable, Any] = OrderedDict()

    def series(self, tx: Transaction, config: Config) -> list[dict[str, Any]]:
        """Every series of every source, as `watch.keeping.series_rows` has it."""
        if config.drift is None:
            return []
        found = list[dict[str, Any]]()
        with self._lock:
            for source in sorted(reads.closed_times(tx)):
                version = watches.version_of(tx, source)
                if self._series.get(source, (-1, []))[0] != version:
                    self._series[source] = version, series_rows(tx, config, source)
                found += self._series[source][1]
        return found

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
        """What was concluded of what never changes, one at a time: it takes a second."""
        with self._thinking:
            if key not in self._concluded:
                self._concluded[key] = conclude()
            self._concluded.move_to_end(key)
            while len(self._concluded) > _CONCLUSIONS:
                self._concluded.popitem(last=False)
            found: T = self._concluded[key]
            return found


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

"""Keeping house between batches: ends, waiting halves, closing, retention."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from abtest.keeping import keep_experiments
from agent.config import Config
from agent.errors import StoreDown
from agent.intake import Reading
from agent.monitor import Fenced, Flush, Monitor
from agent.store import Store, closing, halves, positions, watches
from agent.store.positions import Attempt
from agent.store.writes import Position
from consumers.source import Partition, Source
from watch.fairness import keep_fairness, newest_hour
from watch.hours import Hours
from watch.keeping import keep_watch

_log = logging.getLogger("vedette.house")

_HOUSE_S = 1.0  # closing and lag are looked at this often
_PRUNE_S = 60.0
_CLOSE_S = 0.5  # a long history is closed in turns, between batches
_LEASE_S = 10.0  # a dead closer is replaced after this


class Listener:
    """Hears what the worker did; a subclass counts and publishes what it cares for."""

    def flushed(self, flush: Flush, waited_s: float) -> None:
        """A transaction was committed."""

    def lost(self, topic: str, records: int) -> None:
        """The broker had deleted records before they were read."""

    def fenced(self) -> None:
        """Another worker had moved a partition on."""

    def lag(self, partition: Partition, records: int) -> None:
        """So many records of a partition are unread."""

    def closed(self, source: str, through: float) -> None:
        """The panes of a source are closed up to a time."""

    def experiments(self, now: float) -> None:
        """The experiments were brought up to what is closed."""

    def found(self, findings: Sequence[Mapping[str, Any]]) -> None:
        """These findings began or ended, or ring since before this process began."""

    def resigned(self) -> None:
        """Another process closes panes now, and says what it sees in them."""

    def progress(self) -> None:
        """The loop came round."""

    def ready(self, state: bool, why: str) -> None:
        """The dependencies are there, or why not."""

    def house(self) -> None:
        """The house was kept."""


@dataclass(slots=True)
class Held:
    """A partition that we read: where it stands, and the crash that it may have caused."""

    position: Position
    generation: int
    suspect: Attempt | None = None


class House:
    """What one worker does besides its batches; `name` is who holds its leases."""

    def __init__(
        self,
        config: Config,
        store: Store,
        source: Source,
        monitor: Monitor,
        listener: Listener,
        name: str,
        clock: Callable[[], float],
    ) -> None:
        self.config, self.store, self.source = config, store, source
        self.monitor, self.listener, self.name = monitor, listener, name
        self._clock = clock
        self._next_house = self._next_prune = 0.0
        self._moved = True  # what was closed before this process began may not be counted yet
        # By source whether there may be panes to watch; at the start there may be.
        self._unwatched: dict[str, bool] = {}
        self._closes = self._rings_known = False
        # What gaps between segments are read from, and the hour that they were looked at last.
        self._hours = None if config.fairness is None else Hours(config)
        self._looked = 0

    def keep(self, held: Mapping[Partition, Held]) -> None:
        """Do what is due: note the ends, score halves that waited enough, close, prune."""
        if time.monotonic() < self._next_house:
            return
        self._next_house = time.monotonic() + _HOUSE_S
        self._note_tips(held)
        self._expire_halves(held, self._clock())
        self._close(held)
        self.listener.house()

    def _note_tips(self, held: Mapping[Partition, Held]) -> None:
        caught, at = [], 0.0
        for partition, tip in self.source.tips().items():
            if partition not in held:
                continue
            at_offset = held[partition].position.next
            self.listener.lag(partition, max(0, tip.end - at_offset))
            if at_offset >= tip.end:
                caught.append((*partition, at_offset))
                at = tip.at if not at else min(at, tip.at)
        if caught:
            with self.store.transaction() as tx:
                positions.mark_caught_up(tx, caught, at)

    def _expire_halves(self, held: Mapping[Partition, Held], before: float) -> None:
        readings = [Reading(one.position, one.position.next) for one in held.values()]
        if not readings or not self._halves_wait(held, before):
            return
        try:
            done = self.monitor.observe(readings, expire_before=before)
        except Fenced:
            self.listener.fenced()
            self.source.restart(list(held))
        else:
            self.listener.flushed(done, 0.0)

    def _halves_wait(self, held: Mapping[Partition, Held], before: float) -> bool:
        with self.store.transaction() as tx:
            return any(halves.expired(tx, h.position, before) for h in held.values())

    def _close(self, held: Mapping[Partition, Held]) -> None:
        now = self._clock()
        with self.store.transaction() as tx:
            closer = positions.take_lease(tx, "closer", self.name, now, _LEASE_S)
        if not closer:
            self._resign()
            return
        self._closes = True
        for source in sorted({one.position.source for one in held.values()}):
            self._close_source(source, now)
            self._watch(source, now)
        self._look(now)
        self._experiment(now)
        if time.monotonic() >= self._next_prune:
            with self.store.transaction() as tx:
                more = closing.prune(tx, self.config, now)
            self._next_prune = 0.0 if more else time.monotonic() + _PRUNE_S

    def _resign(self) -> None:
        """Forget what is true while we are the closer; when we are again, it is told anew."""
        if self._closes:
            self.listener.resigned()
            self._closes, self._rings_known, self._moved = False, False, True
            self._unwatched.clear()
            self._looked = 0

    def _close_source(self, source: str, now: float) -> None:
        """Close what may be closed, a bounded part a transaction, for half a second at the most."""
        until = time.monotonic() + _CLOSE_S
        while time.monotonic() < until:
            with self.store.transaction() as tx:
                through = closing.close_panes(tx, source, self.config, now)
            if through is None:
                return
            self._closed(source, through)

    def _closed(self, source: str, through: float) -> None:
        self._moved = self._unwatched[source] = True
        self.listener.closed(source, through)

    def _experiment(self, now: float) -> None:
        """Bring the experiments up to what was closed; an error in one costs the road nothing."""
        if not self._moved or not self.config.experiments:
            return
        try:
            with self.store.transaction() as tx:
                keep_experiments(tx, self.config, now)
            self.listener.experiments(now)
        except StoreDown:
            raise
        except Exception:
            _log.exception("experiments could not be brought up to date")
        self._moved = False

    def _watch(self, source: str, now: float, bound_s: float = _CLOSE_S) -> None:
        """See what was closed, a bounded part a transaction; an error costs the road nothing."""
        if self.config.drift is None or not self._unwatched.get(source, True):
            return
        until, found = time.monotonic() + bound_s, None
        try:
            self._tell_what_rings(self.config.drift.watched_series)
            while time.monotonic() < until:
                with self.store.transaction() as tx:
                    found = keep_watch(tx, self.config, source, now)
                if found is None:
                    break
                self.listener.found(found)
        except StoreDown:
            raise
        except Exception:
            _log.exception("the watch over %s could not be brought up to date", source)
            found = None
        self._unwatched[source] = found is not None

    def _look(self, now: float) -> None:
        """Look at the gaps once a closed hour; an error costs the road nothing."""
        if self._hours is None:
            return
        with self.store.transaction() as tx:
            newest = newest_hour(tx)
        if newest <= self._looked:
            return
        try:
            with self.store.transaction() as tx:
                keep_fairness(tx, self._hours, self._looked, newest, now)
        except StoreDown:
            raise
        except Exception:
            _log.exception("gaps between segments could not be brought up to date")
        self._looked = newest

    def _tell_what_rings(self, limit: int) -> None:
        if not self._rings_known:
            with self.store.transaction() as tx:
                rings = watches.all_findings(tx, limit, "firing")
            self.listener.found(rings)
            self._rings_known = True

    def finish(self, held: Mapping[Partition, Held], source: str) -> None:
        """The source has ended: score its waiting halves alone and close all of its panes."""
        self._expire_halves(held, float("inf"))
        with self.store.transaction() as tx:
            through = closing.finish_source(tx, source, self.config, self._clock())
        if through is not None:
            self._closed(source, through)
        self._watch(source, self._clock(), math.inf)
        self._look(self._clock())
        self._experiment(self._clock())

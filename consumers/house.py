"""Keeping house between batches: ends, waiting halves, closing, retention."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.config import Config
from agent.intake import Reading
from agent.monitor import Fenced, Monitor
from agent.record import Partition
from agent.store import Store, closing, halves, positions, reads, retention, tickets
from agent.store.positions import Attempt
from agent.store.writes import Position
from consumers.drawer import Drawer
from consumers.listener import Listener
from consumers.questions import TURN_S, Questions
from consumers.source import Source
from consumers.stride import Stride

_HOUSE_S = 1.0  # closing and lag are looked at this often
_PRUNE_S = 60.0
_LEDGER_S = 60.0  # reads one row a partition; a gap does not go away by itself
_LEASE_S = 10.0  # a dead closer is replaced after this


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
        self._next_house = self._next_prune = self._next_ledger = 0.0
        self._lags: set[Partition] = set()
        self._closes = False
        self._stride = Stride()
        self._questions = Questions(config, store)
        self._drawer = Drawer(config, store, listener)

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
        for partition in self._lags - held.keys():
            self.listener.lag(partition, None)
        self._lags &= held.keys()
        caught, at = [], 0.0
        for partition, tip in self.source.tips().items():
            if partition not in held:
                continue
            at_offset = held[partition].position.next
            self._lags.add(partition)
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
            self.listener.flushed(done)

    def _halves_wait(self, held: Mapping[Partition, Held], before: float) -> bool:
        with self.store.reading() as tx:
            return halves.any_due(tx, held, before)

    def _close(self, held: Mapping[Partition, Held]) -> None:
        now = self._clock()
        with self.store.transaction() as tx:
            closer = positions.take_lease(tx, "closer", self.name, now, _LEASE_S)
        if not closer:
            self._resign()
            return
        self._closes = True
        # Not only what this worker reads: one in reserve reads nothing, and closes all the same.
        named = {topic.source for topic in self.config.kafka.topics.values()}
        sources = sorted(named | {one.position.source for one in held.values()})
        for source in sources:
            self._close_source(source, now)
        self._questions.ask(sources, self.listener, now)
        self._check_ledger()
        if time.monotonic() >= self._next_prune:
            self._prune(now)
        self._drawer.keep()

    def _prune(self, now: float) -> None:
        """Delete what is old, a bounded part a transaction, for half a second at the most."""
        more, until = True, time.monotonic() + TURN_S
        while more and time.monotonic() < until:
            with self.store.transaction() as tx:
                more = retention.prune(tx, self.config, now)
        self._next_prune = 0.0 if more else time.monotonic() + _PRUNE_S

    def _check_ledger(self) -> None:
        if time.monotonic() >= self._next_ledger:
            self._next_ledger = time.monotonic() + _LEDGER_S
            with self.store.reading() as tx:
                gap, counts = reads.ledger(tx).gap, tickets.counts(tx, self._clock())
            self.listener.ledger(gap)
            self.listener.tickets(counts)

    def _resign(self) -> None:
        """Forget what is true while we are the closer; when we are again, it is told anew."""
        if self._closes:
            self.listener.resigned()
            self._closes, self._questions = False, Questions(self.config, self.store)
            self._next_ledger = 0.0

    def _close_source(self, source: str, now: float) -> None:
        """Close what may be closed, a bounded part a transaction, for half a second at the most."""
        until = time.monotonic() + TURN_S
        while time.monotonic() < until:
            with self._stride.take() as part, self.store.transaction() as tx:
                through = closing.close_panes(tx, source, self.config, now, part)
            if through is None:
                return
            self._closed(source, through)

    def _closed(self, source: str, through: float) -> None:
        self._questions.closed(source)
        self.listener.closed(source, through)

    def finish(self, held: Mapping[Partition, Held], source: str) -> None:
        """The source has ended: score its waiting halves alone and close all of its panes."""
        self._expire_halves(held, float("inf"))
        with self.store.transaction() as tx:
            through = closing.finish_source(tx, source, self.config, self._clock())
        if through is not None:
            self._closed(source, through)
        self._questions.ask([source], self.listener, self._clock(), math.inf)

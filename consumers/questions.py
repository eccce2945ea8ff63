"""What is asked of closed panes by the one process that closes them; an error in a question costs
the road nothing."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from abtest.concluding import keep_conclusions
from abtest.keeping import keep_experiments
from agent.config import Config
from agent.errors import StoreDown
from agent.findings import Finding
from agent.sla import targeted
from agent.store import Store
from agent.store.findings import all_findings
from consumers.listener import Listener
from consumers.stride import Stride
from watch.burn import keep_burn, ring_of
from watch.fairness import keep_fairness, newest_hour
from watch.hours import Hours
from watch.keeping import keep_watch
from watch.pace import standings
from watch.ring import Ring

_log = logging.getLogger("vedette.questions")

TURN_S = 0.5  # a long history is seen in turns, between batches


@contextmanager
def _harmless(what: str, *about: str) -> Iterator[None]:
    """Log an error and go on; only a store that is away ends the turn."""
    try:
        yield
    except StoreDown:
        raise
    except Exception:
        _log.exception(what, *about)


class Questions:
    """How far each question has seen; a process that begins to close panes asks from the start."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config, self.store = config, store
        self._moved = True  # what was closed before this process began may not be counted yet
        # By source whether there may be panes to watch; at the start there may be.
        self._unwatched: dict[str, bool] = {}
        self._seen, self._added = Stride(), Stride()  # by the watch, to experiments
        self._rings_known = False
        self._budgets: dict[str, Ring] = {}
        # What gaps between segments are read from, and the hour that they were looked at last.
        self._hours = None if config.fairness is None else Hours(config)
        self._looked = 0

    def closed(self, source: str) -> None:
        """Panes of a source were closed."""
        self._moved = self._unwatched[source] = True

    def ask(
        self, sources: Sequence[str], listener: Listener, now: float, bound_s: float = TURN_S
    ) -> None:
        """Bring every question up to what was closed, each for so long at the most."""
        for source in sources:
            self._watch(source, listener, now, bound_s)
            self._spend(source, listener, now, bound_s)
        self._look(now)
        self._experiment(listener, now, bound_s)
        self._tell(listener, now)

    def _experiment(self, hear: Listener, now: float, bound_s: float) -> None:
        """Bring the experiments up to what was closed; an error in one costs the road nothing."""
        if not self._moved:
            return
        until, more = time.monotonic() + bound_s, False
        with _harmless("experiments could not be brought up to date"):
            while self.config.experiments and time.monotonic() < until:
                with self._added.take() as part, self.store.transaction() as tx:
                    moved = keep_experiments(tx, self.config, now, part)
                if not moved:
                    break
            else:
                more = bool(self.config.experiments)
            hear.experiments(now)
            if not more:
                self._conclude(hear, now)
        self._moved = more

    def _conclude(self, hear: Listener, now: float) -> None:
        """Keep what experiments came to, and end what is of none that is configured."""
        with self.store.transaction() as tx:
            changed = keep_conclusions(tx, self.config, now)
        hear.concluded(changed)

    def _watch(self, source: str, hear: Listener, now: float, bound_s: float) -> None:
        """See what was closed, a bounded part a transaction; an error costs the road nothing."""
        if self.config.drift is None or not self._unwatched.get(source, True):
            return
        until, more = time.monotonic() + bound_s, False
        with _harmless("the watch over %s could not be brought up to date", source):
            self._tell_what_rings(hear, self.config.drift.watched_series)
            while time.monotonic() < until:
                with self._seen.take() as part, self.store.transaction() as tx:
                    found = keep_watch(tx, self.config, source, now, part)
                if found is None:
                    break
                hear.found(found)
            else:
                more = True
        self._unwatched[source] = more

    def _spend(self, source: str, hear: Listener, now: float, bound_s: float) -> None:
        """Bring burn rates up to what was closed, an hour a transaction; an error costs the road
        nothing."""
        if not targeted(self.config.slo):
            return
        until, changed = time.monotonic() + bound_s, list[Finding]()
        ring = self._budgets.pop(source, None) or ring_of(self.config)
        moved = not ring.end  # what was seen before this process began is shown too
        with _harmless("the budgets of %s could not be brought up to date", source):
            while time.monotonic() < until:
                with self.store.transaction() as tx:
                    found = keep_burn(tx, source, now, ring)
                if found is None:
                    break
                moved, changed = True, changed + found
            # After an error the ring may be ahead of the store: it is not kept, but filled again.
            self._budgets[source] = ring
            if moved:
                self._tell_budgets(hear, changed)

    def _tell_budgets(self, hear: Listener, changed: Sequence[Finding]) -> None:
        """What is live first: it is what a service that has a history too is shown by."""
        order = sorted(self._budgets, key=lambda source: (source in self.config.backfill, source))
        standing = [one for source in order for one in standings(self._budgets[source])]
        hear.burned(standing, changed)

    def _look(self, now: float) -> None:
        """Look at the gaps once a closed hour; an error costs the road nothing."""
        if self._hours is None:
            return
        with self.store.reading() as tx:
            newest = newest_hour(tx)
        if newest <= self._looked:
            return
        with (
            _harmless("gaps between segments could not be brought up to date"),
            self.store.transaction() as tx,
        ):
            keep_fairness(tx, self._hours, self._looked, newest, now)
        self._looked = newest

    def _tell_what_rings(self, hear: Listener, limit: int) -> None:
        if not self._rings_known:
            with self.store.reading() as tx:
                rings = all_findings(tx, limit, "firing", "drift")
            hear.found(rings)
            self._rings_known = True

    def _tell(self, hear: Listener, now: float) -> None:
        """Show and tell what is found; an error costs the road nothing."""
        with _harmless("findings could not be told"):
            hear.closes(now)

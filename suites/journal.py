"""The answers of one target in a run: those that the store has, and each as it comes."""

from collections.abc import Callable, Sequence

from agent.store import Store, evaluations
from agent.store.budgets import NOTHING
from agent.store.evaluations import Evaluation
from suites.answers import Given
from suites.keeping import given_of, row_of
from suites.purse import total


class Journal:
    """Answers by item in `there`; what is kept is in the store when `keep` returns.

    `asked` is the digest of the target: answers of another definition of it are not its own.
    With `again`, those that failed are forgotten, but not what they cost: `cost` is that of all
    that the target was ever asked in this run. `tell` hears how many are there.
    """

    def __init__(
        self, store: Store, run: Evaluation, target: str, asked: str, again: bool,
        now: Callable[[], float], tell: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._store, self._run, self._target, self.asked = store, run, target, asked
        self._now, self._tell = now, tell
        with store.transaction() as tx:
            rows = evaluations.answers_of(tx, run, target, asked)
            found = {item: given_of(item, row) for item, row in rows.items()}
            failed = {item for item, one in found.items() if again and one.answer.status != "ok"}
            evaluations.drop_answers(tx, run, target, sorted(failed))
            self.cost = evaluations.costs_of(tx, run).get(target, NOTHING)
        self.there = {item: one for item, one in found.items() if item not in failed}
        tell(len(self.there))

    def keep(self, given: Sequence[Given]) -> None:
        """Store answers; raises StoreDown, and BadConfig where the run is another's by now."""
        now, cost = self._now(), total(one.cost for one in given)
        with self._store.transaction() as tx:
            rows = {one.item: row_of(one) for one in given}
            evaluations.put_answers(tx, self._run, self._target, self.asked, rows, cost, now)
        self.cost = total([self.cost, cost])
        self.there |= {one.item: one for one in given}
        self._tell(len(self.there))

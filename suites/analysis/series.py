"""Which metrics of two runs are of one series: a changed scorer starts a new one."""

from collections.abc import Sequence
from typing import NamedTuple

from agent.record import NOT_MEANT
from suites.record import Run


class Change(NamedTuple):
    """A metric of a task that one scorer gave then and another gives now, by name and version;
    "" of a run that was kept without its scorers."""

    task: str
    metric: str
    then: str
    now: str


def changes_of(run: Run, earlier: Run) -> tuple[Change, ...]:
    """The metrics that both runs have and that cannot be compared."""
    both = _scored(run) & _scored(earlier)
    found = (Change(*key, earlier.scorers.get(key, ""), run.scorers.get(key, "")) for key in both)
    return tuple(sorted(one for one in found if one.then != one.now or not one.now))


def _scored(run: Run) -> set[tuple[str, str]]:
    return {
        (item.task, metric)
        for outcome in run.outcomes
        for metric, row in outcome.scores.items()
        for item, score in zip(run.items, row, strict=True)
        if score.why != NOT_MEANT
    }


def line_of(changes: Sequence[Change], earlier: str) -> str:
    """One line that names them, "" where there are none."""
    known = (f"{one.metric} ({one.then}, now {one.now})" for one in changes if one.then and one.now)
    untold = dict.fromkeys(one.metric for one in changes if not (one.then and one.now))
    parts = [*dict.fromkeys(known)]
    if untold:
        parts.append(f"{', '.join(untold)} (kept without what scored it)")
    return f"not comparable with {earlier}: {'; '.join(parts)}" if parts else ""

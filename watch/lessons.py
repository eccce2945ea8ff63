"""What series learn before they are watched: a band, and of an amount first what ranks are."""

from dataclasses import dataclass

import numpy as np

from agent.buckets import Bools, Ints
from agent.drift import Drift
from watch.baseline import LESSON, enough, hear, learn
from watch.budget import Budget
from watch.detector import Sample
from watch.sample import VOLUME, WEEK_S, Shares
from watch.shape import RARE, bases_of, has_shape
from watch.state import Watch, with_row


@dataclass(frozen=True, slots=True)
class Rules:
    """What is promised, and what the configuration says of baselines."""

    budget: Budget
    drift: Drift
    shares: Shares

    @property
    def hours(self) -> int:
        """How many bands a series has in a day."""
        return 24 if self.drift.by_hour else 1


def teach(watch: Watch, pane: int, sample: Sample, learners: Ints, rules: Rules) -> None:
    """Let series hear one pane, and end the lessons of those that heard enough."""
    at = listen(watch, pane, sample, learners)
    some, names = watch.lessons[at], [watch.slots.names[slot] for slot in learners.tolist()]
    volumes = are_volumes(watch, learners)
    rare = np.array([name.view == "tail" for name in names])
    calls = np.where(volumes, 0, np.where(rare, RARE, 1) * rules.drift.baseline_calls)
    done = enough(some, calls, np.where(volumes, WEEK_S, rules.drift.baseline_s))
    if done.any():
        end_lessons(watch, pane, some["slot"][done], rules)


def are_volumes(watch: Watch, slots: Ints) -> Bools:
    """Which series count the calls of a pane: each pane is one value of them."""
    names = watch.slots.names
    return np.array([names[slot].metric == VOLUME for slot in slots.tolist()], np.bool_)


def listen(watch: Watch, pane: int, sample: Sample, learners: Ints) -> Ints:
    """Let series hear one pane; where their lessons stand."""
    places = watch.places(learners, pane)
    new = np.setdiff1d(places, watch.lessons["slot"])
    if len(new):
        rows = np.zeros(len(new), LESSON)
        rows["slot"] = new
        watch.lessons = with_row(watch.lessons, rows)
    at = np.searchsorted(watch.lessons["slot"], places)
    some = watch.lessons[at]
    hear(some, pane, sample.of(learners))
    watch.lessons[at] = some
    return at


def end_lessons(watch: Watch, pane: int, places: Ints, rules: Rules) -> None:
    """What was learned is a band or, of an amount, what ranks are; those learn a band next."""
    at, slots = np.searchsorted(watch.lessons["slot"], places), places // watch.hours
    lessons, names = watch.lessons[at], [watch.slots.names[slot] for slot in slots.tolist()]
    based = np.isin(slots, watch.bases["slot"])
    first = np.array([has_shape(name) for name in names]) & ~based
    if first.any():  # one pane is of one hour, a period of many: the first will do
        of, which = np.unique(slots[first], return_index=True)
        new = bases_of(watch.slots, of, pane, lessons["counts"][first][which])
        watch.bases, watch.taught = with_row(watch.bases, new), True
    ranked = np.array([name.view == "rank" for name in names])
    banded = ~ranked | based
    # The bands of a series share what its baseline may miss.
    alpha, matters = rules.budget.baseline_alpha / rules.hours, rules.drift.matters
    watch.bands[places[banded]] = learn(lessons[banded], alpha, matters)
    watch.lessons = np.delete(watch.lessons, at)
    # What other hours heard of these were no ranks yet.
    stale = np.isin(watch.lessons["slot"] // watch.hours, slots[~banded])
    watch.lessons = watch.lessons[~stale]
    watch.grow()

"""How fast services spend their error budgets, as of the last minutes that a ring has seen."""

from dataclasses import dataclass

import numpy as np

from agent.buckets import Floats, Ints
from agent.durations import span
from agent.findings import State
from agent.sla import (
    CONDITIONS,
    FEWEST_CALLS,
    FEWEST_FAILURES,
    WINDOWS_S,
    Condition,
    budget_remaining,
    burn_rate,
    share_interval,
)
from watch.ring import Ring

# What a condition says, by number.
STATES: tuple[State, ...] = ("resolved", "firing", "insufficient data")


@dataclass(frozen=True, slots=True)
class Judged:
    """One condition at some minutes, [services, objectives, minutes]: the counts of its long
    window (bad, total), both burn rates, its states by number; its factors are by objective."""

    condition: Condition
    counts: Ints
    long: Floats
    short: Floats
    factors: Floats
    states: Ints


def judge(ring: Ring, one: Condition, count: int) -> Judged:
    """What a condition says at each of the last `count` minutes, of one hour."""
    counts = ring.sums(one.long_s, count)
    objectives = ring.objectives.values()
    factors = np.array([one.factor(o.window_days) for o in objectives], np.float64)
    bad, total = counts[..., 0], counts[..., 1]
    long, short = burns(ring, one.long_s, count), burns(ring, one.short_s, count)
    over = np.minimum(long, short) > factors[:, None]  # not where one is NaN
    enough = (total >= FEWEST_CALLS) & ~np.isnan(short)
    # At a factor of 1 a service at its target would come and go: chance must be excluded, too.
    told = (bad >= FEWEST_FAILURES) & (share_interval(bad, total)[0] > 1 - ring.targets[:, None])
    sure = enough & (told | ~over)
    states = np.where(sure, over.astype(np.int64), 2)
    return Judged(one, counts, long, short, factors, states)


def burns(ring: Ring, window_s: int, count: int) -> Floats:
    """The burn rates over a window, [services, objectives, count]; NaN without calls."""
    sums = ring.sums(window_s, count)
    return burn_rate(sums[..., 0], sums[..., 1], ring.targets[:, None])


@dataclass(frozen=True, slots=True)
class Standing:
    """How a service stands with one objective as of a minute; NaN where it has no calls.

    `bad` and `calls` are those of the objective's period, `burn_rates` are by window, `states` by
    condition.
    """

    service: str
    objective: str
    target: float
    window_days: float
    as_of: int
    bad: int
    calls: int
    budget_remaining: float
    burn_rates: dict[str, float]
    states: dict[str, State]

    @property
    def state(self) -> str:
        """The severity of the worst condition that rings, else "calm", or that none can tell."""
        ringing = [one.severity for one in CONDITIONS if self.states[one.name] == "firing"]
        untold = all(state == "insufficient data" for state in self.states.values())
        return ringing[0] if ringing else "insufficient data" if untold else "calm"


def standings(ring: Ring) -> list[Standing]:
    """Every service and objective as of the ring's end."""
    if not ring.services:
        return []
    rates = {span(one): burns(ring, one, 1)[:, :, 0].tolist() for one in WINDOWS_S}
    codes = {one.name: judge(ring, one, 1).states[:, :, 0].tolist() for one in CONDITIONS}
    counts = ring.budgets(1)[:, :, 0]
    left = budget_remaining(counts[..., 0], counts[..., 1], ring.targets)
    return [
        Standing(
            service, name, objective.target or 0.0, objective.window_days, ring.end,
            int(counts[s, o, 0]), int(counts[s, o, 1]), float(left[s, o]),
            {window: some[s][o] for window, some in rates.items()},
            {window: STATES[some[s][o]] for window, some in codes.items()},
        )
        for s, service in enumerate(ring.services)
        for o, (name, objective) in enumerate(ring.objectives.items())
    ]  # fmt: skip

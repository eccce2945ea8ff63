"""What is found of error budgets: each condition minute by minute, and its finding in words."""

import math
from dataclasses import dataclass

import numpy as np

from agent.buckets import Ints
from agent.durations import span
from agent.findings import Finding, Kind, step
from agent.panes import MINUTE_S
from agent.sla import CONDITIONS, budget_remaining, share_interval
from watch.pace import STATES, Judged, judge
from watch.ring import Name, Ring

KIND: Kind = "burn rate"


def look(ring: Ring, count: int) -> list[Finding]:
    """What is open after the last `count` minutes, all of one hour, and what ended in them."""
    found, budgets = list[Finding](), ring.budgets(count)
    for one in CONDITIONS:
        told = _Told(ring, judge(ring, one, count), budgets)
        rings = zip(*np.nonzero((told.judged.states == 1).any(2)), strict=True)
        places = {_name(ring, one.name, s, o): (s, o) for s, o in rings}
        for name in sorted({*places, *(name for name in ring.known if name[2][1] == one.name)}):
            place = places.get(name) or _place(ring, name)
            found += told.walk(name, *place) if place else [_gone(ring, name)]
    return found


def _name(ring: Ring, window: str, service: int, objective: int) -> Name:
    names = ring.services[service], list(ring.objectives)[objective]
    return (("service", names[0]), ("objective", names[1]), ("window", window))


def _place(ring: Ring, name: Name) -> tuple[int, int] | None:
    """The service and objective of a name, None where one is there no longer."""
    (_, service), (_, objective), _ = name
    if service not in ring.services or objective not in ring.objectives:
        return None
    return ring.services.index(service), list(ring.objectives).index(objective)


def _gone(ring: Ring, name: Name) -> Finding:
    """The end of what has no calls in its whole period, or is no objective any longer."""
    known = ring.known.pop(name)
    said = f"{_whose(name)} is asked no longer, or has no calls in its period"
    return Finding(KIND, name, "resolved", known.severity, known.began, ring.end, said)


def _whose(name: Name) -> str:
    return f"slo {name[1][1]} of {name[0][1]}"


@dataclass(frozen=True, slots=True)
class _Told:
    """A condition as it was judged, and the counts of the budgets at the same minutes."""

    ring: Ring
    judged: Judged
    budgets: Ints

    def walk(self, name: Name, s: int, o: int) -> list[Finding]:
        """One service and objective: what ended, then what is open."""
        found, count = list[Finding](), self.budgets.shape[2]
        now = self.ring.known.pop(name, None)
        for at in range(count):
            state = STATES[self.judged.states[s, o, at]]
            if now is None and state != "firing":
                continue
            if now is not None and state == now.state and at < count - 1:
                continue  # only its numbers differ, and the last ones count
            as_of = self.ring.end - (count - 1 - at) * MINUTE_S
            # The short window is what waits: a condition rings at once.
            now = step(now, self._seen(name, (s, o, at), as_of), 0.0)
            if now is not None and now.state == "resolved":
                found.append(now)
                now = None
        if now is not None:
            self.ring.known[name] = now
            found.append(now)
        return found

    def _seen(self, name: Name, place: tuple[int, int, int], as_of: int) -> Finding:
        judged, one = self.judged, self.judged.condition
        bad, total = judged.counts[place].tolist()
        lower, upper = map(float, share_interval(np.array(bad), np.array(total)))
        long, short = float(judged.long[place]), float(judged.short[place])
        target = float(self.ring.targets[place[1]])
        spent = self.budgets[place]
        left = budget_remaining(spent[0], spent[1], np.array(target))
        facts = {
            "target": target, "budget_remaining": float(left), "bad": bad, "total": total,
            f"burn_rate_{span(one.long_s)}": long, f"burn_rate_{span(one.short_s)}": short,
        }  # fmt: skip
        state, allowed = STATES[judged.states[place]], 1 - target
        said = f"{_whose(name)}: {total} calls in {span(one.long_s)} are too few to tell"
        if state != "insufficient data":
            said = (
                f"{_whose(name)}: {bad} of {total} calls in {span(one.long_s)} breached it,"
                f" {long:.1f} times as many as its target of {100 * target:g} % allows and"
                f" {short:.1f} times in {span(one.short_s)};"
                f" {float(left):.1%} of its budget is left"
            )
        return Finding(
            KIND, name, state, one.severity, 0, as_of, said, n=total, statistic=min(long, short),
            threshold=float(judged.factors[place[1]]),
            effect=bad / total - allowed if total else math.nan,
            lower=lower - allowed, upper=upper - allowed, facts=tuple(facts.items()),
        )  # fmt: skip

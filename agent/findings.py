"""What the monitor has to say: one type for drift, burn rates, gaps and experiments, and how its
state moves."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agent.buckets import event_key

State = Literal["pending", "firing", "resolved", "insufficient data", "could not tell"]
Severity = Literal["critical", "warning"]
Kind = Literal["drift", "burn rate", "fairness", "experiment", "sample ratio"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is, or was, not as it should be, with the numbers that a person needs.

    `name` are the labels that say what it is about, `began` the pane since which it holds and
    `as_of` the end of the newest closed pane, both in epoch seconds; `effect` has the interval
    (`lower`, `upper`); `facts` are what only its kind has. NaN is a number that is not known.
    """

    kind: Kind
    name: tuple[tuple[str, str], ...]
    state: State
    severity: Severity
    began: int
    as_of: int
    summary: str
    n: int = 0
    statistic: float = math.nan
    threshold: float = math.nan
    effect: float = math.nan
    lower: float = math.nan
    upper: float = math.nan
    facts: tuple[tuple[str, Any], ...] = field(default=())

    @property
    def key(self) -> bytes:
        """The identity of what is told: equal until it ends and begins anew."""
        return event_key(self.kind, *(part for pair in self.name for part in pair), str(self.began))


def step(known: Finding | None, seen: Finding, for_s: float) -> Finding | None:
    """What is known after a look, from what was known and what is seen; None when it is nothing.

    `seen.state` says what the look alone gave: "firing" where the condition holds, "resolved"
    where it does not, or why it gave nothing. A condition is pending until it held for `for_s`.
    What rang and cannot be told any longer says so, and is not called resolved.
    """
    if known is None or known.state == "resolved":
        if seen.state != "firing":
            return None
        return replace(seen, began=seen.as_of, state="pending" if for_s > 0 else "firing")
    if seen.state != "firing" and known.state == "pending":
        return None
    state: State = seen.state
    if known.state == "pending" and seen.as_of - known.began < for_s:
        state = "pending"
    return replace(seen, began=known.began, state=state)

"""What a judge has cost: questions, tokens and money."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.shadows import Price
from agent.store.budgets import Amount
from suites.judge.rubric import Rubric


@dataclass(frozen=True, slots=True)
class Spent:
    """Of one rubric and target; `usd` is None where the judge has no price.

    What no endpoint counted is taken at its worst.
    """

    calls: int
    tokens: int
    usd: float | None


def spent_measures(rubric: Rubric, spent: Amount, price: Price) -> dict[str, float]:
    """As measures of a target, from which `spent_of` reads them."""
    stem = f"{rubric.metric}_spent"
    found = {f"{stem}_calls": float(spent.calls), f"{stem}_tokens": float(spent.tokens)}
    if not price.free:
        found[f"{stem}_usd"] = spent.microusd / 1e6
    return found


def spent_of(rubric: Rubric, measures: Mapping[str, float]) -> Spent | None:
    """None of a run that was kept before this was counted."""
    stem = f"{rubric.metric}_spent"
    if f"{stem}_calls" not in measures:
        return None
    calls, tokens = (int(measures[f"{stem}_{unit}"]) for unit in ("calls", "tokens"))
    return Spent(calls, tokens, measures.get(f"{stem}_usd"))

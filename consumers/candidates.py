"""Where the candidates stand: their tickets, what is left to them, breakers and stops."""

from dataclasses import dataclass
from typing import Any

from agent.config import Config
from agent.store import Transaction, budgets


@dataclass(frozen=True, slots=True)
class CandidateState:
    """One candidate; `model` is None for one that is not configured any more.

    `stopped` says who did that, why and when, `breaker` its state, who saw it and when; `left` is
    what is left of each bound of its budget, `tickets` their numbers by state.
    """

    candidate: str
    model: str | None
    stopped: dict[str, Any] | None
    breaker: dict[str, Any] | None
    left: dict[str, float]
    tickets: dict[str, int]


def candidate_states(tx: Transaction, config: Config, now: float) -> list[CandidateState]:
    """Every candidate that is configured, and behind them others that were."""
    states, stops = budgets.tickets_by_state(tx), budgets.stopped(tx)
    breakers = budgets.all_breakers(tx)
    here = config.shadow.candidates if config.shadow is not None else {}
    gone = dict.fromkeys(sorted(budgets.known(tx) - set(here)))
    return [
        CandidateState(
            name,
            one.model if one else None,
            stops.get(name),
            breakers.get(name),
            budgets.left(tx, name, one.budget, now) if one else {},
            states.get(name, {}),
        )
        for name, one in {**here, **gone}.items()
    ]

"""What a suite asked, what was answered and how it scored: the types that its parts pass on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.record import Call, Score


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a suite.

    `call` is what is asked: a call of origin "dataset" without an answer, its `reference` and
    `contexts` filled in, its id unique in the suite. `facts` is what the checks of its task need
    beside the reference (the tests of a programme, a planted secret, an intent). `twin` is the id
    of the item that this one is a changed form of, and `change` what was changed.
    """

    call: Call
    task: str
    facts: Mapping[str, str] = field(default_factory=dict)
    twin: str | None = None
    change: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one target made of the items of a run, in their order.

    A call that was asked and failed has the status error or timeout; one that was not asked
    (over the cost cap, say) is None, and its scores are unscored with the reason. `measures` are
    of the run as a whole and not of an item, with the unit in their names.
    """

    target: str
    model: str
    calls: tuple[Call | None, ...]
    scores: Mapping[str, tuple[Score, ...]]
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation: every target answered the same items.

    `began` is in epoch seconds; `digest` is that of the suite and its items; `rejected` counts by
    task and reason the rows of the datasets that are no item; `scorers` names by task and metric
    the scorer, its version and the digest of its model. `weighing` is what the suite states of how
    metrics become one score (suites.analysis.weights), empty of a run that was kept without.
    """

    name: str
    began: float
    digest: str
    items: tuple[Item, ...]
    outcomes: tuple[Outcome, ...]
    rejected: Mapping[tuple[str, str], int] = field(default_factory=dict)
    scorers: Mapping[tuple[str, str], str] = field(default_factory=dict)
    weighing: Mapping[str, Any] = field(default_factory=dict)

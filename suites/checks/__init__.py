"""Checks: what a suite asks of an answer beyond the scorers of the stream; one registry."""

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.errors import BadConfig
from agent.record import NOT_MEANT, UNASKED, Call, Score, unscored
from agent.scoring import Options, Scorer
from agent.scoring import load as load_scorer
from suites.record import Item

# What a check gives for an item that it is not meant for, and for one that was never asked.
NOT_FOR_THIS, NOT_ASKED = unscored(NOT_MEANT), unscored(UNASKED)


def _unconfigured(name: str) -> Scorer:
    return load_scorer(name, Options())


@dataclass(frozen=True)
class Terms:
    """What a check is told: the scorer of a name as it is configured, what of an answer is
    matched with its reference (None: all), and that generated code may run behind weak walls."""

    scorer: Callable[[str], Scorer] = field(default=_unconfigured)
    extract: re.Pattern[str] | None = None
    weak_sandbox: bool = False


class Check(Protocol):
    """Checks the answers of one target; one `Score` for each item and metric, in their order.

    `metrics` names what it gives (each has a row in agent/catalog.py), `version` changes whenever
    the same answer could get another score. The call of an item is None when it was not asked.
    `check` never raises for a bad text: it says `unscored` with a reason, and `NOT_FOR_THIS` of an
    item that it is not meant for.
    """

    version: str
    metrics: tuple[str, ...]

    def check(
        self, items: Sequence[Item], calls: Sequence[Call | None]
    ) -> Mapping[str, Sequence[Score]]: ...


# The kinds of task, each with the checks that run over it; a task may name more.
KINDS: dict[str, tuple[str, ...]] = {
    "qa": (),
    "attack": ("attack",),
    "leakage": ("secret",),
    "bias": ("changes",),
    "customer": ("intent", "escalation", "satisfaction", "turns"),
    "code": ("code", "code_quality", "code_security"),
}

# What the checks of a kind need beside prompt, reference and contexts: the names of an item's
# facts, each the name of a field that a mapping may give a column.
FACTS: dict[str, tuple[str, ...]] = {
    "attack": ("technique", "harm"),
    "leakage": ("secret", "technique"),
    "bias": ("axis", "group"),
    "customer": ("intent", "reaction", "reply", "feedback", "rating"),
    "code": ("tests", "entry"),
}

# Where each check lives: adding one is its file and a line here.
_MODULES: dict[str, str] = {
    "attack": "suites.checks.attacks",
    "secret": "suites.checks.leaks",
    "changes": "suites.checks.changes",
    "intent": "suites.checks.intents",
    "escalation": "suites.checks.service",
    "satisfaction": "suites.checks.service",
    "turns": "suites.checks.turns",
    "code": "suites.checks.code",
    "code_quality": "suites.checks.linters",
    "code_security": "suites.checks.linters",
}

_FACTORIES: dict[str, Callable[[Terms], Check]] = {}


def check(name: str) -> Callable[[Callable[[Terms], Check]], Callable[[Terms], Check]]:
    """Register the factory of the check `name`."""

    def register(factory: Callable[[Terms], Check]) -> Callable[[Terms], Check]:
        _FACTORIES[name] = factory
        return factory

    return register


def of_task(kind: str, named: Sequence[str], probed: bool) -> tuple[str, ...]:
    """The checks of a task: those of its kind, that of its changed questions, those it names."""
    changes = ("changes",) if probed else ()
    return tuple(dict.fromkeys((*KINDS[kind], *changes, *named)))


def names() -> tuple[str, ...]:
    """Every check that a task can name."""
    return tuple(_MODULES)


def load(name: str, terms: Terms) -> Check:
    """Make a check ready to work; raises BadConfig when it is unknown or its model is away."""
    if name not in _MODULES:
        known = ", ".join(_MODULES) or "none"
        raise BadConfig(f"checks.{name}", f"unknown check; known are {known}")
    importlib.import_module(_MODULES[name])
    return _FACTORIES[name](terms)

"""Scorers: one Protocol, one registry; batches only."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.errors import BadConfig
from agent.record import Call, Score


class Scorer(Protocol):
    """Scores a batch of calls; one `Score` for each call and metric, in the order of the calls.

    `metrics` names what it gives (each has a row in the catalogue), `version` changes whenever
    the same text could get another score. `score` never raises for a bad text: it says
    `unscored` with a reason.
    """

    name: str
    version: str
    metrics: tuple[str, ...]

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]: ...


@dataclass(frozen=True)
class Options:
    """What a scorer may be told: where its model lies, and how many CPU threads it may use."""

    model: str | None = None
    sha256: str | None = None
    device: str = "auto"


# Where each scorer lives: adding one is its file and a line here.
_MODULES: dict[str, str] = {}

_FACTORIES: dict[str, Callable[[Options], Scorer]] = {}


def scorer(name: str) -> Callable[[Callable[[Options], Scorer]], Callable[[Options], Scorer]]:
    """Register the factory of the scorer `name`."""

    def register(factory: Callable[[Options], Scorer]) -> Callable[[Options], Scorer]:
        _FACTORIES[name] = factory
        return factory

    return register


def names() -> tuple[str, ...]:
    """Every scorer that can be configured."""
    return tuple(_MODULES)


def load(name: str, options: Options) -> Scorer:
    """Make a scorer ready to work; raises BadConfig when its model is not there."""
    if name not in _MODULES:
        raise BadConfig(f"scorers.{name}", f"unknown scorer; known are {', '.join(_MODULES)}")
    importlib.import_module(_MODULES[name])
    return _FACTORIES[name](options)

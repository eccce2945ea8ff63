"""Scorers: one Protocol, one registry; batches only."""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from agent.errors import BadConfig
from agent.record import Call, Score, unscored
from agent.scoring.engine import Engine, Want
from agent.scoring.folders import Source
from agent.scoring.int8 import Twins

T = TypeVar("T")


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


@runtime_checkable
class Reader(Protocol):
    """A scorer that asks models: it says beforehand which texts it will ask them for."""

    def wants(self, calls: Sequence[Call]) -> Sequence[Want]: ...


@dataclass(frozen=True)
class Options:
    """What a scorer may be told: where its model lies, and what runs it.

    `int8` are twins to run instead of models; by `bfloat16` a CPU runs them as a GPU does. `heads`
    is a file to read instead of the shipped heads; without `models` a rule that a model could
    refine does without.
    """

    model: str | None = None
    sha256: str | None = None
    device: str = "auto"
    baseline: str | None = None
    heads: Path | None = None
    models: bool = True
    int8: Twins | None = None
    bfloat16: bool = False
    engine: Engine = field(default_factory=Engine)

    def source(self, scorer: str) -> Source:
        """Where the model of the scorer of this name comes from."""
        return Source(scorer, self.model, self.sha256, self.device, self.int8, self.bfloat16)


# Where each scorer lives: adding one is its file and a line here.
_MODULES: dict[str, str] = {
    "refusal": "agent.scoring.refusal",
    "repetition": "agent.scoring.repetition",
    "readability": "agent.scoring.readability",
    "json_valid": "agent.scoring.json_valid",
    "language": "agent.scoring.language",
    "pii": "agent.scoring.pii",
    "secrets": "agent.scoring.secrets",
    "leakage": "agent.scoring.leakage",
    "matches": "agent.scoring.matches",
    "overlap": "agent.scoring.overlap",
    # Before those of embeddings: the mean of the states that it reads is one.
    "bertscore": "agent.scoring.bertscore",
    "relevance": "agent.scoring.relevance",
    "similarity": "agent.scoring.relevance",
    "novelty": "agent.scoring.novelty",
    "groundedness": "agent.scoring.groundedness",
    "toxicity": "agent.scoring.safety",
    "jailbreak": "agent.scoring.safety",
    "injection": "agent.scoring.safety",
    "context_injection": "agent.scoring.safety",
    "harm": "agent.scoring.safety",
    "consistency": "agent.scoring.consistency",
}

# Those that run a model, which costs a hundred times what a rule does.
READERS = frozenset(
    {"relevance", "similarity", "novelty", "groundedness", "bertscore", "consistency"}
    | {name for name, module in _MODULES.items() if module.endswith(".safety")}
)

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


def check_name(name: str) -> None:
    """Raise BadConfig for a name that no scorer has."""
    if name not in _MODULES:
        raise BadConfig(f"scorers.{name}", f"unknown scorer; known are {', '.join(_MODULES)}")


def load(name: str, options: Options) -> Scorer:
    """Make a scorer ready to work; raises BadConfig when its model is not there."""
    check_name(name)
    importlib.import_module(_MODULES[name])
    return _FACTORIES[name](options)


# A rule reads this much of a text: a longer one costs no more, and its start says what it is.
SCANNED_CHARS = 20_000
NO, YES = Score(0.0), Score(1.0)
NO_PROMPT, NO_RESPONSE = unscored("no_prompt"), unscored("no_response")
NO_REFERENCE = unscored("no_reference")
TOO_SHORT = unscored("too_short")


def of_prompts(calls: Sequence[Call], rule: Callable[[str], Score]) -> list[Score]:
    """The rule over every prompt's first `SCANNED_CHARS`; `no_prompt` where there is none."""
    return [NO_PROMPT if c.prompt is None else rule(c.prompt[:SCANNED_CHARS]) for c in calls]


def of_responses(calls: Sequence[Call], rule: Callable[[str], Score]) -> list[Score]:
    """The rule over every answer's first `SCANNED_CHARS`; `no_response` where there is none."""
    return [NO_RESPONSE if c.response is None else rule(c.response[:SCANNED_CHARS]) for c in calls]


def of_references(calls: Sequence[Call], rule: Callable[[str, str], T]) -> list[T | Score]:
    """The rule over every answer and its reference, or why there is none."""

    def one(call: Call) -> T | Score:
        if call.reference is None:
            return NO_REFERENCE
        if call.response is None:
            return NO_RESPONSE
        return rule(call.response[:SCANNED_CHARS], call.reference[:SCANNED_CHARS])

    return [one(call) for call in calls]


def bounded(value: float) -> Score:
    """A model's number as a score; one that is none, or outside [0, 1], is invalid."""
    if not math.isfinite(value):
        return Score(None, "invalid", "not_finite")
    if not 0.0 <= value <= 1.0:
        return Score(None, "invalid", "out_of_range")
    return Score(value)

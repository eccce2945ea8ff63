"""How likely a text is toxic, an attack, a refusal or help with harm: the shipped heads, or a
classifier that the configuration names for the role."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.errors import BadConfig
from agent.record import Call, Score, unscored
from agent.scoring import NO_PROMPT, NO_RESPONSE, TOO_SHORT, Options, bounded, scorer
from agent.scoring.classifiers import load_classifier
from agent.scoring.engine import Want
from agent.scoring.memory import Rows
from agent.scoring.models import Model, load_suite
from agent.scoring.relevance import windowed
from agent.scoring.sentences import sentence_windows
from agent.scoring.voices import last_voice


@dataclass(frozen=True, slots=True)
class Role:
    """What a head is asked: its metrics with the texts they read, and what other models call it.

    With `sentences` each sentence of a text is read too; `unless` names a label that, where the
    opening of a text has it, takes the chance away.
    """

    reads: tuple[tuple[str, Callable[[Call], tuple[str, ...] | None]], ...]
    labels: tuple[str, ...]
    sentences: bool = False
    unless: str | None = None


def _prompt(call: Call) -> tuple[str, ...] | None:
    return None if call.prompt is None else (call.prompt,)


def _response(call: Call) -> tuple[str, ...] | None:
    return None if call.response is None else (call.response,)


def _answer(call: Call) -> tuple[str, ...] | None:
    return None if call.response is None else (last_voice(call.response),)


def _contexts(call: Call) -> tuple[str, ...] | None:
    return call.contexts or None


ROLES: dict[str, Role] = {
    "toxicity": Role(
        (("prompt_toxicity", _prompt), ("response_toxicity", _response)), ("toxicity",)
    ),
    "jailbreak": Role((("prompt_jailbreak", _prompt),), ("jailbreak",)),
    "injection": Role((("prompt_injection", _prompt),), ("injection",)),
    "context_injection": Role((("context_injection", _contexts),), ("injection",), sentences=True),
    "harm": Role((("response_harm", _answer),), ("harm", "unsafe"), unless="refusal"),
}
_ABSENT = {"prompt": NO_PROMPT, "response": NO_RESPONSE, "context": unscored("no_context")}


class Safety:
    """The probability of one label, the worst window of a text counting."""

    def __init__(self, name: str, options: Options) -> None:
        self.name, self._role = name, ROLES[name]
        self.metrics = tuple(metric for metric, _ in self._role.reads)
        self._engine = options.engine
        self._model = load_role(name, options)
        labels = self._model.labels
        self._column = column(name, self._model, (name, *self._role.labels), options.model)
        unless = self._role.unless
        self._unless = labels.index(unless) if unless in labels else None
        self.version = f"5+{self._model.digest}"

    def wants(self, calls: Sequence[Call]) -> Sequence[Want]:
        """Every text that one of the metrics reads."""
        found = [text for _, read in self._role.reads for c in calls for text in read(c) or ()]
        return [Want(self._model, [part for text in found for part in self._parts(text)])]

    def _parts(self, text: str) -> list[str]:
        whole = [text] if text.strip() else []
        return [*whole, *sentence_windows(text)] if self._role.sentences else whole

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {
            metric: self._row(_ABSENT[metric.partition("_")[0]], [read(call) for call in calls])
            for metric, read in self._role.reads
        }

    def _row(self, absent: Score, found: Sequence[tuple[str, ...] | None]) -> list[Score]:
        parts = {text: self._parts(text) for texts in found for text in texts or ()}
        wanted = list(dict.fromkeys(part for some in parts.values() for part in some))
        given = dict(zip(wanted, self._engine.outputs(self._model, wanted), strict=True))
        row = []
        for texts in found:
            rows = [[given[part] for part in parts[text]] for text in texts or () if parts[text]]
            row.append(self._worst(rows) if rows else TOO_SHORT if texts else absent)
        return row

    def _worst(self, texts: Sequence[Sequence[Rows]]) -> Score:
        worst = max((self._chance(rows) for rows in texts), key=lambda x: (x != x, x))  # NaN first
        return windowed(bounded(worst), *(rows[0] for rows in texts))

    def _chance(self, rows: Sequence[Rows]) -> float:
        """Of a text's own rows and of those of its sentences; NaN where one of them is."""
        first = rows[0]
        chance = float(self._model.chances(first, self._column).max())
        if self._unless is not None:
            chance *= 1 - float(self._model.chances(first[:1], self._unless)[0])
        if len(rows) == 1:
            return chance
        # An order in a document shows in its own sentence, a table's cell only in its table.
        sentences = self._model.chances(np.concatenate(rows[1:]), self._column)
        return _mean_odds(chance, float(sentences.max()))


def _mean_odds(one: float, other: float) -> float:
    """The chance whose log-odds are the mean of theirs."""
    for_, against = math.sqrt(one * other), math.sqrt((1 - one) * (1 - other))
    return for_ / (for_ + against) if for_ + against else math.nan


def load_role(name: str, options: Options) -> Model:
    """The classifier that is configured for a role, or the shipped heads."""
    source = options.source(name)
    return load_classifier(source) if options.model else load_suite(source, options.heads)


def column(name: str, model: Model, known: Sequence[str], place: str | None) -> int:
    """Where the model of a place has one of the labels known; raises BadConfig when it has none."""
    for label in known:
        if label in model.labels:
            return model.labels.index(label)
    problem = f"{place or model.key} has no {known[0]} among {', '.join(model.labels)}"
    raise BadConfig(f"scorers.{name}.model", problem)


def _factory(name: str) -> Callable[[Options], Safety]:
    return lambda options: Safety(name, options)


for _name in ROLES:
    scorer(_name)(_factory(_name))

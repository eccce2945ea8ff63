"""How likely a text is toxic, an attack, a refusal or help with harm: the shipped heads, or a
classifier that the configuration names for the role."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.errors import BadConfig
from agent.record import Call, Score, unscored
from agent.scoring import NO_PROMPT, NO_RESPONSE, TOO_SHORT, Options, bounded, scorer
from agent.scoring.engine import Rows, Want
from agent.scoring.models import Model, load_classifier, load_suite
from agent.scoring.relevance import windowed
from agent.scoring.sentences import sentence_windows


@dataclass(frozen=True, slots=True)
class Role:
    """What a head is asked: its metrics with the texts they read, and what other models call it."""

    reads: tuple[tuple[str, Callable[[Call], tuple[str, ...] | None]], ...]
    labels: tuple[str, ...]


def _prompt(call: Call) -> tuple[str, ...] | None:
    return None if call.prompt is None else (call.prompt,)


def _response(call: Call) -> tuple[str, ...] | None:
    return None if call.response is None else (call.response,)


def _contexts(call: Call) -> tuple[str, ...] | None:
    # An order hides in a long document: its own sentence gives it away, the whole does not.
    return tuple(w for text in call.contexts for w in sentence_windows(text)) or None


ROLES: dict[str, Role] = {
    "toxicity": Role(
        (("prompt_toxicity", _prompt), ("response_toxicity", _response)), ("toxicity",)
    ),
    "jailbreak": Role((("prompt_jailbreak", _prompt),), ("jailbreak",)),
    "injection": Role((("prompt_injection", _prompt),), ("injection",)),
    "context_injection": Role((("context_injection", _contexts),), ("injection",)),
    "harm": Role((("response_harm", _response),), ("harm", "unsafe")),
}
_ABSENT = {"prompt": NO_PROMPT, "response": NO_RESPONSE, "context": unscored("no_context")}


class Safety:
    """The probability of one label, the worst window of a text counting."""

    def __init__(self, name: str, options: Options) -> None:
        self.name, self._role = name, ROLES[name]
        self.metrics = tuple(metric for metric, _ in self._role.reads)
        self._engine = options.engine
        source = options.source(name)
        self._model = load_classifier(source) if options.model else load_suite(source)
        self._column = _column(name, self._model, (name, *self._role.labels))
        self.version = f"2+{self._model.digest}"

    def wants(self, calls: Sequence[Call]) -> Sequence[Want]:
        """Every text that one of the metrics reads."""
        texts = [
            text for _, read in self._role.reads for call in calls for text in read(call) or ()
        ]
        return [Want(self._model, [text for text in texts if text.strip()])]

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {metric: self._row(metric, read, calls) for metric, read in self._role.reads}

    def _row(
        self,
        metric: str,
        read: Callable[[Call], tuple[str, ...] | None],
        calls: Sequence[Call],
    ) -> list[Score]:
        found = [read(call) for call in calls]
        texts = {text: None for some in found for text in some or () if text.strip()}
        given = dict(zip(texts, self._engine.outputs(self._model, list(texts)), strict=True))
        row = []
        for some in found:
            rows = [given[text] for text in some or () if text in given]
            if rows:
                row.append(windowed(self._worst(rows), *rows))
            else:
                row.append(TOO_SHORT if some else _ABSENT[metric.partition("_")[0]])
        return row

    def _worst(self, rows: Sequence[Rows]) -> Score:
        values = self._model.chances(np.concatenate(rows), self._column)
        return bounded(float(values.max()))  # NaN where one is NaN


def _column(name: str, model: Model, known: Sequence[str]) -> int:
    for label in known:
        if label in model.labels:
            return model.labels.index(label)
    raise BadConfig(f"scorers.{name}.model", f"has no {known[0]} among {', '.join(model.labels)}")


def _factory(name: str) -> Callable[[Options], Safety]:
    return lambda options: Safety(name, options)


for _name in ROLES:
    scorer(_name)(_factory(_name))

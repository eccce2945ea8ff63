"""How near an answer is in meaning to its prompt, or to its reference."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.record import Call, Score
from agent.scoring import NO_PROMPT, NO_REFERENCE, NO_RESPONSE, TOO_SHORT, Options, bounded, scorer
from agent.scoring.engine import Want
from agent.scoring.memory import Rows
from agent.scoring.models import load_embedder

# A cosine of 1 may come out a rounding error above it.
_ROUNDING = 1e-5


class Nearness:
    """Cosine similarity of the embeddings of two texts of a call, negative clipped to 0.

    The embedding of a text longer than the model reads is the mean of its windows'.
    """

    def __init__(self, name: str, metric: str, other: Literal["prompt", "reference"],
                 options: Options) -> None:  # fmt: skip
        self.name, self._metric, self._other = name, metric, other
        self.metrics: tuple[str, ...] = (metric,)
        self._engine = options.engine
        self._model = load_embedder(options.source(name))
        self.version = f"3+{self._model.digest}"

    def wants(self, calls: Sequence[Call]) -> Sequence[Want]:
        """Both texts of the calls that have them."""
        whole = [call for call in calls if self._missing(call) is None]
        texts = [text for call in whole for text in (self._first(call) or "", call.response or "")]
        return [Want(self._model, texts, embedding=True)]

    def _first(self, call: Call) -> str | None:
        return call.prompt if self._other == "prompt" else call.reference

    def _missing(self, call: Call) -> Score | None:
        first = self._first(call)
        if first is None:
            return NO_PROMPT if self._other == "prompt" else NO_REFERENCE
        if call.response is None:
            return NO_RESPONSE
        return None if first.strip() and call.response.strip() else TOO_SHORT

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        row = [self._missing(call) or Score(0.0) for call in calls]
        whole = [at for at, score in enumerate(row) if score.status == "ok"]
        texts = self.wants(calls)[0].texts
        given = self._engine.embeddings(self._model, texts)
        for at, prompt, response in zip(whole, given[::2], given[1::2], strict=True):
            score = _similarity(float(mean_embedding(prompt) @ mean_embedding(response)))
            row[at] = windowed(score, prompt, response)
        return {self._metric: row}


def mean_embedding(rows: Rows) -> NDArray[np.float32]:
    """One unit embedding [width] of a text's windows [windows, width]."""
    mean: NDArray[np.float32] = rows.mean(0)
    return mean / np.float32(np.linalg.norm(mean) or 1)


def windowed(score: Score, *outputs: Rows) -> Score:
    """The score with a flag that a text was read in more than one window."""
    return flagged(score, any(len(rows) > 1 for rows in outputs))


def flagged(score: Score, long: bool) -> Score:
    """The score with that flag where a text was too `long`, as long as there is a score."""
    return Score(score.value, "ok", "windows") if long and score.status == "ok" else score


def _similarity(cosine: float) -> Score:
    clipped = max(cosine, 0.0) if cosine >= -1 - _ROUNDING else cosine
    return bounded(min(clipped, 1.0) if clipped <= 1 + _ROUNDING else clipped)


@scorer("relevance")
def relevance(options: Options) -> Nearness:
    """Answer and prompt."""
    return Nearness("relevance", "response_relevance", "prompt", options)


@scorer("similarity")
def similarity(options: Options) -> Nearness:
    """Answer and reference."""
    return Nearness("similarity", "similarity", "reference", options)

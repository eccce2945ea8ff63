"""Whether the sentences of an answer are supported by the documents that it was given."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.record import Call, Score, unscored
from agent.scoring import NO_RESPONSE, TOO_SHORT, Options, bounded, scorer
from agent.scoring.classifiers import load_classifier
from agent.scoring.engine import Want
from agent.scoring.models import load_embedder
from agent.scoring.relevance import flagged, mean_embedding, windowed
from agent.scoring.safety import column
from agent.scoring.sentences import fitting_windows, sentence_windows
from agent.scoring.vocabulary import Text

# What a cross-encoder may call its output for "the document supports it".
_SUPPORTED = ("entailment", "entail", "supported", "supports", "consistent")
# The second of two that have no names; of three it is mostly "neutral".
_SECOND = ("label_1", "output_1", "1")
# A claim often rests on two sentences of a document.
_CONTEXT_SENTENCES = 2


class _Parts(NamedTuple):
    """An answer's sentences, the windows of its contexts, and whether a sentence of either was cut
    or left out."""

    sentences: Sequence[str]
    windows: Sequence[str]
    cut: bool = False

    def pairs(self) -> list[tuple[str, str]]:
        """Each sentence with each window."""
        return [(window, sentence) for sentence in self.sentences for window in self.windows]


@scorer("groundedness")
class Groundedness:
    """Mean over the answer's sentences of their best support in the contexts.

    With the embedded model support is the share of the sentence's words that stand in the
    contexts, or its cosine with a window of theirs where that is more: a paraphrase has other
    words. With a configured cross-encoder it is the probability of its supported label; a window
    and a sentence together have no more tokens than it reads.

    2026-11-24, HaluEval QA (1,487 answers; length alone .04): cosine with windows of 1, 2, 3
    sentences .324, .287, .267; its mean with the share of words .687; the larger of them .913.
    """

    name = "groundedness"
    metrics: tuple[str, ...] = ("response_groundedness",)

    def __init__(self, options: Options) -> None:
        self._engine, source = options.engine, options.source(self.name)
        self._pairs = options.model is not None
        self._model = load_classifier(source, pairs=True) if self._pairs else load_embedder(source)
        columns = self._model.columns if self._pairs else 1
        known = (*_SUPPORTED, *_SECOND) if columns == 2 else _SUPPORTED
        several = columns > 1
        self._column = column(self.name, self._model, known, options.model) if several else 0
        self.version = f"{4 if self._pairs else 3}+{self._model.digest}"

    def wants(self, calls: Sequence[Call]) -> Sequence[Want]:
        """Every sentence and window, or every pair of them for a cross-encoder."""
        return [self._want([self._parts(call) for call in calls])]

    def _want(self, found: Sequence[_Parts | Score]) -> Want:
        there = [parts for parts in found if isinstance(parts, _Parts)]
        return Want(self._model, list(chain.from_iterable(map(self._texts, there))))

    def _texts(self, parts: _Parts) -> Sequence[Text]:
        return parts.pairs() if self._pairs else [*parts.sentences, *parts.windows]

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        found = [self._parts(call) for call in calls]
        self._engine.prepare([self._want(found)])
        row = [one if isinstance(one, Score) else self._support(one) for one in found]
        return {"response_groundedness": row}

    def _support(self, parts: _Parts) -> Score:
        made = self._engine.outputs(self._model, self._texts(parts))
        count = len(parts.sentences)
        if self._pairs:
            supported = self._model.chances(np.concatenate(made), self._column)
            support = supported.reshape(count, len(parts.windows))
        else:
            heads = len(self._model.labels)
            rows = np.stack([mean_embedding(one[:, heads:]) for one in made])
            cosines = np.clip(rows[:count] @ rows[count:].T, 0.0, 1.0)
            support = np.maximum(cosines, _shares(parts)[:, None])
        return flagged(windowed(bounded(float(support.max(1).mean())), *made), parts.cut)

    def _parts(self, call: Call) -> _Parts | Score:
        """What is read of a call, or why there is nothing to be read."""
        if call.response is None:
            return NO_RESPONSE
        if not call.contexts:
            return unscored("no_context")
        parts = (self._fitted if self._pairs else _plain)(call.response, call.contexts)
        return parts if parts.sentences and parts.windows else TOO_SHORT

    def _fitted(self, response: str, contexts: Sequence[str]) -> _Parts:
        """Windows that fit beside the longest sentence, which has half the room at most."""
        words = self._model.vocabulary
        room = words.room_of_pairs(self._model.max_tokens)
        count = partial(words.counts, most=room)
        sentences, cut = fitting_windows(response, 1, room // 2, count)
        room -= max(count(sentences), default=0)
        fitted = [fitting_windows(text, _CONTEXT_SENTENCES, room, count) for text in contexts]
        windows = [window for one in fitted for window in one.windows]
        return _Parts(sentences, windows, cut or any(one.cut for one in fitted))


def _plain(response: str, contexts: Sequence[str]) -> _Parts:
    found = [w for text in contexts for w in sentence_windows(text, _CONTEXT_SENTENCES)]
    return _Parts(sentence_windows(response), found)


def _shares(parts: _Parts) -> NDArray[np.float64]:
    there = {word for window in parts.windows for word in _words(window)}
    found = [[word in there for word in _words(sentence)] for sentence in parts.sentences]
    return np.array([sum(one) / max(len(one), 1) for one in found])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())

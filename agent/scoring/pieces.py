"""Windows of texts on their way to a model: in chunks from the tokeniser, in packs by tokens."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.scoring.vocabulary import Tokens

# A chunk is tokenised while packs of the one before it are computed.
_CHUNK_TEXTS = 512


@dataclass(frozen=True, slots=True)
class Pieces:
    """Windows of texts: the place of the text that each is of, its tokens and their number."""

    texts: list[int]
    tokens: list[Tokens]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[int], windows: Iterable[Sequence[Tokens]]) -> "Pieces":
        """Of the windows of each text, by length."""
        owners, tokens = list[int](), list[Tokens]()
        for text, some in zip(texts, windows, strict=True):
            for one in some:
                owners.append(text)
                tokens.append(one)
        lengths = np.fromiter((len(one.ids) for one in tokens), np.int64, len(tokens))
        return cls(owners, tokens, lengths)._sorted()

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, part: slice) -> "Pieces":
        return Pieces(self.texts[part], self.tokens[part], self.lengths[part])

    def __add__(self, more: "Pieces") -> "Pieces":
        """Both, by length."""
        lengths = np.concatenate([self.lengths, more.lengths])
        return Pieces(self.texts + more.texts, self.tokens + more.tokens, lengths)._sorted()

    def _sorted(self) -> "Pieces":
        order = np.argsort(self.lengths, kind="stable")
        places = order.tolist()
        texts, tokens = self.texts, self.tokens
        return Pieces([texts[at] for at in places], [tokens[at] for at in places],
                      self.lengths[order])  # fmt: skip


def chunks(order: Sequence[int]) -> list[Sequence[int]]:
    """Places in chunks; a model waits for the first ones, which are smaller."""
    made, at, size = list[Sequence[int]](), 0, _CHUNK_TEXTS // 8
    while at < len(order):
        made.append(order[at : at + size])
        at, size = at + size, min(2 * size, _CHUNK_TEXTS)
    return made


def packs(some: Iterable[Pieces], budget: Callable[[], int]) -> Iterator[tuple[Pieces, float]]:
    """Pieces by length, in packs of no more tokens than the budget unless one alone has more; and
    when the last of a pack was ready."""
    left, ready = Pieces([], [], np.zeros(0, np.int64)), 0.0
    for pieces in some:
        ready, left = time.perf_counter(), left + pieces
        while (fit := _fit(left, budget())) < len(left):
            yield left[:fit], ready
            left = left[fit:]
    if left:
        yield left, ready


def _fit(pieces: Pieces, most: int) -> int:
    """How many of the first have no more tokens than `most`, or the first alone."""
    return max(int(np.searchsorted(np.cumsum(pieces.lengths), most, "right")), 1)

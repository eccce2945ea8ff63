"""A text in windows of sentences, so that what stands in one of them is not averaged away."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

# Ends of sentences, lines, and the bars between the cells of a table.
_END = re.compile(r"(?<=[.!?])\s+|\n+|\s\|\s?")
# A document of more windows is read in this many wider ones: none of its sentences is left out.
_MOST = 64
# What is remembered of a text holds it in memory.
_KEPT_CHARS = 8_192

# The tokens of each text.
Count = Callable[[Sequence[str]], Sequence[int]]


class Fitted(NamedTuple):
    """Windows of a text, and whether a sentence of it was cut or left out."""

    windows: Sequence[str]
    cut: bool = False


def sentence_windows(text: str, size: int = 1) -> tuple[str, ...]:
    """Neighbouring sentences, `size` a window, or more where 64 windows would not hold them all."""
    windows = _windows if len(text) <= _KEPT_CHARS else _windows.__wrapped__
    return windows(text, size)


def fitting_windows(text: str, size: int, most: int, count: Count) -> Fitted:
    """The `sentence_windows` of a text where none has more tokens than `most`; else narrower ones
    of which none has, spread from its start to its end where 64 do not hold it."""
    windows = sentence_windows(text, size)
    # A text of ASCII has no more tokens than characters, and one at its start.
    open_ = [one for one in windows if len(one) >= most or not one.isascii()]
    if not open_ or max(count(open_)) <= most:
        return Fitted(windows)
    sentences = _sentences(text)
    pieces = [
        piece
        for one, tokens in zip(sentences, count(sentences), strict=True)
        for piece in ([one] if tokens <= most else _pieces(one, most, count))
    ]
    counts = count(pieces)
    windows = _packed(pieces, counts, max(size, _wide(sentences)), most)
    if len(windows) > _MOST:
        windows = _packed(pieces, counts, len(pieces), most)
    last = len(windows) - 1
    if last < _MOST:
        return Fitted(windows, len(pieces) > len(sentences))
    return Fitted([windows[at * last // (_MOST - 1)] for at in range(_MOST)], cut=True)


@lru_cache(1024)  # a batch's answers and their contexts are split twice or three times
def _windows(text: str, size: int) -> tuple[str, ...]:
    parts = _sentences(text)
    size = max(size, _wide(parts))
    return tuple(" ".join(parts[at : at + size]) for at in range(0, len(parts), size))


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _END.split(text) if part.strip()]


def _wide(sentences: Sequence[str]) -> int:
    """How many of them a window holds where 64 hold them all."""
    return -(-len(sentences) // _MOST)


def _pieces(text: str, most: int, count: Count) -> list[str]:
    """A text, or its halves until each fits, cut at spaces where there are some."""
    if len(text) < 2 or count([text])[0] <= most:
        return [text]
    middle = len(text) // 2
    at = max(text.rfind(" ", middle // 2, middle), 0) or middle
    halves = text[:at].strip(), text[at:].strip()
    return [piece for half in halves for piece in _pieces(half, most, count)]


def _packed(pieces: Sequence[str], counts: Sequence[int], size: int, most: int) -> tuple[str, ...]:
    """Neighbours together, at most `size` and of at most so many tokens."""
    windows, used = list[list[str]](), 0
    for piece, tokens in zip(pieces, counts, strict=True):
        if not windows or len(windows[-1]) == size or used + tokens > most:
            windows.append([])
            used = 0
        windows[-1].append(piece)
        used += tokens + 1  # a word may have a token more behind a space
    return tuple(" ".join(one) for one in windows)

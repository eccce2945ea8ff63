"""A text in windows of sentences, so that what stands in one of them is not averaged away."""

import re
from functools import lru_cache

# Ends of sentences, lines, and the bars between the cells of a table.
_END = re.compile(r"(?<=[.!?])\s+|\n+|\s\|\s?")
# A document of more windows is read in this many wider ones: none of its sentences is left out.
_MOST = 64
# What is remembered of a text holds it in memory.
_KEPT_CHARS = 8_192


def sentence_windows(text: str, size: int = 1) -> tuple[str, ...]:
    """Neighbouring sentences, `size` a window, or more where 64 windows would not hold them all."""
    windows = _windows if len(text) <= _KEPT_CHARS else _windows.__wrapped__
    return windows(text, size)


@lru_cache(1024)  # a batch's answers and their contexts are split twice or three times
def _windows(text: str, size: int) -> tuple[str, ...]:
    parts = [part.strip() for part in _END.split(text) if part.strip()]
    size = max(size, -(-len(parts) // _MOST))
    return tuple(" ".join(parts[at : at + size]) for at in range(0, len(parts), size))

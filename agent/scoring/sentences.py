"""A text in windows of sentences, so that what stands in one of them is not averaged away."""

import re

# Ends of sentences, lines, and the bars between the cells of a table.
_END = re.compile(r"(?<=[.!?])\s+|\n+|\s\|\s?")
# A document of more windows is read in this many, spread from its start to its end.
_MOST = 64


def sentence_windows(text: str, size: int = 1) -> list[str]:
    """Neighbouring sentences, `size` a window, at most 64 windows of a text."""
    parts = [part.strip() for part in _END.split(text) if part.strip()]
    windows = [" ".join(parts[at : at + size]) for at in range(0, len(parts), size)]
    if len(windows) <= _MOST:
        return windows
    return [windows[at * (len(windows) - 1) // (_MOST - 1)] for at in range(_MOST)]

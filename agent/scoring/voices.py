"""An answer in the voice that counts: the last of those that speak in it."""

import re
from functools import lru_cache

# [Classic] or (Developer output) before what that voice says; or a name, a colon, and what it
# says in a paragraph of its own, but for the words that are headings rather than names.
_TAG = re.compile(
    r"^\W{0,2}[\[(\u3010][^\[\]()\n]{1,40}[\])\u3011]\W{0,2}(?=.)"
    r"|(?:\A|(?<=\n\n))\W{0,3}(?!Note|Warn|Discl|Tip|Exam|Inst|Res|Step|Title)"
    r"[A-Z]\w*(?:,? \w+){0,4}: ?(?=.)",
    re.M,
)
# Less than that is a link or a number, and nobody's answer.
_SHORT = 40
# What is remembered of a text holds it in memory.
_KEPT_CHARS = 8_192


def last_voice(text: str) -> str:
    """What the last voice says; the text itself where only one speaks.

    A model that was told to answer as itself and as somebody without rules declines in the first
    voice and helps in the second.
    """
    begin = _begin if len(text) <= _KEPT_CHARS else _begin.__wrapped__
    voice = text[begin(text) :]
    return voice if len(voice) >= _SHORT else text


@lru_cache(256)  # an answer's is asked for five times within a batch
def _begin(text: str) -> int:
    return max((tag.end() for tag in _TAG.finditer(text)), default=0)

"""How easily an answer reads."""

from collections.abc import Mapping, Sequence

from agent.record import Call, Score, unscored
from agent.scoring import TOO_SHORT, Options, of_responses, scorer
from agent.scoring.languages import language_of

_LEAST_WORDS = 5
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _classes(default: str, **members: str) -> bytes:
    table = bytearray(default.encode() * 256)
    for name, letters in members.items():
        for letter in letters.encode():
            table[letter] = ord(name)
    return bytes(table)


_VOWELS = _classes(" ", v="aeiouy")
_SOUNDS = _classes(" ", c=_LETTERS, v="aiouy", e="e", l="l")
# w letter or digit, . end of a sentence, space, x what may stand behind an end ('end."').
_SHAPES = _classes("x", w=_LETTERS + "0123456789", **{".": ".!?\n", " ": " \t\r"})


@scorer("readability")
class Readability:
    """Flesch reading ease, clipped to 0..100 and divided by 100; the formula is for English."""

    name = "readability"
    version = "1"
    metrics: tuple[str, ...] = ("response_readability",)

    def __init__(self, options: Options) -> None: ...

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {"response_readability": of_responses(calls, _ease)}


def _ease(text: str) -> Score:
    if isinstance(language := language_of(text), str) and language != "en":
        return unscored("not_english")
    low = b" " + text.lower().encode("ascii", "replace") + b" "
    shape = low.translate(_SHAPES, b"'").replace(b"x", b"")
    words = shape.count(b" w") + shape.count(b".w")
    if words < _LEAST_WORDS:
        return TOO_SHORT
    sentences = shape.count(b"w. ") + shape.count(b"w..") + shape.count(b"w.w")
    ease = 206.835 - 1.015 * words / max(sentences, 1) - 84.6 * _syllables(low) / words
    return Score(min(max(ease / 100, 0.0), 1.0))


def _syllables(low: bytes) -> int:
    """Groups of vowels less silent final e: 0.995 of the CMU dictionary's count on answers."""
    sounds = low.translate(_SOUNDS, b"'")
    silent = sounds.count(b"ce ") + sounds.count(b"le ") - sounds.count(b"cle ")
    # "the", "me", "we": an e that is the only vowel is sounded.
    alone = sounds.count(b" ce ") + sounds.count(b" cce ") + sounds.count(b" ccce ")
    return low.translate(_VOWELS).count(b" v") - silent + alone

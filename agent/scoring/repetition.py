"""How much of an answer repeats itself."""

from collections.abc import Mapping, Sequence

from agent.record import Call, Score
from agent.scoring import TOO_SHORT, Options, of_responses, scorer

# A 4-gram of words is about 20 characters; scripts without spaces say as much in 10.
_WORDS, _CHARS = 4, 10
# Words longer than this on average: the script puts no spaces between words.
_WORD_CHARS = 30


@scorer("repetition")
class Repetition:
    """The share of the answer's word 4-grams that stood earlier in the answer."""

    name = "repetition"
    version = "1"
    metrics: tuple[str, ...] = ("response_repetition",)

    def __init__(self, options: Options) -> None: ...

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        return {"response_repetition": of_responses(calls, _repeated)}


def _repeated(text: str) -> Score:
    words = text.lower().split()
    grams: list[object]
    if len(text) > _WORD_CHARS * len(words):
        grams = [text[at : at + _CHARS] for at in range(len(text) - _CHARS + 1)]
    else:
        grams = list(zip(*(words[at:] for at in range(_WORDS)), strict=False))
    # One gram alone can repeat nothing.
    return TOO_SHORT if len(grams) < 2 else Score(1 - len(set(grams)) / len(grams))

"""How much of its reference's wording an answer has: BLEU, ROUGE and METEOR.

BLEU is sacrebleu's and METEOR is NLTK's. ROUGE is counted here, to the same number as rouge-score:
that fills a table of the product of both lengths in Python, 50 ms for two answers of 250 words.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from agent.buckets import Floats
from agent.record import Call, Score
from agent.scoring import TOO_SHORT, Options, bounded, of_references, scorer
from agent.scoring.meteor import load_meteor


@scorer("overlap")
class Overlap:
    """Sentence BLEU as sacrebleu counts it, F1 of ROUGE-1, -2 and -L, METEOR as NLTK does.

    Words are those of any script; an answer without one has none of its reference's.
    """

    name = "overlap"
    metrics: tuple[str, ...] = ("bleu", "rouge1", "rouge2", "rougeL", "meteor")

    def __init__(self, options: Options) -> None:
        self._meteor, synonyms = load_meteor(options)
        self.version = f"2+{synonyms}" if synonyms else "2"

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        rows = of_references(calls, self._measured)
        if any(isinstance(row, tuple) for row in rows):  # else it would be imported for this
            _forget()
        return {
            metric: [row if isinstance(row, Score) else row[at] for row in rows]
            for at, metric in enumerate(self.metrics)
        }

    def _measured(self, response: str, reference: str) -> Score | tuple[Score, ...]:
        given, wanted = words(response), words(reference)
        if not wanted:
            return TOO_SHORT
        pairs = [list(pairwise(some)) for some in (given, wanted)]
        values = (
            _bleu().sentence_score(response, [reference]).score / 100,
            _f1((Counter(given) & Counter(wanted)).total(), len(given), len(wanted)),
            _f1((Counter(pairs[0]) & Counter(pairs[1])).total(), len(pairs[0]), len(pairs[1])),
            _f1(common(given, wanted), len(given), len(wanted)),
            self._meteor(wanted, given),
        )
        return tuple(bounded(min(float(value), 1.0)) for value in values)


def bleu_counts(pairs: Sequence[tuple[str, str]]) -> Floats:
    """What corpus BLEU is made of, for each answer and its reference: the lengths of both, then
    the n-grams of orders 1 to 4 that match, then those that the answer has [pairs, 10]."""
    made = [_bleu().sentence_score(response, [reference]) for response, reference in pairs]
    _forget()
    rows = [[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in made]
    return np.array(rows, np.float64).reshape(-1, 10)


def words(text: str) -> list[str]:
    """Words of any script in lower case; rouge-score's own rule drops all that is not ASCII."""
    return re.findall(r"[^\W_]+", text.lower())


def _f1(shared: int, given: int, wanted: int) -> float:
    return 2 * shared / (given + wanted) if shared else 0.0


def common(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest sequence of words in both, in this order.

    Crochemore et al. 2001, fig. 2: a row of the table is one number, a bit a word of `a`.
    """
    places: dict[str, int] = {}
    for at, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << at
    full = (1 << len(a)) - 1
    row = full
    for word in b:
        met = row & places.get(word, 0)
        row = (row + met | row - met) & full
    return len(a) - row.bit_count()


@cache
def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU  # here, because its import takes long

    return BLEU(effective_order=True)


def _forget() -> None:
    """sacrebleu remembers the last 65,536 texts, each four times over."""
    from sacrebleu.tokenizers import tokenizer_13a, tokenizer_re

    for one in (tokenizer_13a.Tokenizer13a, tokenizer_re.TokenizerRegexp):
        one.__call__.cache_clear()

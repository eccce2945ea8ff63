"""How much of its reference's wording an answer has: BLEU, ROUGE and METEOR of kept libraries.

2026-11-24: METEOR's alignment and ROUGE-L's table grow with the product of both lengths; of texts
of 20,000 characters one call took 4 s, of their first 500 words 0.1 s. 2026-11-25: stemming was
half of the time of an answer of usual length; a language repeats its words.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache, partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from agent.buckets import Floats
from agent.record import Call, Score
from agent.scoring import TOO_SHORT, Options, bounded, of_references, scorer

_WORDS = 500
_STEMS = 1 << 16


@scorer("overlap")
class Overlap:
    """Sentence BLEU as sacrebleu counts it, F1 of ROUGE-1, -2 and -L, METEOR as NLTK does."""

    name = "overlap"
    version = "1"
    metrics: tuple[str, ...] = ("bleu", "rouge1", "rouge2", "rougeL", "meteor")

    def __init__(self, options: Options) -> None: ...

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        rows = of_references(calls, _measured)
        return {
            metric: [row if isinstance(row, Score) else row[at] for row in rows]
            for at, metric in enumerate(self.metrics)
        }


def _measured(response: str, reference: str) -> Score | tuple[Score, ...]:
    given, wanted = _Words.tokenize(response), _Words.tokenize(reference)
    if not wanted or not given:
        return TOO_SHORT
    bleu, rouge, meteor = _libraries()
    shared = rouge.score(" ".join(wanted), " ".join(given)).values()
    values = (
        bleu(response, [reference]).score / 100,
        *(one.fmeasure for one in shared),
        meteor(wanted, given),
    )
    return tuple(bounded(min(float(value), 1.0)) for value in values)


def bleu_counts(pairs: Sequence[tuple[str, str]]) -> Floats:
    """What corpus BLEU is made of, for each answer and its reference: the lengths of both, then
    the n-grams of orders 1 to 4 that match, then those that the answer has [pairs, 10]."""
    bleu, _, _ = _libraries()
    made = [bleu(response, [reference]) for response, reference in pairs]
    rows = [[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in made]
    return np.array(rows, np.float64).reshape(-1, 10)


class _Words:
    """Words of any script in lower case; rouge-score's own drops all that is not ASCII."""

    @staticmethod
    def tokenize(text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())[:_WORDS]


class _NoSynonyms:
    """Stands for WordNet, which would have to be downloaded: words match as they are or by stem."""

    @staticmethod
    def synsets(_: str) -> list[Any]:
        return []


@cache
def _libraries() -> tuple[Any, Any, Any]:
    # Here, because their import takes longer than all other rules together.
    from nltk.stem.porter import PorterStemmer
    from nltk.translate.meteor_score import single_meteor_score
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu import sentence_bleu

    rouge = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Words)
    stems = SimpleNamespace(stem=lru_cache(_STEMS)(PorterStemmer().stem))
    meteor = partial(single_meteor_score, stemmer=stems, wordnet=_NoSynonyms)
    return sentence_bleu, rouge, meteor

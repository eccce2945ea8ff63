"""Seconds of every metric with a reference: ours over all pairs, the packages pair by pair.

The other side does for each pair what the metric scripts of the `evaluate` library do when their
quick-start calls `compute(predictions=[a], references=[b])`: exact_match, sacrebleu, rouge (a new
scorer of four kinds, and its aggregator with 1,000 resamples), meteor and bertscore (one model,
kept between calls). What the library itself adds, a table in Arrow for each call, is left out, and
so are the sentence splitter and the WordNet that its meteor downloads. Similarity, which `evaluate`
does not have, is sentence-transformers' own call.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import nltk
import numpy as np
import sacrebleu
from nltk.translate.meteor_score import single_meteor_score
from rouge_score import rouge_scorer, scoring

from agent.record import Call
from agent.score import Panel
from agent.scoring import Options, load
from agent.scoring.engine import Engine
from agent.scoring.folders import shipped
from tests.test_reference_packages import NoWordNet
from tests.wordings import ALPACA, Pair, random_pairs, real_pairs

PAIRS = 2_000
# The packages are timed on every so many-th pair, and their seconds taken times that.
EVERY = 10
# About the length of a summary of cnn_dailymail.
SHORT = 60
SCORERS = ("matches", "overlap", "bertscore", "similarity")
# What a suite scores at a time.
BATCH = 256
WHOLE, SAME, ALONE = "all of them", "those that `evaluate` has", "rouge without its aggregator"
KINDS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]

One = Callable[[str, str], object]


def exact(given: str, wanted: str) -> object:
    return np.mean(np.asarray([given]) == np.asarray([wanted]))


def bleu(given: str, wanted: str) -> object:
    return sacrebleu.corpus_bleu([given], [[wanted]]).score


def rouge(given: str, wanted: str) -> object:
    scorer, aggregator = rouge_scorer.RougeScorer(KINDS), scoring.BootstrapAggregator()
    aggregator.add_scores(scorer.score(wanted, given))
    return aggregator.aggregate()


def rouge_alone(given: str, wanted: str) -> object:
    return rouge_scorer.RougeScorer(KINDS[:3]).score(wanted, given)


def meteor(given: str, wanted: str) -> object:
    tokens = [nltk.word_tokenize(text, preserve_line=True) for text in (wanted, given)]
    return single_meteor_score(*tokens, wordnet=NoWordNet)


def packages() -> dict[str, One]:
    """A call for one pair, by the name of the metric."""
    from bert_score import BERTScorer
    from sentence_transformers import SentenceTransformer, util

    folder = str(shipped("bench"))
    scorer: Any = BERTScorer(model_type=folder, num_layers=6, device="cpu")
    model: Any = SentenceTransformer(folder, device="cpu")
    return {
        "exact_match": exact,
        "bleu": bleu,
        "rouge": rouge,
        "meteor": meteor,
        "bertscore": lambda a, b: scorer.score([a], [b]),
        "similarity": lambda a, b: util.cos_sim(model.encode(a), model.encode(b)),
    }


def theirs(ways: dict[str, One], pairs: Sequence[Pair], took: dict[str, float]) -> None:
    """Add the seconds of each metric for all pairs, from every so many-th of them."""
    share = len(pairs) / len(pairs[::EVERY])
    for given, wanted in pairs[::EVERY]:
        for name, one in {**ways, ALONE: rouge_alone}.items():
            began = time.perf_counter()
            one(given, wanted)
            took[name] += (time.perf_counter() - began) * share


def ours(panels: dict[str, Panel], calls: Sequence[Call], took: dict[str, float]) -> None:
    """Add the seconds of each panel for all pairs."""
    for name, panel in panels.items():
        began = time.perf_counter()
        panel.score(calls)
        took[name] += time.perf_counter() - began


def panels() -> dict[str, Panel]:
    """All metrics with a reference, as a suite has them, and those of them that `evaluate` has."""
    made = {}
    for name, scorers in {WHOLE: SCORERS, SAME: SCORERS[:-1]}.items():
        engine = Engine()
        options = Options(device="cpu", engine=engine)
        made[name] = Panel([(load(one, options), 1.0) for one in scorers], engine)
    return made


def compare(what: str, pairs: Sequence[Pair], ways: dict[str, One]) -> None:
    """Print both sides over the same pairs, in turn: what else the machine does falls on both."""
    calls = [Call(str(i), 0.0, "m", response=a, reference=b) for i, (a, b) in enumerate(pairs)]
    mine, our, their = panels(), defaultdict[str, float](float), defaultdict[str, float](float)
    ours(mine, calls[:2], {WHOLE: 0.0, SAME: 0.0})
    theirs(ways, pairs[:2], defaultdict(float))
    for first in range(0, len(pairs), BATCH):
        ours(mine, calls[first : first + BATCH], our)
        theirs(ways, pairs[first : first + BATCH], their)
    alone = their.pop(ALONE)
    print(f"\n{len(pairs)} pairs, {what}, {len({b for _, b in pairs})} different references")
    for name, spent in their.items():
        print(f"{spent:9.1f} s  {name}, one pair at a time")
    whole = sum(their.values())
    evaluated = whole - their["similarity"]
    _ratio(WHOLE, whole, our[WHOLE])
    _ratio(SAME, evaluated, our[SAME])
    _ratio(f"{SAME}, {ALONE}", evaluated - their["rouge"] + alone, our[SAME])


def _ratio(what: str, their: float, our: float) -> None:
    print(f"{their / our:9.1f} times as fast, {what}: {their:.1f} s, ours {our:.1f} s", flush=True)


def main() -> None:
    """Real pairs where the data is there, and random ones."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    ways = packages()
    if ALPACA.is_file():
        real = real_pairs(n)
        cut = [(" ".join(a.split()[:SHORT]), " ".join(b.split()[:SHORT])) for a, b in real]
        compare(f"the first {SHORT} words of five models' answers", cut, ways)
        compare("five models' whole answers", real[: n // 10], ways)
    compare("random words", [pair for pair in random_pairs(n, 9) if pair[0].strip()], ways)


if __name__ == "__main__":
    main()

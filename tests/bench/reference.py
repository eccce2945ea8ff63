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


def theirs(ways: dict[str, One], pairs: Sequence[Pair]) -> dict[str, float]:
    """Seconds by metric for all pairs, from every so many-th of them."""
    took: dict[str, float] = defaultdict(float)
    for given, wanted in pairs[::EVERY]:
        for name, one in {**ways, "rouge without its aggregator": rouge_alone}.items():
            began = time.perf_counter()
            one(given, wanted)
            took[name] += time.perf_counter() - began
    return {name: spent * len(pairs) / len(pairs[::EVERY]) for name, spent in took.items()}


def ours(panels: dict[str, Panel], calls: Sequence[Call]) -> dict[str, float]:
    """Seconds by scorer for all pairs."""
    took = {}
    for name, panel in panels.items():
        began = time.perf_counter()
        panel.score(calls)
        took[name] = time.perf_counter() - began
    return took


def compare(what: str, pairs: Sequence[Pair], ways: dict[str, One]) -> None:
    """Print both sides over the same pairs."""
    calls = [Call(str(i), 0.0, "m", response=a, reference=b) for i, (a, b) in enumerate(pairs)]
    panels = {
        name: Panel([(load(name, Options(device="cpu", engine=engine)), 1.0)], engine)
        for name in SCORERS
        if (engine := Engine())
    }
    ours(panels, calls[:2])
    theirs(ways, pairs[:2])
    their, our = theirs(ways, pairs), ours(panels, calls)
    alone = their.pop("rouge without its aggregator")
    print(f"\n{len(pairs)} pairs, {what}, {len({b for _, b in pairs})} different references")
    for name, spent in their.items():
        print(f"{spent:9.1f} s  {name}, one pair at a time")
    for name, spent in our.items():
        print(f"{spent:9.1f} s  ours: {name}")
    _ratios("all of them", their, our)
    evaluated = {name: spent for name, spent in their.items() if name != "similarity"}
    same = {name: spent for name, spent in our.items() if name != "similarity"}
    _ratios("those that `evaluate` has", evaluated, same)
    _ratios("these without rouge's aggregator", evaluated | {"rouge": alone}, same)


def _ratios(what: str, their: dict[str, float], our: dict[str, float]) -> None:
    whole, made = sum(their.values()), sum(our.values())
    print(f"{whole / made:9.1f} times as fast, {what}: {whole:.1f} s, {made:.1f} s", flush=True)


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

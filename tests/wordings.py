"""Pairs of an answer and a reference: random ones, and real ones where the data is there."""

import functools
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

ALPACA = Path(__file__).parents[2] / "shared" / "data" / "dev" / "paired" / "alpaca_eval.jsonl.gz"
REFERENCE = "gpt4_1106_preview"
# Five models from the strongest to the weakest.
MODELS = ("gpt4_0613", "claude-2", "vicuna-13b", "vicuna-7b", "text_davinci_003")
WORDS = (
    *("the", "a", "The", "cat", "cats", "dog", "running", "runs", "ran", "on", "mat", "3,5"),
    *("1.5%", "it's", "don't", "e-mail", "U.S.", "кот", "Кошки", "naïve", "café"),
    *("日本", "snake_case", "-", "(yes)", "end.", "so,", "&amp;", "\n", "...", "A)", "42"),
)  # fmt: skip

Pair = tuple[str, str]


def random_pairs(n: int, seed: int) -> list[Pair]:
    """References of up to 40 words, and answers that are their words moved, lost and replaced."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(n):
        wanted = rng.choice(WORDS, rng.integers(1, 40)).tolist()
        given = [
            str(rng.choice(WORDS)) if rng.random() < 0.2 else word
            for word in wanted
            if rng.random() > 0.15
        ]
        if rng.random() < 0.3:
            rng.shuffle(given)
        made.append((" ".join(given), " ".join(wanted)))
    return made


@functools.cache
def alpaca() -> tuple[dict[str, str], ...]:
    """The answers of every model by its name, question by question; skips where they are not."""
    if not ALPACA.is_file():
        pytest.skip("the answers of AlpacaEval are not at ../shared/data/dev/paired")
    with gzip.open(ALPACA, "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line)["outputs"] for line in lines)


def real_pairs(n: int) -> list[Pair]:
    """Answers of five models to the same questions, with the strongest's answer as reference."""
    rows = alpaca()
    found = [
        (row[model], row[REFERENCE]) for row in rows for model in MODELS
        if row.get(model) and row.get(REFERENCE)
    ]  # fmt: skip
    return found[:n]

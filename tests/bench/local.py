"""How many tokens a second a local candidate says in batches, and one question at a time."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from agent.record import Call
from shadow.local import LocalModel, Question
from tests.tiny import WORDS, make_folder

# A Llama of 150 million parameters in fp32, with a vocabulary of 32,000.
SHAPE: dict[str, Any] = {
    "hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 16, "vocab_size": 32_000,
    "num_attention_heads": 12, "num_key_value_heads": 4, "max_position_embeddings": 4096,
}  # fmt: skip
CALLS, ANSWER_TOKENS, ROUNDS = 16, 48, 1
# Medians of the questions' tokens, with a sigma of the logarithm of .6: short chats, and longer.
QUESTIONS = (48, 256)


def questions(tokens: int) -> list[Call]:
    """Calls with questions about so long."""
    rng = np.random.default_rng(tokens)
    sizes = np.exp(rng.normal(np.log(tokens), 0.6, CALLS)).astype(int)
    texts = [" ".join(rng.choice(WORDS, max(4, size))) for size in sizes.tolist()]
    return [Call(str(at), 0.0, "m", prompt=text) for at, text in enumerate(texts)]


def alone(model: LocalModel, calls: Sequence[Call]) -> None:
    """transformers' own generation, one question after the other."""
    for call in calls:
        question = model.read(call)
        assert isinstance(question, Question)
        ids = torch.tensor([question.ids], device=model.device)
        with torch.inference_mode():
            model._model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                max_new_tokens=ANSWER_TOKENS, pad_token_id=0, eos_token_id=None,
            )  # fmt: skip


def measure(tokens: int) -> tuple[float, float]:
    """Tokens of answers a second: of transformers one at a time, and of ours by eight."""
    calls, took = questions(tokens), dict[str, list[float]]()
    with TemporaryDirectory() as folder:
        model = LocalModel("bench", make_folder(Path(folder), shape=SHAPE), ANSWER_TOKENS)
    model._ends = frozenset()  # every answer has its full length, so both do the same work
    ways: dict[str, Callable[[], object]] = {
        "one": lambda: alone(model, calls),
        "eight": lambda: model.ask(calls),
    }
    for _ in range(ROUNDS):  # in turn: what else the machine does falls on both
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            took.setdefault(name, []).append(time.perf_counter() - began)
    one, eight = (CALLS * ANSWER_TOKENS / median(took[name]) for name in ways)
    return one, eight


def main() -> None:
    """Print both for both lengths of question."""
    print(f"{CALLS} questions, {ANSWER_TOKENS} tokens of answer each, tokens a second")
    for tokens in QUESTIONS:
        one, eight = measure(tokens)
        print(f"{one:8.1f}  transformers, one at a time, questions of about {tokens} tokens")
        print(f"{eight:8.1f}  ours, by eight: {eight / one:.1f} times as many", flush=True)


if __name__ == "__main__":
    main()

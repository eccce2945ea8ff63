"""How many chats a second whole suites of models score: a prompt and an answer through the engine.

The texts are as long as traffic's and all differ; the models of the production suite have random
weights, which cost what trained ones cost.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.scoring import folders, models
from agent.scoring.bench import device_here, invented_texts, random_bert, random_deberta
from agent.scoring.engine import Engine, Want
from agent.scoring.models import Model

# Chats of a round: enough to fill an accelerator's packs for a second, few on a CPU; and of a
# batch, which is what a poll brings.
_CPU_CHATS, _GPU_CHATS, _BATCH = 24, 8_192, 2_000

Texts = Sequence[str]


@dataclass(frozen=True, slots=True)
class Suite:
    """The models that read a chat, and how many chats they read in a second on a device."""

    name: str
    device: str
    chats_s: float


def measure_suites(rounds: int = 3, chats: int | None = None, seed: int = 5) -> list[Suite]:
    """Both suites, in rounds by turns on the same chats, the median counting."""
    device = device_here()
    count = chats or (_CPU_CHATS if device == "cpu" else _GPU_CHATS)
    texts = invented_texts(2 * count, seed)
    suites = _suites(device)
    seconds: dict[str, list[float]] = {name: [] for name in suites}
    # On an accelerator the first round also picks and loads kernels.
    for _ in range(rounds if device == "cpu" else rounds + 1):
        for name, (prompts, responses) in suites.items():
            began = time.perf_counter()
            _score(prompts, responses, texts)
            seconds[name].append(time.perf_counter() - began)
    took = {name: statistics.median(some[-rounds:]) for name, some in seconds.items()}
    return [Suite(name, device, count / one) for name, one in took.items()]


def _suites(device: str) -> dict[str, tuple[list[Model], list[Model]]]:
    """The models that read prompts and those that read answers, by the name of their suite."""
    shipped = models.load_suite(folders.Source("bench", device=device))
    folder = str(folders.shipped("bench"))
    alone = models.load_embedder(folders.Source("bench", folder, device=device))
    toxicity, injection = random_bert(device)[1], random_deberta(device)[1]
    return {
        "embedded suite": ([shipped], [shipped]),
        "production suite: BERT-base of both texts, DeBERTa-base of prompts, MiniLM of both": (
            [toxicity, injection, alone],
            [toxicity, alone],
        ),
    }


def _score(prompts: Sequence[Model], responses: Sequence[Model], texts: Texts) -> None:
    engine = Engine()
    for batch in _batches(texts):
        halves = ((prompts, batch[::2]), (responses, batch[1::2]))
        engine.prepare([Want(model, some) for readers, some in halves for model in readers])


def _batches(texts: Texts) -> Iterator[Texts]:
    for at in range(0, len(texts), 2 * _BATCH):
        yield texts[at : at + 2 * _BATCH]

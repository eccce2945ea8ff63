"""How many chats a second whole suites of models score: a prompt and an answer through the engine;
on an accelerator, also by several processes that share it, as several workers do.

The texts are as long as traffic's and all differ; the models of the production suite have random
weights, which cost what trained ones cost. One suite has a model that costs nothing: what is left
is what one process gives an accelerator to do.
"""

import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.synchronize import Barrier

from agent.scoring import folders, models
from agent.scoring.bench import device_here, invented_texts, random_bert, random_deberta
from agent.scoring.engine import Engine, Want
from agent.scoring.forward import Pack
from agent.scoring.models import Model

# Chats of a round: enough to fill an accelerator's packs for a second, few on a CPU; and of a
# batch, which is what a poll brings.
_CPU_CHATS, _GPU_CHATS, _BATCH = 24, 8_000, 2_000
# Chats of each of so many processes that share an accelerator.
_SHARED_CHATS, _PROCESSES = 4_000, 3
_FREE = "embedded suite, its forward pass left out"

Texts = Sequence[str]
# The models that read prompts and those that read answers, by the name of their suite.
Suites = dict[str, tuple[list[Model], list[Model]]]

_gate: Barrier


@dataclass(frozen=True, slots=True)
class Suite:
    """The models that read a chat, and how many chats they read in a second on a device."""

    name: str
    device: str
    chats_s: float


def measure_suites(rounds: int = 3, chats: int | None = None, seed: int = 5) -> list[Suite]:
    """Both suites, in rounds by turns on the same chats, the median counting."""
    device = device_here()
    free, count = chats or _GPU_CHATS, chats or (_CPU_CHATS if device == "cpu" else _GPU_CHATS)
    texts = invented_texts(2 * max(free, count), seed)
    suites = _suites(device)
    counts = {name: free if name == _FREE else count for name in suites}
    seconds: dict[str, list[float]] = {name: [] for name in suites}
    _freeze()
    # The first round also reads words for the first time, and picks and loads kernels.
    for _ in range(rounds + 1):
        for name, (prompts, responses) in suites.items():
            began = time.perf_counter()
            _score(prompts, responses, texts[: 2 * counts[name]])
            seconds[name].append(time.perf_counter() - began)
    took = {name: statistics.median(some[-rounds:]) for name, some in seconds.items()}
    alone = [Suite(name, device, counts[name] / one) for name, one in took.items()]
    return alone if device == "cpu" else [*alone, *measure_shared()]


def _suites(device: str) -> Suites:
    shipped = models.load_suite(folders.Source("bench", device=device))
    folder = str(folders.shipped("bench"))
    alone = models.load_embedder(folders.Source("bench", folder, device=device))
    toxicity, injection = random_bert(device)[1], random_deberta(device)[1]
    free = _free(shipped)
    return {
        "embedded suite": ([shipped], [shipped]),
        "production suite: BERT-base of both texts, DeBERTa-base of prompts, MiniLM of both": (
            [toxicity, injection, alone],
            [toxicity, alone],
        ),
        _FREE: ([free], [free]),
    }


def measure_shared(
    make: Callable[[str], Suites] = _suites,
    processes: int = _PROCESSES,
    chats: int = _SHARED_CHATS,
    rounds: int = 3,
) -> list[Suite]:
    """The suites that score anything, by processes that all begin a round at once; it takes as long
    as the last one."""
    spawn = multiprocessing.get_context("spawn")  # what is forked cannot use an accelerator
    gate = spawn.Barrier(processes)
    with ProcessPoolExecutor(processes, spawn, _meet_at, (gate,)) as pool:
        found = list(pool.map(partial(_turns, make, chats, rounds), range(processes)))
    return [
        Suite(f"{name}, {processes} processes", device_here(), processes * chats / took)
        for name, took in found[0].items()
    ]


def _meet_at(gate: Barrier) -> None:
    """Where a process of the pool waits for the others."""
    global _gate
    _gate = gate


def _turns(make: Callable[[str], Suites], chats: int, rounds: int, seed: int) -> dict[str, float]:
    """Seconds of a round of each suite, from the first process's start to the last one's end."""
    texts, took = invented_texts(2 * chats, seed), dict[str, float]()
    suites = make(device_here())
    _freeze()
    for name, (prompts, responses) in suites.items():
        if name == _FREE:
            continue
        seconds = list[float]()
        for _ in range(rounds + 1):  # the first one as above
            _gate.wait()
            began = time.perf_counter()
            _score(prompts, responses, texts)
            _gate.wait()
            seconds.append(time.perf_counter() - began)
        took[name] = statistics.median(seconds[-rounds:])
    return took


def _freeze() -> None:
    """As a worker does where it begins."""
    gc.collect()
    gc.freeze()


def _free(model: Model) -> Model:
    """The same without its forward pass: zeros for every text."""
    import torch

    def rows(pack: Pack) -> torch.Tensor:
        return torch.zeros(len(pack.lengths), model.columns, device=pack.ids.device)

    return replace(model, key=f"free:{model.key}", rows=rows)


def _score(prompts: Sequence[Model], responses: Sequence[Model], texts: Texts) -> None:
    engine = Engine()
    for batch in _batches(texts):
        halves = ((prompts, batch[::2]), (responses, batch[1::2]))
        engine.prepare([Want(model, some) for readers, some in halves for model in readers])


def _batches(texts: Texts) -> Iterator[Texts]:
    for at in range(0, len(texts), 2 * _BATCH):
        yield texts[at : at + 2 * _BATCH]

"""Whether int8 gives a user's own calls the scores that fp32 gives them; a twin is kept if so."""

import hashlib
import itertools
import math
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.catalog import BY_NAME
from agent.config import Config
from agent.errors import BadConfig
from agent.record import Call, Score
from agent.score import load_panel, options_of
from agent.scoring import Reader, Scorer, load, quantise
from agent.scoring.engine import Engine, Want
from agent.scoring.int8 import Figure, Gate, Twins, digest_of, instructions_here
from agent.scoring.models import Model
from agent.scoring.relevance import mean_embedding
from agent.scoring.vocabulary import Text

FEWEST_CALLS = 200
# A third of the calls calibrates; this many of the others are scored twice, which takes minutes.
_MOST_CALLS = 500
_FEWEST_SCORES, _TIMED_TEXTS = 50, 64
# The most that a score may move, in 99 of 100 calls, and the share that may cross its threshold.
_MOVED, _CROSSED = 0.05, 0.01
# 1 - cosine of an embedding, in the mean and of the worst text: two paraphrases lie .1 apart.
_TURNED, _WORST_TURNED = 0.01, 0.03


@dataclass(frozen=True, slots=True)
class Tried:
    """One way to make a model's twin: its gate, and where it was written if it passed."""

    gate: Gate
    scorers: tuple[str, ...]
    place: str | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A model in fp32, the scorers that ask it, and what it is measured on."""

    model: Model
    scorers: tuple[Scorer, ...]
    calibration: list[Text]
    calls: list[Call]
    engine: Engine


def quantise_models(config: Config, calls: Iterable[Call], to: Path) -> Iterator[Tried]:
    """Make, measure and, where the gate passes, write the twin of every model of the scorers.

    Models are loaded before the first call is read. Raises BadConfig when there are too few calls,
    or a model that no twin can be made of.
    """
    # Of fp32 or of another twin; the embeddings that it would judge are judged here.
    scorers = {name: told.model_copy(update={"baseline": None})
               for name, told in config.scorers.items()}  # fmt: skip
    config = config.model_copy(update={"scorers": scorers})
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=to) as made:
            making = Twins(Path(made), proven=False)
            for asked in _asked(config, calls, making):
                yield from _try(config, asked, making, Twins(to))
    except OSError as error:
        raise BadConfig(str(to), f"cannot be written ({type(error).__name__})") from None


def _asked(config: Config, unordered: Iterable[Call], making: Twins) -> Iterator[_Asked]:
    panel, calls = load_panel(config, making), _ordered(unordered)
    third = len(calls) // 3
    found: dict[str, tuple[Model, dict[str, Scorer]]] = {}
    for scorer in panel.scorers:
        if options_of(config, scorer.name, making).int8 is not None:
            for want in _wants(scorer, calls):
                found.setdefault(want.model.key, (want.model, {}))[1][scorer.name] = scorer
    if not found:
        raise BadConfig("--int8-to", "no scorer that is on asks a model")
    for model, named in found.values():
        scorers = tuple(named.values())
        texts = _texts(scorers, calls[:third])[: quantise.CALIBRATION_TEXTS]
        used = set(texts)
        rest = [one for one in calls[third:] if used.isdisjoint(_texts(scorers, [one]))]
        yield _Asked(model, scorers, texts, rest[:_MOST_CALLS], panel.engine)


def _ordered(calls: Iterable[Call]) -> list[Call]:
    made = sorted(calls, key=lambda call: _digest(call.id))
    if len(made) < FEWEST_CALLS:
        raise BadConfig("--int8-to", f"needs {FEWEST_CALLS} calls, and there are {len(made)}")
    return made


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass")).digest()


def _wants(scorer: Scorer, calls: Sequence[Call]) -> Sequence[Want]:
    return scorer.wants(calls) if isinstance(scorer, Reader) else ()


def _texts(scorers: Sequence[Scorer], calls: Sequence[Call]) -> list[Text]:
    """The distinct texts that scorers read, by turns: no scorer's are crowded out by another's."""
    read = [[text for want in _wants(one, calls) for text in want.texts] for one in scorers]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*read))
    return list(dict.fromkeys(text for text in turns if text))


def _try(config: Config, asked: _Asked, making: Twins, kept: Twins) -> Iterator[Tried]:
    names = tuple(scorer.name for scorer in asked.scorers)
    if not asked.calibration:  # these calls hold no such text
        yield Tried(Gate(asked.model.key, "", "none", 0, ()), names, None)
        return
    graph = quantise.export(asked.model, "--int8-to")
    calibration = quantise.windows(asked.model, asked.calibration)
    staged, place = making.place(asked.model), kept.place(asked.model)
    for name, method in quantise.METHODS.items():
        quantise.make(graph, method, calibration, staged)
        figures = _figures(config, asked, making)
        speed, versions = _speed(asked, making), quantise.versions()
        made = (asked.model.key, digest_of(staged), name, len(calibration))
        gate = Gate(*made, figures, speed, instructions_here(), versions)
        # Also where this one fails: what an earlier run wrote passed on other calls.
        shutil.rmtree(place, ignore_errors=True)
        if gate.passed:
            gate.write(staged)
            staged.rename(place)
        else:
            shutil.rmtree(staged)
        yield Tried(gate, names, str(place) if gate.passed else None)
        if gate.passed:
            return


def _figures(config: Config, asked: _Asked, making: Twins) -> tuple[Figure, ...]:
    """What becomes of the calls' scores, and of the embeddings of their texts, by int8."""
    engine = Engine()
    twins = [
        load(one.name, replace(options_of(config, one.name, making), engine=engine))
        for one in asked.scorers
    ]
    found: list[Figure] = []
    for plain, twin in zip(asked.scorers, twins, strict=True):
        before, after = (_scores(one, on, asked.calls)
                         for one, on in ((plain, asked.engine), (twin, engine)))  # fmt: skip
        for metric in plain.metrics:
            found += _moved(metric, before[metric], after[metric])
    heads = len(asked.model.labels)
    if asked.model.columns > heads:
        texts = _texts(asked.scorers, asked.calls)
        model = making.of(asked.model, "--int8-to")
        pair = (asked.engine.outputs(asked.model, texts), engine.outputs(model, texts))
        found += _turned([[mean_embedding(rows[:, heads:]) for rows in one] for one in pair])
    return tuple(found)


def _speed(asked: _Asked, making: Twins) -> float:
    """How many times as fast as fp32 the twin is here: the best of a few rounds by turns."""
    texts = _texts(asked.scorers, asked.calls)[:_TIMED_TEXTS]
    pair = (asked.model, making.of(asked.model, "--int8-to"))
    best = [math.inf, math.inf]
    for _ in range(3):
        for at, model in enumerate(pair):
            began = time.perf_counter()
            Engine(memory_bytes=0).outputs(model, texts)
            best[at] = min(best[at], time.perf_counter() - began)
    return best[0] / best[1]


def _scores(scorer: Scorer, engine: Engine, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
    engine.prepare(_wants(scorer, calls))
    return scorer.score(calls)


def _moved(metric: str, before: Sequence[Score], after: Sequence[Score]) -> list[Figure]:
    pairs = [pair for pair in zip(before, after, strict=True) if pair[0].value is not None]
    if len(pairs) < _FEWEST_SCORES:
        return []
    # One that int8 gave no number may be anything.
    old = np.array([one.value for one, _ in pairs])
    new = np.array([np.inf if one.value is None else one.value for _, one in pairs])
    moved = float(np.quantile(np.abs(new - old), 0.99))
    found = [Figure(f"{metric}, moved in 99 of 100 calls by", len(pairs), moved, _MOVED)]
    threshold = BY_NAME[metric].threshold
    if threshold is not None:
        crossed = float(((old >= threshold) != (new >= threshold)).mean())
        what = f"{metric}, share across {threshold:g}"
        found.append(Figure(what, len(pairs), crossed, _CROSSED))
    return found


def _turned(pair: Sequence[Sequence[NDArray[np.float32]]]) -> list[Figure]:
    turned = 1 - (np.stack(pair[0]) * np.stack(pair[1])).sum(1)
    return [
        Figure("embedding, 1 - cosine, mean", len(turned), float(turned.mean()), _TURNED),
        Figure("embedding, 1 - cosine, worst", len(turned), float(turned.max()), _WORST_TURNED),
    ]

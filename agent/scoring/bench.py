"""How fast the engine is on this machine, beside the libraries that it is compared with.

Every line of a round runs on the same texts; rounds are interleaved and the median counts.
"""

import importlib
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import BadConfig
from agent.scoring import classifiers, cpu, folders, models, quantise
from agent.scoring.engine import Engine
from agent.scoring.forward import Pack
from agent.scoring.int8 import Twins
from agent.scoring.models import Model
from agent.scoring.pieces import Pieces, packs

# Word pieces of a text (performance.md 0): lognormal, median 118, 99th percentile near 888.
_MEDIAN, _SIGMA, _TOKENS = 118, 0.87, 512
_PEAK_SIDE = 2048
# Texts of a round for MiniLM, BERT and DeBERTa: a few seconds of the slowest way.
_CPU_TEXTS, _GPU_TEXTS = (256, 64, 48), (8_192, 2_048, 2_048)

# Of a pack of the forward pass alone.
_PACK_TOKENS = 65_536

_HALF = "vedette, bfloat16"

Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Line:
    """One way to run a model: texts a second, and the share of this machine's matmul peak."""

    model: str
    name: str
    texts_s: float
    of_peak: float


def measure(rounds: int = 3, seed: int = 7) -> list[Line]:
    """Every way for every model, in one run; raises BadConfig without the libraries to compare."""
    for library in ("sentence_transformers", "detoxify"):
        if importlib.util.find_spec(library) is None:
            raise BadConfig("bench engine", f"needs the package {library} to compare with")
    device = device_here()
    counts = _CPU_TEXTS if device == "cpu" else _GPU_TEXTS
    minilm, detoxify, deberta = (invented_texts(n, seed) for n in counts)
    ways = {
        **_minilm_ways(minilm, device),
        **_detoxify_ways(detoxify, device),
        **_deberta_ways(deberta, device),
    }
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in ways}
    peaks = []
    for _ in range(rounds):
        peaks.append(_peak_flops(device))
        for key, (run, _, _) in ways.items():
            began = time.perf_counter()
            run()
            seconds[key].append(time.perf_counter() - began)
    peak, lines = statistics.median(peaks), []
    for (model, name), (_, count, flops) in ways.items():
        took = statistics.median(seconds[model, name])
        lines.append(Line(model, name, count / took, flops / took / peak))
    return lines


def device_here() -> str:
    """The accelerator where there is one, or the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _peak_flops(device: str) -> float:
    import torch

    kind = torch.float32 if device == "cpu" else torch.bfloat16
    side = _PEAK_SIDE if device == "cpu" else 4 * _PEAK_SIDE
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        (a @ b).sum().item()
        best = min(best, time.perf_counter() - began)
    return 2.0 * float(side) ** 3 / best


def invented_texts(n: int, seed: int) -> list[str]:
    """Texts of whole words of MiniLM's vocabulary, drawn by Zipf's law, of traffic's lengths."""
    rng = np.random.default_rng(seed)
    file = folders.shipped("bench") / "vocab.txt"
    words = [w for w in file.read_text("utf-8").splitlines()[1_996:] if w.isalpha()][:20_000]
    weights = 1 / np.arange(3, len(words) + 3)
    sizes = np.clip(rng.lognormal(np.log(_MEDIAN), _SIGMA, n), 3, 4_000).astype(int)
    drawn = rng.choice(len(words), sizes.sum(), p=weights / weights.sum())
    split = np.split(drawn, np.cumsum(sizes)[:-1])
    return [" ".join(map(words.__getitem__, some.tolist())) for some in split]


Ways = dict[tuple[str, str], tuple[Run, int, float]]
_MINILM, _BASE = (6, 384, 1_536), (12, 768, 3_072)  # layers, width, inner width


def _rated(
    name: str, shape: tuple[int, int, int], model: Model, texts: list[str], runs: dict[str, Run]
) -> Ways:
    """Each way with its texts and its multiplications and additions over real tokens."""
    (layers, width, inner), whole, spared = shape, 0, 0
    for ids in model.vocabulary.ids(texts, _TOKENS):
        size = min(len(ids) + 2, _TOKENS)
        whole += layers * (2 * size * (4 * width**2 + 2 * width * inner) + 4 * size**2 * width)
        # A classifier reads one token: ours runs what is behind the last attention for no other.
        spared += 2 * (size - 1) * (width**2 + 2 * width * inner) if model.labels else 0
    return {
        (name, way): (run, len(texts), float(whole - spared * way.startswith("vedette")))
        for way, run in runs.items()
    }


def _minilm_ways(texts: list[str], device: str) -> Ways:
    from sentence_transformers import SentenceTransformer

    folder = folders.shipped("bench")
    source = folders.Source("bench", str(folder), device=device)
    model = replace(models.load_embedder(source), max_tokens=_TOKENS, windows=1)
    other = SentenceTransformer(str(folder), device=device)
    other.max_seq_length = _TOKENS
    polls = [texts[at : at + 32] for at in range(0, len(texts), 32)]

    def encode(some: Sequence[Sequence[str]]) -> Run:
        return lambda: [
            other.encode(list(one), batch_size=32, show_progress_bar=False) for one in some
        ]

    ways = {
        "vedette, all texts": _ours(model, [texts]),
        "vedette, arriving by 32": _ours(model, polls),
        "sentence-transformers, arriving by 32": encode(polls),
        "sentence-transformers, one sorted call": encode([texts]),
        **_alone(model, texts),
    }
    if _halves(device):
        half = models.load_embedder(replace(source, bfloat16=True))
        ways[_HALF] = _ours(replace(half, max_tokens=_TOKENS, windows=1), [texts])
    if device == "cpu" and quantise.libraries_there():
        ways |= _int8_ways(model, texts)
    return _rated("MiniLM-L6", _MINILM, model, texts, ways)


def _halves(device: str) -> bool:
    return device == "cpu" and cpu.multiplies_bfloat16()


def _int8_ways(model: Model, texts: Sequence[str]) -> dict[str, Run]:
    """The same by each kind of int8, which an accuracy gate would have to pass first."""
    graph = quantise.export(model, "bench engine")
    calibration = quantise.windows(model, invented_texts(quantise.CALIBRATION_TEXTS, seed=99))
    ways = {}
    for name, method in quantise.METHODS.items():
        with tempfile.TemporaryDirectory() as folder:
            twins = Twins(Path(folder), proven=False)
            quantise.make(graph, method, calibration, twins.place(model))
            twin = twins.of(model, "bench engine")
        ways[f"vedette, int8 by {name}"] = _ours(twin, [texts])
    return ways


def _ours(model: Model, polls: Sequence[Sequence[str]]) -> Run:
    def run() -> None:
        engine = Engine(memory_bytes=0)  # else the second round costs nothing
        for poll in polls:
            engine.outputs(model, poll)

    return run


def packed(model: Model, texts: Sequence[str], tokens: int) -> list[Pack]:
    """The first window of each text, in packs of so many tokens on the model's device."""
    ids = model.vocabulary.ids(texts, _TOKENS)
    windows = model.vocabulary.windows(ids, _TOKENS, 1)
    pieces = Pieces.of(range(len(texts)), windows)
    made = [[one.ids for one in pack.tokens] for pack, _ in packs([pieces], lambda: tokens)]
    return [Pack.make(some, [None] * len(some), model.device) for some in made]


def _alone(model: Model, texts: Sequence[str]) -> dict[str, Run]:
    """On an accelerator, the forward pass alone: of packs that lie there before it begins."""
    import torch

    if model.device == "cpu":
        return {}
    there = packed(model, texts, _PACK_TOKENS)

    def run() -> None:
        with torch.inference_mode():
            for pack in there:
                model.rows(pack)
        torch.cuda.synchronize()

    return {"vedette, the forward pass alone": run}


def _random(config: Any, kind: str, device: str, bfloat16: bool) -> tuple[Any, Model]:
    """A model of transformers' with random weights, and ours with the same."""
    import torch
    import transformers

    torch.manual_seed(1)
    theirs = getattr(transformers, kind)(config).eval().to(device)
    encoder = models.encoder_of(config.to_dict(), theirs.state_dict(), device, bfloat16)
    words = folders.shipped("bench")
    ours = classifiers.classifier(f"random-{kind}", words, encoder, (), device)
    return theirs, replace(ours, max_tokens=_TOKENS, windows=1)


def random_bert(device: str, bfloat16: bool = False) -> tuple[Any, Model]:
    """A BERT-base toxicity classifier, transformers' and ours, with the same random weights."""
    transformers: Any = importlib.import_module("transformers")  # half of it has no types
    config = transformers.BertConfig(num_labels=6)
    return _random(config, "BertForSequenceClassification", device, bfloat16)


def random_deberta(device: str, bfloat16: bool = False) -> tuple[Any, Model]:
    """A DeBERTa-v3-base classifier the same way, with MiniLM's vocabulary."""
    transformers: Any = importlib.import_module("transformers")
    config = transformers.DebertaV2Config(
        vocab_size=30_522, hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
        intermediate_size=3_072, max_position_embeddings=512, relative_attention=True,
        position_buckets=256, norm_rel_ebd="layer_norm", share_att_key=True,
        pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
        num_labels=2,
    )  # fmt: skip
    return _random(config, "DebertaV2ForSequenceClassification", device, bfloat16)


def _detoxify_ways(texts: list[str], device: str) -> Ways:
    import detoxify

    transformers: Any = importlib.import_module("transformers")
    theirs, model = random_bert(device)
    # Its own class without its download.
    other = object.__new__(detoxify.Detoxify)
    other.model, other.device = theirs, device
    other.class_names = [str(at) for at in range(6)]
    other.tokenizer = transformers.BertTokenizerFast(
        str(folders.shipped("bench") / "vocab.txt"), model_max_length=_TOKENS
    )

    def predict(size: int) -> Run:
        lists = [texts[at : at + size] for at in range(0, len(texts), size)]
        return lambda: [other.predict(one) for one in lists]

    ways: dict[str, Run] = {
        "vedette": _ours(model, [texts]),
        "Detoxify.predict, lists of 64": predict(64),
        "Detoxify.predict, lists of 32": predict(32),
        **_alone(model, texts),
    }
    if _halves(device):
        ways[_HALF] = _ours(random_bert(device, bfloat16=True)[1], [texts])
    return _rated("BERT-base", _BASE, model, texts, ways)


def _deberta_ways(texts: list[str], device: str) -> Ways:
    import torch

    theirs, model = random_deberta(device)
    found = model.vocabulary.ids(texts, _TOKENS)
    ids = sorted((one[: _TOKENS - 2].tolist() for one in found), key=len)

    def eager() -> None:
        pack: list[list[int]] = []
        for one in [*ids, []]:
            if pack and (not one or len(one) * (len(pack) + 1) > 1_024):
                made = torch.zeros(len(pack), len(pack[-1]), dtype=torch.long)
                for at, tokens in enumerate(pack):
                    made[at, : len(tokens)] = torch.tensor(tokens)
                made = made.to(device)
                with torch.inference_mode():
                    theirs(input_ids=made, attention_mask=(made > 0).long()).logits.cpu()
                pack = []
            pack.append(one)

    ways = {"vedette": _ours(model, [texts]), "transformers, sorted, 1,024 tokens": eager}
    ways |= _alone(model, texts)
    if _halves(device):
        ways[_HALF] = _ours(random_deberta(device, bfloat16=True)[1], [texts])
    return _rated("DeBERTa-v3-base", _BASE, model, texts, ways)

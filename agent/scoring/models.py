"""From a folder or a checkpoint to a model that the engine can run."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import BadConfig
from agent.scoring import cpu, folders, layout, pooling
from agent.scoring.forward import Encoder, Pack
from agent.scoring.trial import tried
from agent.scoring.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch

HEADS = Path(__file__).with_name("heads.safetensors")
# Windows of one text: eight times 512 tokens; of a longer one they are spread over its length.
_WINDOWS = 8
# The heads were trained on pieces of this size: one insult in 256 tokens is averaged away.
_SUITE_TOKENS = 128


@dataclass(frozen=True)
class Model:
    """What the engine runs: from a pack to rows [texts, columns], by texts of this vocabulary.

    `labels` name the columns of a classifier, `exclusive` where only one of them can hold. A text
    longer than `max_tokens` is read in `windows`, one row each, or one a token where `per_token`.
    `key` changes whenever the same text could get another row. `embedding` is the model of what
    these rows hold of it: their last columns, or, of a text of one window, the mean of its tokens.
    """

    key: str
    digest: str
    vocabulary: Vocabulary
    rows: Callable[[Pack], "torch.Tensor"]
    columns: int
    labels: tuple[str, ...]
    max_tokens: int
    device: str
    windows: int = _WINDOWS
    exclusive: bool = False
    per_token: bool = False
    embedding: "Model | None" = None

    def chances(self, rows: NDArray[np.float32], column: int) -> NDArray[np.float64]:
        """The probability of a label in each row: softmax where labels exclude each other, else
        the sigmoid; NaN where an output is no number."""
        finite = np.asarray(np.isfinite(rows).all(1))
        outputs = np.where(finite[:, None], rows, 0.0).astype(np.float64)
        own = outputs[:, column]
        if self.exclusive:
            own = own - np.logaddexp.reduce(np.delete(outputs, column, 1), axis=1)
        # By tanh: exp would overflow at large logits.
        return np.where(finite, 0.5 + 0.5 * np.tanh(own / 2), np.nan)


def load_embedder(source: folders.Source) -> Model:
    """A sentence encoder, pooled as its folder says; by default the shipped MiniLM.

    Raises BadConfig, naming the key, for a model that is not there or cannot be read.
    """
    if source.model is None:
        suite = load_suite(replace(source, int8=None))
        assert suite.embedding is not None  # as it has without a twin
        return twin(source, replace(suite, digest=suite.embedding.digest))
    (folder, digest), device = _folder(source), device_of(source)
    with folders.translated(source.key, folder):
        kind, normalize = pooling.read(folder)
        encoder = plain_encoder(folder, digest, device, source.bfloat16)
        rows = pooling.embedder(encoder, kind, normalize)
        made = model_of(f"{kind}:{digest}", digest, folder, encoder, rows, (), device)
        told = folders.read_json(folder / "sentence_bert_config.json").get("max_seq_length")
        most = min(made.max_tokens, told or _tokenizer_tokens(folder))
        made = tried(replace(made, max_tokens=most), encoder)
    return twin(source, made)


def load_states(source: folders.Source) -> Model:
    """An encoder's last hidden states, a row a token; by default of the shipped MiniLM. Never int8.

    Raises BadConfig, naming the key, for a model that is not there or cannot be read.
    """
    (folder, digest), device = _folder(source), device_of(source)
    with folders.translated(source.key, folder):
        encoder = plain_encoder(folder, digest, device, source.bfloat16)
        made = model_of(f"states:{digest}", digest, folder, encoder, encoder.hidden, (), device)
        # As many tokens as its tokeniser allows, whatever an embedding of it is made of.
        most = min(made.max_tokens, _tokenizer_tokens(folder))
        alone = _alone(folder, digest, encoder, device) if source.model is None else None
        whole = replace(made, per_token=True, max_tokens=most, embedding=alone)
        return tried(whole, encoder)


def load_suite(source: folders.Source, heads: Path | None = None) -> Model:
    """MiniLM with heads: their outputs by their labels, then the embedding.

    The heads, shipped or of another file, share all but MiniLM's last layers. Raises BadConfig
    when the package is missing.
    """
    folder, digest = _folder(replace(source, model=None))
    file = heads or HEADS
    extra = hashlib.sha256(file.read_bytes()).hexdigest()[: len(digest)]
    with folders.translated(source.key, folder):
        made = _suite(folder, f"{digest}-{extra}", file, device_of(source), source.bfloat16)
    return twin(source, made)


def twin(source: folders.Source, made: Model) -> Model:
    """What runs instead of a model where an int8 twin is named; else the model itself."""
    return made if source.int8 is None else source.int8.of(made, f"scorers.{source.scorer}.int8")


@cache
def _suite(folder: Path, digest: str, heads: Path, device: str, bfloat16: bool) -> Model:
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(heads, "pt") as opened:
        labels = tuple(opened.metadata()["labels"].split(","))
    encoder = plain_encoder(folder, digest.partition("-")[0], device, bfloat16)
    # The head's own weights stay as they are: what the layers say is large, and they are small.
    branch = {
        name: one.to(device, one.dtype if name.startswith("head.") else encoder.kind)
        for name, one in load_file(heads).items()
    }
    rows = pooling.suite(encoder, branch)
    made = model_of(f"suite:{digest}", digest, folder, encoder, rows, labels, device)
    alone = _alone(folder, digest.partition("-")[0], encoder, device)
    columns, most = len(labels) + alone.columns, alone.max_tokens
    made = replace(made, columns=columns, max_tokens=most, windows=alone.windows, embedding=alone)
    return tried(made, encoder)


def _alone(folder: Path, digest: str, encoder: Encoder, device: str) -> Model:
    """MiniLM's embedding without the heads, of the same windows: six layers and not eight."""
    rows = pooling.embedder(encoder, "mean", normalize=True)
    made = model_of(f"alone:{digest}", digest, folder, encoder, rows, (), device)
    return replace(made, max_tokens=_SUITE_TOKENS, windows=2 * _WINDOWS)


def _folder(source: folders.Source) -> tuple[Path, str]:
    if source.model is None:
        folder = folders.shipped(source.key)
    else:
        folder = folders.place(source.key, source.model)
    return folder, folders.digest(source, folders.safetensors(source.key, folder), folder)


# By digest, like the suite above: many scorers read the same weights, in memory once.
@cache
def plain_encoder(folder: Path, _: str, device: str, bfloat16: bool) -> Encoder:
    """The encoder of a folder of this digest, with all its weights."""
    return encoder_of(folders.read_config(folder), folders.read_weights(folder), device, bfloat16)


def encoder_of(
    raw: Mapping[str, Any], weights: layout.Weights, device: str, bfloat16: bool
) -> Encoder:
    """An encoder of weights on a device, in its number type; raises BadConfig for a CPU that is
    slower by bfloat16, ValueError or KeyError for weights that do not fit the configuration."""
    import torch

    if device == "cpu" and bfloat16 and not cpu.multiplies_bfloat16():
        raise BadConfig("bfloat16", "this CPU has no amx_bf16, without which float32 is faster")
    # The variable-length kernel of CUDA takes half precision only.
    kind = torch.float32 if device == "cpu" and not bfloat16 else torch.bfloat16
    there = {name: one.to(device, kind) if one.is_floating_point() else one
             for name, one in layout.strip(weights).items()}  # fmt: skip
    return Encoder(layout.Config.read(raw), there)


def device_of(source: folders.Source) -> str:
    """Where a model is to run; raises BadConfig, naming the key, where that is not there."""
    import torch

    key, auto = f"scorers.{source.scorer}.device", source.device == "auto"
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = found if auto else source.device
    try:
        torch.empty(0, device=device)
        old = device != "cpu" and torch.cuda.get_device_capability(device) < (8, 0)
    except (RuntimeError, AssertionError) as error:  # the latter where torch has no CUDA at all
        problem = f"{device} is not there: {str(error).splitlines()[0]}"
        raise BadConfig(key, problem) from None
    if old and not auto:
        raise BadConfig(key, f"{device} is older than Ampere and computes no bfloat16")
    return "cpu" if old else device


def model_of(
    key: str,
    digest: str,
    folder: Path,
    encoder: Encoder,
    rows: Callable[[Pack], "torch.Tensor"],
    labels: tuple[str, ...],
    device: str,
) -> Model:
    """A model of a folder's encoder and tokeniser; `key` and `digest` without what is told of its
    device and number type."""
    raw = encoder.config.raw
    columns = len(labels) or int(raw.get("dim") or raw["hidden_size"])
    limit = min(encoder.positions, 512)
    mark = "-bfloat16" if encoder.kind.itemsize == 2 else ""
    # One engine may run a model on two devices; scores do not say which.
    whole = key + mark if device == "cpu" else f"{key}{mark}@{device}"
    words = vocabulary(folder / "tokenizer.json")
    return Model(whole, digest + mark, words, rows, columns, labels, limit, device)


def _tokenizer_tokens(folder: Path) -> int:
    told = folders.read_json(folder / "tokenizer_config.json").get("model_max_length")
    return int(told or 512)


def vocabulary(path: Path) -> Vocabulary:
    """The tokeniser of a folder, the same one for every model that names it."""
    if not path.is_file():
        writes = "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        raise folders.BadFile(path, f"is not there; {writes} of transformers writes it")
    return _vocabulary(path, folders.sha256(path))


@cache
def _vocabulary(path: Path, _: str) -> Vocabulary:
    import tokenizers

    with folders.reading(path):
        return Vocabulary(tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8")))

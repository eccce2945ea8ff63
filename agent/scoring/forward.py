"""The forward pass without padding: the tokens of all texts on one flat axis.

Linears, normalisations and activations run on the flat axis; attention runs a group of
neighbours of equal length at a time, or by a variable-length kernel on CUDA. Equal to
transformers' own to 1e-4 in fp32 (tests/test_forward.py).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from agent.scoring import layout
from agent.scoring.layout import Layer, Linear, Norm, Weights
from agent.scoring.words import Ids

if TYPE_CHECKING:
    import torch

    Activation = Callable[[torch.Tensor], torch.Tensor]

# Lengths that differ by less share a block; kernels want bias rows of a multiple of eight.
_BLOCK = 32


@dataclass(frozen=True)
class Pack:
    """Texts on one flat axis: token ids and types [tokens], and the length of each text.

    `runs` are neighbours of equal length: (first token, texts, length).
    """

    ids: "torch.Tensor"
    types: "torch.Tensor"
    lengths: tuple[int, ...]
    positions: "torch.Tensor"
    starts: "torch.Tensor"
    runs: tuple[tuple[int, int, int], ...]

    @classmethod
    def make(cls, ids: Sequence[Ids], types: Sequence[Ids | None], device: str) -> "Pack":
        """Of token ids and types a text, all 0 without any; texts of one length should stand side
        by side."""
        import numpy as np
        import torch

        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        flat = np.frombuffer(b"".join(ids), np.int32).astype(np.int64)
        kinds = np.zeros_like(flat)
        for start, some in zip(starts[:-1], types, strict=True):
            if some is not None:
                kinds[start : start + len(some)] = some
        positions = np.arange(len(flat)) - np.repeat(starts[:-1], lengths)
        edges = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
        runs = tuple((int(starts[a]), b - a, int(lengths[a])) for a, b in itertools.pairwise(edges))
        # One copy, from memory that an accelerator reads by itself: no step waits for the last.
        # By numpy: torch would wake all its threads, which then spin beside those at work.
        cuda = device.startswith("cuda")
        whole = torch.empty(3 * len(flat) + len(starts), dtype=torch.int64, pin_memory=cuda)
        np.concatenate([flat, kinds, positions, starts], out=whole.numpy())
        whole = whole.to(device, non_blocking=cuda)
        parts = torch.split(whole, [len(flat)] * 3 + [len(starts)])
        return cls(parts[0], parts[1], tuple(lengths.tolist()), parts[2], parts[3], runs)

    @cached_property
    def ends(self) -> "torch.Tensor":
        """`starts` as CUDA's variable-length attention takes them."""
        import torch

        return self.starts.to(torch.int32)

    @cached_property
    def blocks(self) -> "tuple[torch.Tensor, ...]":
        """Neighbours of about one length: the place of each of their tokens, [texts, longest].

        Where a text has no such token stands the number of all tokens.
        """
        import torch

        rounded = [-(-length // _BLOCK) * _BLOCK for length in self.lengths]
        made, first = [], 0
        for length, some in itertools.groupby(rounded):
            last = first + len(list(some))
            at = torch.arange(length, device=self.starts.device)
            places = self.starts[first:last, None] + at
            real = places < self.starts[first + 1 : last + 1, None]
            made.append(torch.where(real, places, len(self.ids)))
            first = last
        return tuple(made)


@dataclass(frozen=True)
class Rectangle:
    """Texts padded to one length, for compilers that do not read a flat axis.

    Token ids, types and which tokens are real, [texts, length]; positions [1, length].
    """

    ids: "torch.Tensor"
    types: "torch.Tensor"
    real: "torch.Tensor"
    positions: "torch.Tensor"

    @classmethod
    def make(cls, ids: "torch.Tensor", types: "torch.Tensor", real: "torch.Tensor") -> "Rectangle":
        """Of token ids, types and which tokens are real."""
        import torch

        return cls(ids, types, real, torch.arange(ids.shape[1])[None])


Texts = Pack | Rectangle


class Encoder:
    """The encoder of one checkpoint: from a pack to the hidden states of its tokens."""

    def __init__(self, config: layout.Config, weights: Weights) -> None:
        self.config = config
        self.layers = layout.layers(weights, config)
        self.weights = weights
        self._attend = attention(config, weights)
        self._act = activation(config.activation)
        # RoBERTa's positions start behind its padding index.
        roberta = "roberta" in config.family
        self.first_position = int(config.raw.get("pad_token_id") or 0) + 1 if roberta else 0

    @property
    def kind(self) -> "torch.dtype":
        """The number type of the weights."""
        return self.weights["embeddings.word_embeddings.weight"].dtype

    @property
    def positions(self) -> int:
        """The most tokens of a text, as the configuration says."""
        told = int(self.config.raw.get("max_position_embeddings", 512))
        return told - 2 if "roberta" in self.config.family else told

    def hidden(self, pack: Texts) -> "torch.Tensor":
        """Hidden states [tokens, width] behind the last layer; of a rectangle [texts, length,
        width], as all below."""
        return self.run(self.embed(pack), pack, self.layers)

    def embed(self, pack: Texts) -> "torch.Tensor":
        """What enters the first layer, [tokens, width]."""
        import torch.nn.functional as F

        weights, x = self.weights, None
        for name, at in (
            ("word", pack.ids),
            ("position", pack.positions + self.first_position),
            ("token_type", pack.types),
        ):
            table = weights.get(f"embeddings.{name}_embeddings.weight")
            if table is not None:
                rows = F.embedding(at, table)
                x = rows if x is None else x + rows
        if x is None:
            raise KeyError("embeddings.word_embeddings.weight")
        # DeBERTa widens what it looks up before it is normalised, ALBERT afterwards.
        if "embeddings.embed_proj.weight" in weights:
            x = _linear(x, layout.linear(weights, "embeddings.embed_proj"))
        x = _norm(x, layout.norm(weights, "embeddings.LayerNorm", self.config.eps))
        if "encoder.embedding_hidden_mapping_in.weight" in weights:
            x = _linear(x, layout.linear(weights, "encoder.embedding_hidden_mapping_in"))
        return x

    def run(self, x: "torch.Tensor", pack: Texts, layers: Sequence[Layer]) -> "torch.Tensor":
        """Hidden states behind `layers`, which may be a branch of this encoder's own."""
        for at, layer in enumerate(layers):
            x = self._finish(x, self._attend(_linear(x, layer.qkv), pack, at), layer)
        return x

    def first(self, pack: Texts) -> "torch.Tensor":
        """Hidden states of each text's first token behind the last layer, [texts, width]; what
        stands behind the attention of that layer is run for no other token."""
        *before, layer = self.layers
        x = self.run(self.embed(pack), pack, before)
        mixed = self._attend(_linear(x, layer.qkv), pack, len(before))
        return self._finish(first_rows(x, pack), first_rows(mixed, pack), layer)

    def _finish(self, x: "torch.Tensor", mixed: "torch.Tensor", layer: Layer) -> "torch.Tensor":
        x = _norm(_linear(mixed, layer.out) + x, layer.norm)
        inner = self._act(_linear(x, layer.up))
        return _norm(_linear(inner, layer.down) + x, layer.last_norm)


Attention = Callable[["torch.Tensor", Texts, int], "torch.Tensor"]


def attention(config: layout.Config, weights: Weights) -> Attention:
    """A family's attention: from query, key and value [tokens, 3 x width] to [tokens, width]."""
    if config.family == "deberta-v2":
        from agent.scoring.deberta import Disentangled

        return Disentangled(config, weights)
    return partial(_attend, heads=config.heads)


def _attend(qkv: "torch.Tensor", pack: Texts, _: int, heads: int) -> "torch.Tensor":
    import torch
    import torch.nn.functional as F

    if isinstance(pack, Rectangle):
        return _attend_padded(qkv, pack, heads)
    tokens, width = qkv.shape[0], qkv.shape[1] // 3
    # The kernel takes half precision only, and heads of whole vectors of eight.
    if qkv.is_cuda and qkv.dtype != torch.float32 and width // heads % 8 == 0:
        return _varlen(qkv.view(tokens, 3, heads, width // heads), pack).reshape(tokens, width)
    mixed = []
    for first, texts, length in pack.runs:
        part = qkv[first : first + texts * length].view(texts, length, 3, heads, width // heads)
        q, k, v = part.permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v)
        mixed.append(out.transpose(1, 2).reshape(texts * length, width))
    return torch.cat(mixed)


def _attend_padded(qkv: "torch.Tensor", texts: Rectangle, heads: int) -> "torch.Tensor":
    import torch.nn.functional as F

    count, length, width = qkv.shape
    q, k, v = qkv.view(count, length, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=texts.real[:, None, None, :])
    return out.transpose(1, 2).reshape(count, length, width // 3)


def _varlen(qkv: "torch.Tensor", pack: Pack) -> "torch.Tensor":
    import torch
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = qkv.unbind(1)
    longest = max(pack.lengths)
    mixed = varlen_attn(q, k, v, pack.ends, pack.ends, longest, longest)
    return mixed if isinstance(mixed, torch.Tensor) else mixed[0]


def activation(name: str) -> "Activation":
    """Raises ValueError for one that is not known."""
    import torch
    import torch.nn.functional as F

    tanh = partial(F.gelu, approximate="tanh")
    known: dict[str, Activation] = {
        "gelu": F.gelu,
        "gelu_new": tanh,
        "gelu_fast": tanh,
        "gelu_pytorch_tanh": tanh,
        "relu": torch.relu,
        "tanh": torch.tanh,
        "silu": F.silu,
    }
    if name not in known:
        raise ValueError(f"activation {name} is none of {', '.join(known)}")
    return known[name]


def _linear(x: "torch.Tensor", part: Linear) -> "torch.Tensor":
    import torch.nn.functional as F

    return F.linear(x, part.weight, part.bias)


def _norm(x: "torch.Tensor", part: Norm) -> "torch.Tensor":
    import torch.nn.functional as F

    return F.layer_norm(x, x.shape[-1:], part.weight, part.bias, part.eps)


def mean_rows(x: "torch.Tensor", pack: Texts) -> "torch.Tensor":
    """The mean of each text's tokens, [texts, width]."""
    if isinstance(pack, Rectangle):
        real = pack.real[..., None].float()
        return (x * real).sum(1) / real.sum(1)
    return _by_text(x, pack, "mean")


def max_rows(x: "torch.Tensor", pack: Texts) -> "torch.Tensor":
    """The largest value of each column over each text's tokens, [texts, width]."""
    import torch

    if isinstance(pack, Rectangle):
        return x.masked_fill(~pack.real[..., None], -torch.inf).amax(1)
    return _by_text(x, pack, "max")


def _by_text(x: "torch.Tensor", pack: Pack, how: str) -> "torch.Tensor":
    import torch

    # Its check of the lengths would wait for an accelerator.
    lengths, unsafe = pack.starts.diff(), x.is_cuda
    return torch.segment_reduce(x.float(), how, lengths=lengths, unsafe=unsafe)


def first_rows(x: "torch.Tensor", pack: Texts) -> "torch.Tensor":
    """The first token of each text, [texts, width]."""
    return x[:, 0] if isinstance(pack, Rectangle) else x[pack.starts[:-1]]

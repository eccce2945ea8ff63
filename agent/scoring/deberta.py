"""DeBERTa's attention over packed texts: position against content as an additive bias.

He et al. 2021 (arXiv 2006.03654), eq. 4: content to position and position to content are added
to content to content before the softmax. Both depend on query place minus key place only, so
each is one matrix product with 2 x length - 1 rows, read along its diagonals by a strided view
instead of the gather of transformers' own code.
"""

import math
from functools import cache
from typing import TYPE_CHECKING

from agent.scoring import layout
from agent.scoring.forward import Pack, Rectangle, Texts
from agent.scoring.layout import Weights

if TYPE_CHECKING:
    import torch


class Disentangled:
    """The attention of a DeBERTa-v2 or v3 checkpoint; the position products are made once."""

    def __init__(self, config: layout.Config, weights: Weights) -> None:
        raw = config.raw
        self._heads = config.heads
        self._kinds = tuple(raw.get("pos_att_type") or ()) if raw.get("relative_attention") else ()
        self._buckets = int(raw.get("position_buckets", -1))
        furthest = int(raw.get("max_relative_positions", -1))
        self._furthest = furthest if furthest > 0 else int(raw["max_position_embeddings"])
        self._span = self._buckets if self._buckets > 0 else self._furthest
        self._scale = 1 + ("c2p" in self._kinds) + ("p2c" in self._kinds)
        self._tables = self._make_tables(config, weights) if self._kinds else []

    def __call__(self, qkv: "torch.Tensor", pack: Texts, at: int) -> "torch.Tensor":
        import torch
        import torch.nn.functional as F

        if isinstance(pack, Rectangle):
            raise ValueError("int8 does not read deberta-v2")
        if qkv.is_cuda:
            return self.padded(qkv, pack, at)
        width = qkv.shape[1] // 3
        size, mixed = width // self._heads, []
        for first, texts, length in pack.runs:
            part = qkv[first : first + texts * length].view(texts, length, 3, self._heads, size)
            q, k, v = part.permute(2, 3, 0, 1, 4)
            scale = 1 / math.sqrt(size * self._scale)
            bias = self._bias(q * scale, k * scale, at) if self._kinds else None
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
            mixed.append(out.permute(1, 2, 0, 3).reshape(texts * length, width))
        return torch.cat(mixed)

    def padded(self, qkv: "torch.Tensor", pack: Pack, at: int) -> "torch.Tensor":
        """The same by blocks of about one length: few launches count more than a little padding."""
        import torch.nn.functional as F

        tokens, width = qkv.shape[0], qkv.shape[1] // 3
        size = width // self._heads
        scale = 1 / math.sqrt(size * self._scale)
        mixed = qkv.new_empty(tokens + 1, width)  # what padding gives goes to the last row
        for places in pack.blocks:
            texts, length = places.shape
            part = qkv[places.clamp(max=tokens - 1)].view(texts, length, 3, self._heads, size)
            q, k, v = part.permute(2, 3, 0, 1, 4)
            mask = (places < tokens)[:, None]
            if self._kinds and (bias := self._bias(q * scale, k * scale, at)) is not None:
                mask = bias.masked_fill(~mask, -math.inf)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
            mixed[places.flatten()] = out.permute(1, 2, 0, 3).reshape(texts * length, width)
        return mixed[:tokens]

    def _bias(self, q: "torch.Tensor", k: "torch.Tensor", at: int) -> "torch.Tensor | None":
        length, bias = q.shape[2], None
        places = _buckets(length, self._buckets, self._furthest, self._span, q.device)
        query_table, key_table = self._tables[at]
        if "c2p" in self._kinds:
            # Row i holds key places 0.. as query place minus key place falls from i.
            bias = _diagonals(q, key_table[:, _whole(places.flip(0))])
        if "p2c" in self._kinds:
            turned = _diagonals(k, query_table[:, _whole(places)]).transpose(2, 3)
            bias = turned if bias is None else bias + turned
        return bias

    def _make_tables(
        self, config: layout.Config, weights: Weights
    ) -> list[tuple["torch.Tensor", "torch.Tensor"]]:
        import torch.nn.functional as F

        rows = weights["encoder.rel_embeddings.weight"][: 2 * self._span]
        if "layer_norm" in str(config.raw.get("norm_rel_ebd", "none")):
            norm = layout.norm(weights, "encoder.LayerNorm", config.eps)
            rows = F.layer_norm(rows, rows.shape[-1:], norm.weight, norm.bias, norm.eps)
        shared = bool(config.raw.get("share_att_key", False))
        names, made = (
            ("query_proj", "key_proj") if shared else ("pos_query_proj", "pos_key_proj"),
            [],
        )
        for at in range(config.layers):
            pair = []
            for name in names:
                place = f"encoder.layer.{at}.attention.self.{name}"
                if f"{place}.weight" not in weights:  # its kind is not used
                    pair.append(rows)
                    continue
                part = layout.linear(weights, place)
                table = F.linear(rows, part.weight, part.bias)
                pair.append(table.view(len(rows), self._heads, -1).transpose(0, 1))
            made.append((pair[0], pair[1]))
        return made


@cache
def _buckets(
    length: int, buckets: int, furthest: int, span: int, device: "torch.device"
) -> "torch.Tensor":
    """The table row of every difference from -(length - 1) to length - 1.

    Near differences have rows of their own, far ones share them by logarithm.
    """
    import torch

    gap = torch.arange(1 - length, length)
    if buckets > 0:
        middle = buckets // 2
        distance = gap.abs().clamp(min=middle).double()
        far = torch.ceil(torch.log(distance / middle) / math.log((furthest - 1) / middle)
                         * (middle - 1)).long() + middle  # fmt: skip
        gap = torch.where(gap.abs() <= middle, gap, far * gap.sign())
    return (gap + span).clamp(0, 2 * span - 1).to(device)


def _whole(places: "torch.Tensor") -> "torch.Tensor":
    import torch.nn.functional as F

    # A GPU multiplies rows of whole vectors three times as fast; what is added is never read.
    return F.pad(places, (0, -len(places) % 8))


def _diagonals(x: "torch.Tensor", table: "torch.Tensor") -> "torch.Tensor":
    """[heads, texts, i, j] from x [heads, texts, i, size] times a table [heads, places, size]:
    row i of the products starts length - 1 - i columns in."""
    import torch

    heads, texts, length, size = x.shape
    # All texts of a head at once: broadcast, the table would be copied for each of them.
    rows = x.reshape(heads, texts * length, size)
    products, row = torch.bmm(rows, table.transpose(1, 2)), table.shape[1]
    return products.as_strided(
        (heads, texts, length, length),
        (texts * length * row, length * row, row - 1, 1),
        length - 1,
    )

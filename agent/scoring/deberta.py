"""DeBERTa's attention over packed texts: position against content as an additive bias.

He et al. 2021 (arXiv 2006.03654), eq. 4: content to position and position to content are added
to content to content before the softmax. Both depend on query place minus key place only, so
each is one matrix product with 2 x length - 1 rows, read along its diagonals by a strided view
instead of the gather of transformers' own code. On a CPU they are made by bands of rows, which
multiply less, and for no more heads at a time than its cache holds.

No faster (2026-11-26): baddbmm, softmax and bmm for the fused kernel; q, k, v made contiguous.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.scoring import layout
from agent.scoring.forward import Pack, Rectangle, Texts
from agent.scoring.layout import Weights

if TYPE_CHECKING:
    import torch

    # Of queries and of keys [heads, places, size]; None where its kind is not used.
    Tables = tuple[torch.Tensor | None, torch.Tensor | None]

# A band of 128 rows of a text of 512 multiplies 640 places instead of 1,023. Narrower bands and
# fewer biases at a time are no faster, and two threads on a busy machine meet too often.
_BAND = 128
_BIAS_BYTES = 2 << 20  # about a core's L2
# Tables reach as far as the longest text so far, by such steps: 19 MB each for a base model.
_STEP = 128


class Disentangled:
    """The attention of a DeBERTa-v2 or v3 checkpoint; the position products are made once."""

    def __init__(self, config: layout.Config, weights: Weights) -> None:
        raw = config.raw
        self._heads = config.heads
        told = raw.get("pos_att_type") or ()
        # Older checkpoints write "p2c|c2p".
        kinds = tuple(told.lower().split("|") if isinstance(told, str) else told)
        self._kinds = kinds if raw.get("relative_attention") else ()
        self._buckets = int(raw.get("position_buckets", -1))
        furthest = int(raw.get("max_relative_positions", -1))
        self._furthest = furthest if furthest > 0 else int(raw["max_position_embeddings"])
        self._span = self._buckets if self._buckets > 0 else self._furthest
        size = int(raw["hidden_size"]) // config.heads
        # As transformers has it: what is not added for want of relative attention counts here too.
        self._scale = 1 / math.sqrt(size * (1 + ("c2p" in kinds) + ("p2c" in kinds)))
        self._tables = self._make_tables(config, weights) if self._kinds else []
        self._spread: tuple[int, list[Tables]] = (0, [])

    def __call__(self, qkv: "torch.Tensor", pack: Texts, at: int) -> "torch.Tensor":
        import torch.nn.functional as F

        if isinstance(pack, Rectangle):
            raise ValueError("int8 does not read deberta-v2")
        if qkv.is_cuda:
            return self.padded(qkv, pack, at)
        tokens, width = qkv.shape[0], qkv.shape[1] // 3
        mixed = qkv.new_empty(tokens, width)
        for first, texts, length in pack.runs:
            here, shape = slice(first, first + texts * length), (texts, length, 3, self._heads, -1)
            q, k, v = qkv[here].view(shape).permute(2, 3, 0, 1, 4)
            out = mixed[here].view(texts, length, self._heads, -1).permute(2, 0, 1, 3)
            for some in _cuts(self._heads, texts, length):
                bias = self._banded(q[some], k[some], at, some[0]) if self._kinds else None
                out[some] = F.scaled_dot_product_attention(
                    q[some], k[some], v[some], attn_mask=bias, scale=self._scale
                )
        return mixed

    def padded(self, qkv: "torch.Tensor", pack: Pack, at: int) -> "torch.Tensor":
        """The same by blocks of about one length: few launches count more than a little padding."""
        import torch.nn.functional as F

        tokens, width = qkv.shape[0], qkv.shape[1] // 3
        size = width // self._heads
        mixed = qkv.new_empty(tokens + 1, width)  # what padding gives goes to the last row
        for places in pack.blocks:
            texts, length = places.shape
            part = qkv[places.clamp(max=tokens - 1)].view(texts, length, 3, self._heads, size)
            q, k, v = part.permute(2, 3, 0, 1, 4)
            mask = (places < tokens)[:, None]
            if self._kinds and (bias := self._bias(q, k, at)) is not None:
                mask = bias.masked_fill(~mask, -math.inf)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=self._scale)
            mixed[places.flatten()] = out.permute(1, 2, 0, 3).reshape(texts * length, width)
        return mixed[:tokens]

    def _bias(self, q: "torch.Tensor", k: "torch.Tensor", at: int) -> "torch.Tensor | None":
        """[heads, texts, i, j] in as few launches as can be."""
        length, bias = q.shape[2], None
        queries, keys = self._spread_to(length)[at]
        if keys is not None:
            bias = _diagonals(q, keys, 0, length)
        if queries is not None:
            turned = _diagonals(k, queries, 0, length).transpose(2, 3)
            bias = turned if bias is None else bias + turned
        return bias

    def _banded(
        self, q: "torch.Tensor", k: "torch.Tensor", at: int, heads: slice
    ) -> "torch.Tensor":
        length = q.shape[2]
        bias = q.new_zeros(*q.shape[:3], length)
        queries, keys = self._spread_to(length)[at]
        for x, table, whole in ((q, keys, bias), (k, queries, bias.transpose(2, 3))):
            if table is not None:
                for first in range(0, length, _BAND):
                    rows = slice(first, first + _BAND)
                    part = _diagonals(x[:, :, rows], table[heads], first, length)
                    whole[:, :, rows].add_(part)
        return bias

    def _spread_to(self, length: int) -> "list[Tables]":
        """The tables with a row for every difference of places, by layer.

        Rows of queries stand as query place minus key place rises, of keys as it falls.
        """
        import torch

        if length > self._spread[0]:
            reach = -(-length // _STEP) * _STEP
            rising = self._rows(torch.arange(1 - reach, reach + 1))
            falling = self._rows(torch.arange(reach - 1, -reach - 1, -1))
            tables: list[Tables] = [
                (
                    None if queries is None else queries[:, rising] * self._scale,
                    None if keys is None else keys[:, falling] * self._scale,
                )
                for queries, keys in self._tables
            ]
            self._spread = reach, tables
        return self._spread[1]

    def _rows(self, gaps: "torch.Tensor") -> "torch.Tensor":
        """The table row of each difference: near ones have rows of their own, far ones share
        them by logarithm."""
        import torch

        if self._buckets > 0:
            middle = self._buckets // 2
            distance = gaps.abs().clamp(min=middle).double()
            far = torch.ceil(torch.log(distance / middle) / math.log((self._furthest - 1) / middle)
                             * (middle - 1)).long() + middle  # fmt: skip
            gaps = torch.where(gaps.abs() <= middle, gaps, far * gaps.sign())
        return (gaps + self._span).clamp(0, 2 * self._span - 1)

    def _make_tables(self, config: layout.Config, weights: Weights) -> "list[Tables]":
        import torch.nn.functional as F

        rows = weights["encoder.rel_embeddings.weight"][: 2 * self._span]
        if "layer_norm" in str(config.raw.get("norm_rel_ebd", "none")):
            norm = layout.norm(weights, "encoder.LayerNorm", config.eps)
            rows = F.layer_norm(rows, rows.shape[-1:], norm.weight, norm.bias, norm.eps)

        def made(kind: str, name: str, at: int) -> "torch.Tensor | None":
            if kind not in self._kinds:
                return None
            part = layout.linear(weights, f"encoder.layer.{at}.attention.self.{name}")
            table = F.linear(rows, part.weight, part.bias)
            return table.view(len(rows), self._heads, -1).transpose(0, 1)

        shared = "" if config.raw.get("share_att_key", False) else "pos_"
        names = {"p2c": f"{shared}query_proj", "c2p": f"{shared}key_proj"}
        each = range(config.layers)
        return [(made("p2c", names["p2c"], at), made("c2p", names["c2p"], at)) for at in each]


def _cuts(heads: int, texts: int, length: int) -> Iterator[tuple[slice, slice]]:
    """Heads and texts of which biases are made at a time."""
    most = max(1, _BIAS_BYTES // (4 * length**2))
    wide, high = min(heads, most), max(1, most // heads)
    for text in range(0, texts, high):
        for head in range(0, heads, wide):
            yield slice(head, head + wide), slice(text, text + high)


def _diagonals(x: "torch.Tensor", table: "torch.Tensor", first: int, length: int) -> "torch.Tensor":
    """[heads, texts, i, j] from x [heads, texts, i, size], the rows from `first` on of texts of a
    length, times a table [heads, places, size]: each starts a column before the one above."""
    import torch

    heads, texts, rows, size = x.shape
    start = table.shape[1] // 2 - first - rows
    # A GPU multiplies rows of whole vectors three times as fast; what is added is never read.
    columns = -(-(length + rows - 1) // 8) * 8
    part = table[:, start : start + columns].transpose(1, 2)
    # All texts of a head at once: broadcast, the table would be copied for each of them.
    products = torch.bmm(x.reshape(heads, texts * rows, size), part)
    row = products.shape[2]
    return products.as_strided(
        (heads, texts, rows, length),
        (texts * rows * row, rows * row, row - 1, 1),
        rows - 1,
    )

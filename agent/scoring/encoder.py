"""The forward pass of encoder models over a batch of texts, in packs of like length."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tokenizers
    import torch

# Padded tokens of one forward pass. On a CPU the working set must stay in its L2: 4,096 is 5 %
# slower, 8,192 30 % (performance.md 1). A GPU needs more to be busy.
_CPU_TOKENS, _GPU_TOKENS = 2_048, 16_384
# A tokeniser reads a whole text before it cuts; ten characters a token are nearly always enough.
_TOKEN_CHARS = 10

Head = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


class Encoder:
    """One model with its tokeniser; rows come back in the order of the texts.

    A text that stands in a batch twice is run once. `max_tokens` cuts longer texts.
    """

    def __init__(
        self, model: Any, tokenizer: "tokenizers.Tokenizer", max_tokens: int, device: str = "auto"
    ) -> None:
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.max_tokens = max_tokens
        self._model = model.eval().to(device)
        self._device = device
        self._budget = _CPU_TOKENS if device == "cpu" else _GPU_TOKENS
        self._pad = model.config.pad_token_id or 0
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=max_tokens)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of length 1: the mean of the last hidden states over each text's tokens."""
        import torch

        def mean(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            return torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1))

        return self._rows(texts, mean)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The outputs of the model's classification head."""
        return self._rows(
            texts, lambda ids, mask: self._model(input_ids=ids, attention_mask=mask).logits
        )

    def _rows(self, texts: Sequence[str], head: Head) -> NDArray[np.float32]:
        import torch

        if not texts:
            return np.zeros((0, 0), np.float32)
        places: dict[str, int] = {}
        for text in texts:
            places.setdefault(text, len(places))
        ids = self._ids(list(places))
        rows: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(ids)
        with torch.inference_mode():
            for pack in _packs([len(one) for one in ids], self._budget):
                made = head(*self._padded([ids[at] for at in pack])).float().cpu().numpy()
                for at, row in zip(pack, made, strict=True):
                    rows[at] = row
        return np.stack([rows[places[text]] for text in texts])

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        limit = self.max_tokens * _TOKEN_CHARS
        found = self._encode([_cut(text, limit) for text in texts])
        # Few tokens in many characters: what was cut off belongs to the text's first tokens.
        short = [
            at
            for at, text in enumerate(texts)
            if len(text) > limit and len(found[at]) < self.max_tokens
        ]
        for at, ids in zip(short, self._encode([texts[at] for at in short]), strict=True):
            found[at] = ids
        return found

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        # The tokeniser takes UTF-8 only, which a lone surrogate is not.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(clean)]

    def _padded(self, pack: Sequence[list[int]]) -> tuple["torch.Tensor", "torch.Tensor"]:
        import torch

        longest = max(map(len, pack))
        ids = [one + [self._pad] * (longest - len(one)) for one in pack]
        mask = [[1] * len(one) + [0] * (longest - len(one)) for one in pack]
        return torch.tensor(ids, device=self._device), torch.tensor(mask, device=self._device)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    # At a space: half a word would have other tokens.
    return text[:limit].rpartition(" ")[0] or text[:limit]


def _packs(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places in packs of like length, none of more padded tokens than the budget."""
    pack: list[int] = []
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Sorted: the newest is the longest, and all are padded to it.
        if pack and lengths[at] * (len(pack) + 1) > budget:
            yield pack
            pack = []
        pack.append(at)
    if pack:
        yield pack

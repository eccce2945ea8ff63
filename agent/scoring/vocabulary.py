"""Texts to token ids, once a text whatever the number of models that share the vocabulary."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tokenizers

# A text, or two that a cross-encoder reads together.
Text = str | tuple[str, str]
# A tokeniser reads a whole text before it cuts; ten characters a token are nearly always enough.
_TOKEN_CHARS = 10


@dataclass(frozen=True, slots=True)
class Tokens:
    """Ids and types (first or second text) of one window, special tokens included."""

    ids: list[int]
    types: list[int]


class Vocabulary:
    """One tokeniser; `key` is equal for models whose texts may be tokenised together."""

    def __init__(self, tokenizer: "tokenizers.Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        # Models that cut and pad otherwise share their tokens all the same.
        self.key = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
        self._pairs = type(tokenizer).from_str(tokenizer.to_str())
        first, *rest = tokenizer.encode("").ids or [0]
        self._first, self._last = [first], rest

    def ids(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """At least the first `max_tokens` ids of each text, special tokens left out."""
        limit = max_tokens * _TOKEN_CHARS
        found = self._encode([_cut(text, limit) for text in texts])
        # Few tokens in many characters: what was cut off belongs to the text's first tokens.
        short = [
            at for at, text in enumerate(texts) if len(text) > limit and len(found[at]) < max_tokens
        ]
        for at, ids in zip(short, self._encode([texts[at] for at in short]), strict=True):
            found[at] = ids
        return found

    def whole(self, text: str, max_tokens: int) -> bool:
        """Whether `ids` reads all of a text, and so gives the same for a larger `max_tokens`."""
        return len(text) <= max_tokens * _TOKEN_CHARS

    def pairs(self, texts: Sequence[tuple[str, str]], max_tokens: int) -> list[list[Tokens]]:
        """Two texts in one window each; the longer is cut first."""
        limit = max_tokens * _TOKEN_CHARS
        self._pairs.enable_truncation(max_tokens)
        clean = [(_clean(_cut(a, limit)), _clean(_cut(b, limit))) for a, b in texts]
        made = self._pairs.encode_batch_fast(clean)
        return [[Tokens(one.ids, one.type_ids)] for one in made]

    def windows(self, ids: Sequence[int], max_tokens: int, most: int) -> list[Tokens]:
        """A text as windows of at most `max_tokens`; when `most` are too few they are spread
        evenly from its start to its end."""
        room = max_tokens - len(self._first) - len(self._last)
        count = min(max(-(-len(ids) // room), 1), most)
        starts = np.linspace(0, max(len(ids) - room, 0), count).astype(int).tolist()
        return [self._window(ids[at : at + room]) for at in starts]

    def _window(self, ids: Sequence[int]) -> Tokens:
        whole = [*self._first, *ids, *self._last]
        return Tokens(whole, [0] * len(whole))

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        made = self._tokenizer.encode_batch_fast(
            [_clean(text) for text in texts], add_special_tokens=False
        )
        return [one.ids for one in made]


def _clean(text: str) -> str:
    # The tokeniser takes UTF-8 only, which a lone surrogate is not.
    return text.encode("utf-8", "replace").decode()


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    # At a space: half a word would have other tokens.
    return text[:limit].rpartition(" ")[0] or text[:limit]

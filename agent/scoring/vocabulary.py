"""Texts to token ids, once a text whatever the number of models that share the vocabulary.

BERT's tokenisers read a text word by word, so a word that was read before is looked up.
"""

import hashlib
import json
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from agent.scoring.words import Ids, Words

if TYPE_CHECKING:
    import tokenizers

# A text, or two that a cross-encoder reads together.
Text = str | tuple[str, str]
# A tokeniser reads a whole text before it cuts; ten characters a token are nearly always enough.
_TOKEN_CHARS = 10


class Tokens(NamedTuple):
    """Ids and types (first or second text) of one window, special tokens included.

    Without types all are of the first text.
    """

    ids: Ids
    types: Ids | None = None


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
        self._first, self._last = _ids([first]), _ids(rest)
        self._words = Words(tokenizer) if _by_words(tokenizer) else None

    def ids(self, texts: Sequence[str], max_tokens: int, slices: int = 1) -> list[Ids]:
        """At least `max_tokens` ids of each text, special tokens left out: its first ones, or those
        of as many `slices` as are spread evenly from its start to its end."""
        limit = max_tokens * _TOKEN_CHARS
        found = self._encode(
            [text if len(text) <= limit else _thinned(text, limit, slices) for text in texts]
        )
        # Few tokens in many characters: what was left out belongs to them.
        short = [
            at for at, text in enumerate(texts) if len(text) > limit and len(found[at]) < max_tokens
        ]
        if short:
            for at, ids in zip(short, self._encode([texts[at] for at in short]), strict=True):
                found[at] = ids
        return found

    def whole(self, text: str, max_tokens: int) -> bool:
        """Whether `ids` reads all of a text, and so gives the same for a larger `max_tokens`."""
        return len(text) <= max_tokens * _TOKEN_CHARS

    def counts(self, texts: Sequence[str], most: int) -> list[int]:
        """How many tokens each text has; more than `most` where that is all there is to know."""
        return [len(ids) for ids in self.ids(texts, most + 1)]

    def room_of_pairs(self, max_tokens: int) -> int:
        """The tokens that two texts may have together in one window."""
        return max_tokens - self._tokenizer.num_special_tokens_to_add(is_pair=True)

    def pairs(self, texts: Sequence[tuple[str, str]], max_tokens: int) -> list[list[Tokens]]:
        """Two texts in one window each; the longer is cut first."""
        self._pairs.enable_truncation(max_tokens)
        cut = [(self._enough(a, max_tokens), self._enough(b, max_tokens)) for a, b in texts]
        made = self._pairs.encode_batch_fast([(_clean(a), _clean(b)) for a, b in cut])
        return [[Tokens(_ids(one.ids), _ids(one.type_ids))] for one in made]

    def _enough(self, text: str, max_tokens: int) -> str:
        """A text cut by its characters, unless fewer than `max_tokens` are left of it then."""
        begun = _cut(text, max_tokens * _TOKEN_CHARS)
        few = len(begun) < len(text) and len(self._encode([begun])[0]) < max_tokens
        return text if few else begun

    def highest(self) -> int:
        """The highest id that a text may have."""
        return max(self._tokenizer.get_vocab().values())

    def windows(self, found: Sequence[Ids], max_tokens: int, most: int) -> list[list[Tokens]]:
        """Each text as windows of at most `max_tokens`; when `most` are too few they are spread
        evenly from its start to its end."""
        first, last = self._first, self._last
        room = max_tokens - len(first) - len(last)
        return [
            [
                Tokens(first + part + last)
                for part in ([ids] if len(ids) <= room else _parts(ids, room, most))
            ]
            for ids in found
        ]

    def _encode(self, texts: Sequence[str]) -> list[Ids]:
        if self._words is not None:
            return self._words.ids(texts)
        clean = [_clean(text) for text in texts]
        made = self._tokenizer.encode_batch_fast(clean, add_special_tokens=False)
        return [_ids(one.ids) for one in made]


def _by_words(tokenizer: "tokenizers.Tokenizer") -> bool:
    """Whether no token depends on what stands beyond a space."""
    told = json.loads(tokenizer.to_str())
    kinds = [
        (told.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")
    ]
    plain = not any(
        one["lstrip"] or one["rstrip"] or one["single_word"] or " " in one["content"]
        for one in told["added_tokens"]
    )
    return plain and kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"]


def _ids(ids: Sequence[int]) -> Ids:
    return array("i", ids)


def _clean(text: str) -> str:
    # The tokeniser takes UTF-8 only, which a lone surrogate is not.
    return text.encode("utf-8", "replace").decode()


def _parts(ids: Ids, room: int, most: int) -> list[Ids]:
    count = min(-(-len(ids) // room), most)
    step = (len(ids) - room) / max(count - 1, 1)
    starts = [*(int(at * step) for at in range(count - 1)), len(ids) - room if count > 1 else 0]
    return [ids[at : at + room] for at in starts]


def _thinned(text: str, limit: int, slices: int) -> str:
    """At most so many characters of a longer text, in slices from its start to its end."""
    if slices < 2:
        return _cut(text, limit)
    size = limit // slices
    step = (len(text) - size) / (slices - 1)
    places = [int(at * step) for at in range(1, slices)]
    # From a word on, where there are words.
    starts = [0, *(text.find(" ", at, at + size) + 1 or at for at in places)]
    return " ".join(_cut(text[at : at + size + 1], size) for at in starts)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    # At a space: half a word would have other tokens.
    return text[:limit].rpartition(" ")[0] or text[:limit]

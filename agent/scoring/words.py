"""The ids of words that were read before, in one table: numpy finds those of thousands of words at
once, and lets other threads run meanwhile.

A word of up to sixteen bytes is two integers, which its row of the table holds: what is found is
that word and no other. Longer ones are in a dictionary.

On 16 cores an accelerator waited for the tokeniser, which took 1.3 ms of their time a text; then,
2026-11-27, for Python: 45 us a text for words in a dictionary, with the interpreter's lock held.
"""

import itertools
import secrets
import threading
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

# Ids are 32-bit integers in an array, which is cut and joined without a look at any of them.
if TYPE_CHECKING:
    import tokenizers

    Ids = array[int]
else:  # Python 3.11 knows no parameter of an array
    Ids = array

# Rows of the table, 6 MB: with half of them in use all is forgotten. So many are looked at for one
# word; in a table that is half full hardly any needs more.
_ROWS, _TRIES = 1 << 18, 16
# Bytes of a word in the table; of other words that are remembered; and of text that is read at
# once, so that its arrays stay in a CPU's caches.
_SHORT, _OTHER_BYTES, _SLICE_BYTES = 16, 2 << 20, 1 << 18
# What is left of sixteen bytes of text where a word has fewer.
_MASKS = np.frombuffer(
    b"".join(b"\xff" * size + bytes(_SHORT - size) for size in range(_SHORT + 1)), "<i8"
).reshape(-1, 2)
# An entry is the place of a word's first id and, in its last bits, one more than it has ids.
_COUNT_BITS = 24

Numbers = NDArray[np.int64]


class Words:
    """Words with their ids; what a word is made of is asked of a tokeniser once."""

    def __init__(self, tokenizer: "tokenizers.Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        # Drawn, so that nobody can write words that all share a row.
        self._mix = [np.uint64(secrets.randbits(64) | 1) for _ in range(2)]
        self._forget()

    def _forget(self) -> None:
        self._low, self._high, self._entries = np.zeros((3, _ROWS), np.int64)
        self._others: dict[bytes, int] = {}
        self._ids = array("i")
        self._used, self._room = 0, _OTHER_BYTES

    def ids(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text; a lone surrogate is read as a question mark."""
        with self._lock:
            return [ids for part in _slices(texts) for ids in self._read(part)]

    def _read(self, texts: Sequence[bytes]) -> Iterator[Ids]:
        data, starts, ends = _split(texts)
        found = self._find(data, starts, ends)
        unread = np.flatnonzero(found == 0)
        if len(unread):
            self._learn(data, starts, ends, unread)
            found = self._find(data, starts, ends)
        counts = (found & ((1 << _COUNT_BITS) - 1)) - 1
        last = np.cumsum(counts)
        places = np.repeat((found >> _COUNT_BITS) - last + counts, counts)
        places += np.arange(len(places))
        flat = np.frombuffer(self._ids, np.int32).take(places).tobytes()
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        words = np.searchsorted(starts, np.cumsum(sizes + 1))
        edges = [0, *(4 * np.concatenate([[0], last])[words]).tolist()]
        return (array("i", flat[a:b]) for a, b in itertools.pairwise(edges))

    def _find(self, data: bytes, starts: Numbers, ends: Numbers) -> Numbers:
        """The entry of each word, 0 where it is not known."""
        low, high, rows = self._keys(data, starts, ends)
        short = _short(data, starts, ends)
        found = self._at(low, high, rows) * short
        left = np.flatnonzero((found == 0) & short)
        for _ in range(_TRIES - 1):
            left = left[self._entries.take(rows[left]) > 0]  # another word is there
            if not len(left):
                break
            rows[left] = (rows[left] + 1) % _ROWS
            found[left] = self._at(low[left], high[left], rows[left])
            left = left[found[left] == 0]
        for at in np.flatnonzero(found == 0).tolist():
            found[at] = self._others.get(data[starts[at] : ends[at]], 0)
        return found

    def _at(self, low: Numbers, high: Numbers, rows: Numbers) -> Numbers:
        same = self._low.take(rows) == low
        same &= self._high.take(rows) == high
        entries: Numbers = self._entries.take(rows) * same
        return entries

    def _keys(
        self, data: bytes, starts: Numbers, ends: Numbers
    ) -> tuple[Numbers, Numbers, Numbers]:
        """The two integers of each word, and the row where a search for it begins."""
        sixteen = np.ndarray(len(data) - _SHORT + 1, f"V{_SHORT}", data, strides=(1,))
        both = sixteen.take(starts).view("<i8").reshape(-1, 2)
        both &= _MASKS.take(np.minimum(ends - starts, _SHORT), 0)
        low, high = both.T.copy()
        mixed = low.view(np.uint64) * self._mix[0]
        mixed ^= high.view(np.uint64) * self._mix[1]
        mixed ^= mixed >> np.uint64(32)
        mixed *= self._mix[0]
        mixed >>= np.uint64(40)
        return low, high, mixed.view(np.int64) % _ROWS

    def _learn(self, data: bytes, starts: Numbers, ends: Numbers, unread: Numbers) -> None:
        if self._used + len(unread) > _ROWS // 2 or self._room < 0:
            self._forget()
            unread = np.arange(len(starts))
        new = dict.fromkeys(data[starts[at] : ends[at]] for at in unread.tolist())
        made = self._tokenizer.encode_batch_fast(
            [word.decode() for word in new], add_special_tokens=False
        )
        joined, firsts, lasts = _split(list(new))
        keys = [one.tolist() for one in self._keys(joined, firsts, lasts)]
        short = _short(joined, firsts, lasts).tolist()
        for at, (word, one) in enumerate(zip(new, made, strict=True)):
            entry = len(self._ids) << _COUNT_BITS | len(one.ids) + 1
            self._ids.extend(one.ids)
            low, high, row = (some[at] for some in keys)
            free = self._free(row) if short[at] else None
            if free is None:
                self._others[word] = entry
                self._room -= len(word)
            else:
                self._low[free], self._high[free], self._entries[free] = low, high, entry
                self._used += 1

    def _free(self, row: int) -> int | None:
        """The first free row from one on, if there is any where a search looks."""
        tried = ((row + step) % _ROWS for step in range(_TRIES))
        return next((one for one in tried if not self._entries[one]), None)


def _slices(texts: Sequence[str]) -> Iterator[list[bytes]]:
    """Texts in UTF-8, as many at a time as are read at once."""
    data = [text.encode("utf-8", "replace") for text in texts]
    sizes = np.fromiter(map(len, data), np.int64, len(data))
    cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // _SLICE_BYTES)) + 1
    for a, b in itertools.pairwise([0, *cuts.tolist(), len(data)]):
        yield data[a:b]


def _split(texts: Sequence[bytes]) -> tuple[bytes, Numbers, Numbers]:
    """The texts joined, with where each of their words starts and ends there."""
    # As many bytes behind the last word as are looked at from its start.
    data = b" %b%b" % (b" ".join(texts), b" " * _SHORT)
    letters = np.frombuffer(data, np.uint8)
    gaps = (letters == ord(" ")) | (letters == ord("\n"))
    edges = np.flatnonzero(gaps[1:] != gaps[:-1]) + 1
    return data, edges[::2], edges[1::2]


def _short(data: bytes, starts: Numbers, ends: Numbers) -> NDArray[np.bool_]:
    """Which words may have a row: behind a shorter one, zero bytes would be no difference."""
    short = ends - starts <= _SHORT
    if b"\0" in data:
        zeros = np.flatnonzero(np.frombuffer(data, np.uint8) == 0)
        short[np.searchsorted(starts, zeros, "right") - 1] = False
    return short

"""What models said of texts lately: rows by model and text, the oldest forgotten first."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.scoring.models import Model
from agent.scoring.vocabulary import Text

Rows = NDArray[np.float32]  # [windows or tokens, columns]

# What an entry takes beside its numbers, key, array and places in the dictionary: 344 by the
# growth of a process that held 200,000 rows of two columns.
ENTRY_BYTES = 344


class Memory:
    """The latest outputs by key, bounded by their bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._rows: OrderedDict[bytes, Rows] = OrderedDict()
        self._most, self._held = most_bytes, 0

    def get(self, key: bytes) -> Rows | None:
        """The rows of a key, which becomes the latest."""
        rows = self._rows.get(key)
        if rows is not None:
            self._rows.move_to_end(key)
        return rows

    def put(self, key: bytes, rows: Rows) -> None:
        """Remember; the oldest go when it is too much."""
        old = self._rows.pop(key, None)
        self._rows[key] = rows
        self._held += _size(rows) - (0 if old is None else _size(old))
        while self._held > self._most:
            self._held -= _size(self._rows.popitem(last=False)[1])


def _size(rows: Rows) -> int:
    return rows.nbytes + ENTRY_BYTES


def keys_of(model: Model, texts: Sequence[Text]) -> list[bytes]:
    """The key of each text's rows by this model."""
    name = hashlib.blake2b(model.key.encode()).digest()
    return [_key(name, text) for text in texts]


def _key(name: bytes, text: Text) -> bytes:
    if isinstance(text, str):
        data, kind = text.encode("utf-8", "surrogatepass"), b"text"
    else:
        first, second = (part.encode("utf-8", "surrogatepass") for part in text)
        data, kind = len(first).to_bytes(8) + first + second, b"pair"
    return hashlib.blake2b(data, digest_size=16, key=name, person=kind).digest()

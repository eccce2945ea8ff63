"""Which texts a batch needs run by which model, and their outputs: each text once.

Tokenisation of the next chunk goes on in a thread while the model runs this one; packs are cut
by tokens, never padded; outputs are remembered by (model, text) across batches.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agent.scoring.forward import Pack
from agent.scoring.memory import Memory, Rows, keys_of
from agent.scoring.models import Model
from agent.scoring.vocabulary import Text, Tokens
from agent.scoring.words import Ids

if TYPE_CHECKING:
    import torch

_log = logging.getLogger("vedette.engine")

# Tokens of one forward pass. On a CPU the working set must stay in its L2 (performance.md 1);
# a GPU needs many to be busy: 65,536 gave 15 % more chats a second than 32,768 on an H200.
_CPU_TOKENS, _GPU_TOKENS = 2_048, 65_536
# A chunk is tokenised while packs of the one before it are computed.
_CHUNK_TEXTS = 512
# What is remembered of texts already run: about 20,000 embeddings.
_MEMORY_BYTES = 32 << 20
_HUNG = 70  # the exit code that tells a supervisor to start the process again

Wait = Callable[[], Rows]


@dataclass(frozen=True, slots=True)
class Want:
    """Texts that a scorer will ask a model for, or only for the `embedding` in its rows."""

    model: Model
    texts: Sequence[Text]
    embedding: bool = False


class _Piece(NamedTuple):
    """One window of one text."""

    text: int
    tokens: Tokens


class Engine:
    """Runs models over texts; `on_time` hears the seconds of "tokenise", "queue" and "compute"."""

    def __init__(self, memory_bytes: int = _MEMORY_BYTES) -> None:
        self.on_time: Callable[[str, float], None] = lambda *_: None
        self._memory = Memory(memory_bytes)
        # Tokens of a pack by model, where memory has lowered them.
        self._budgets: dict[str, int] = {}
        # Ids by vocabulary and text, while several models of one vocabulary read a batch.
        self._shared: dict[str, dict[str, Ids]] = {}
        self._thread = ThreadPoolExecutor(1, "tokenise")

    def prepare(self, wants: Iterable[Want]) -> None:
        """Run what the scorers of a batch need together, so that asking for it costs nothing.

        Embeddings wait until they are asked for: what is run of a text by then may hold them.
        """
        together: dict[str, tuple[Model, dict[Text, None]]] = {}
        for want in wants:
            if want.embedding and want.model.embedding is not None:
                continue
            _, texts = together.setdefault(want.model.key, (want.model, {}))
            texts.update(dict.fromkeys(want.texts))
        models = [model for model, _ in together.values()]
        keys = Counter(model.vocabulary.key for model in models)
        self._shared = {key: {} for key, n in keys.items() if n > 1}
        try:
            for model, texts in together.values():
                self.outputs(model, list(texts))
        finally:
            self._shared = {}

    def outputs(self, model: Model, texts: Sequence[Text]) -> list[Rows]:
        """The rows of every text, one a window or a token; NaN where there is no number."""
        keys = keys_of(model, texts)
        found: dict[bytes, Rows] = {}
        missing: dict[bytes, Text] = {}
        for key, text in zip(keys, texts, strict=True):
            known = self._memory.get(key)
            if known is None:
                missing[key] = text
            else:
                found[key] = known
        for key, rows in zip(missing, self._run(model, list(missing.values())), strict=True):
            found[key] = rows
            if not model.per_token:  # too many rows to keep
                self._memory.put(key, rows.copy())  # a view would hold its whole pack
            elif model.embedding is not None and len(rows) <= model.embedding.max_tokens:
                mean = rows.mean(0, keepdims=True)
                (whole,) = keys_of(model.embedding, [missing[key]])
                self._memory.put(whole, mean / np.linalg.norm(mean))
        return [found[key] for key in keys]

    def embeddings(self, model: Model, texts: Sequence[Text]) -> list[Rows]:
        """The embeddings that stand behind the labels in a model's rows, one a window.

        Of a text that the model has not run lately they are run alone.
        """
        heads, alone = len(model.labels), model.embedding
        if alone is None:
            return [rows[:, heads:] for rows in self.outputs(model, texts)]
        known = [self._memory.get(key) for key in keys_of(model, texts)]
        missing = [text for text, rows in zip(texts, known, strict=True) if rows is None]
        made = iter(self.outputs(alone, missing))
        return [next(made) if rows is None else rows[:, heads:] for rows in known]

    def _run(self, model: Model, texts: Sequence[Text]) -> list[Rows]:
        order = sorted(range(len(texts)), key=lambda at: _chars(texts[at]))
        chunks = _chunks(order)
        found: list[list[Rows]] = [[] for _ in texts]
        for pack, rows in self._computed(model, texts, chunks):
            first = 0
            for piece, count in zip(pack, _counts(model, pack), strict=True):
                found[piece.text].append(rows[first : first + count])
                first += count
        return [rows[0] if len(rows) == 1 else np.concatenate(rows) for rows in found]

    def _computed(
        self, model: Model, texts: Sequence[Text], chunks: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[_Piece], Rows]]:
        """Every pack with its rows; an accelerator begins the next before they are waited for."""
        ahead: tuple[list[_Piece], Wait, float] | None = None
        pieces = self._tokenised(model, texts, chunks)
        for pack, ready in _packs(pieces, lambda: self._budget(model)):
            began = time.perf_counter()
            self.on_time("queue", began - ready)
            wait = self._begin(model, pack)
            now, ahead = ahead, (pack, wait, time.perf_counter() - began)
            if now is not None:
                yield self._waited(*now)
        if ahead is not None:
            yield self._waited(*ahead)

    def _waited(self, pack: list[_Piece], wait: Wait, spent: float) -> tuple[list[_Piece], Rows]:
        began = time.perf_counter()
        rows = wait()
        self.on_time("compute", spent + time.perf_counter() - began)
        return pack, rows

    def _tokenised(
        self, model: Model, texts: Sequence[Text], chunks: Sequence[Sequence[int]]
    ) -> Iterator[list[_Piece]]:
        ahead: Future[list[_Piece]] | None = None
        for chunk in chunks:
            now, ahead = ahead, self._thread.submit(self._tokenise, model, texts, chunk)
            if now is not None:
                yield now.result()
        if ahead is not None:
            yield ahead.result()

    def _tokenise(self, model: Model, texts: Sequence[Text], chunk: Sequence[int]) -> list[_Piece]:
        began = time.perf_counter()
        mine = [texts[at] for at in chunk]
        pairs = [text for text in mine if isinstance(text, tuple)]
        if pairs:
            windows = model.vocabulary.pairs(pairs, model.max_tokens)
        else:
            single = [text for text in mine if isinstance(text, str)]
            cut = model.vocabulary.windows
            ids = self._ids(model, single)
            windows = [cut(one, model.max_tokens, model.windows) for one in ids]
        self.on_time("tokenise", time.perf_counter() - began)
        return [
            _Piece(at, tokens) for at, some in zip(chunk, windows, strict=True) for tokens in some
        ]

    def _ids(self, model: Model, texts: Sequence[str]) -> list[Ids]:
        vocabulary, most = model.vocabulary, model.max_tokens * model.windows
        known = self._shared.get(vocabulary.key)
        if known is None:
            return vocabulary.ids(texts, most, model.windows)
        # What is cut differs from model to model, and is never shared.
        whole = [text for text in texts if vocabulary.whole(text, most)]
        shared = {text: known[text] for text in whole if text in known}
        missing = [text for text in texts if text not in shared]
        made = dict(zip(missing, vocabulary.ids(missing, most, model.windows), strict=True))
        known.update({text: made[text] for text in whole if text in made})
        return [shared[text] if text in shared else made[text] for text in texts]

    def _budget(self, model: Model) -> int:
        return self._budgets.get(model.key, _CPU_TOKENS if model.device == "cpu" else _GPU_TOKENS)

    def _begin(self, model: Model, pack: Sequence[_Piece]) -> Wait:
        """Begin a pack; what is returned waits for its rows."""
        import torch

        tokens = [piece.tokens for piece in pack]
        ids, types = [one.ids for one in tokens], [one.types for one in tokens]
        try:
            with _restart_when_lost(), torch.inference_mode():
                made = model.rows(Pack.make(ids, types, model.device)).float()
                # The copy is behind the pack's own work and before that of the next one.
                rows = made.to("cpu", non_blocking=made.is_cuda)
                stream = torch.cuda.current_stream(made.device) if made.is_cuda else None
                done = None if stream is None else stream.record_event()
        except torch.cuda.OutOfMemoryError:
            rows = None
        if rows is None:  # not above: what failed would still hold its memory
            halves = self._halved(model, pack)
            return lambda: halves
        return partial(_rows, rows, done, (sum(_counts(model, pack)), model.columns))

    def _halved(self, model: Model, pack: Sequence[_Piece]) -> Rows:
        import torch

        if len(pack) == 1:
            raise MemoryError("one text does not fit into the accelerator's memory")
        torch.cuda.empty_cache()
        self._budgets[model.key] = max(self._budget(model) // 2, 1)
        _log.warning("out of accelerator memory; packs are %d tokens now", self._budget(model))
        middle = len(pack) // 2
        return np.concatenate([self._begin(model, one)() for one in (pack[:middle], pack[middle:])])


def _rows(made: "torch.Tensor", done: "torch.Event | None", wanted: tuple[int, int]) -> Rows:
    with _restart_when_lost():
        if done is not None:
            done.synchronize()
    found: Rows = made.numpy()
    return found if found.shape == wanted else np.full(wanted, np.nan, np.float32)


@contextmanager
def _restart_when_lost() -> Iterator[None]:
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if "CUDA error" not in str(error):
            raise
        # The context is lost for good: only a new process gets another.
        _log.critical("the accelerator failed: %s", str(error).splitlines()[0])
        raise SystemExit(_HUNG) from None


def _chars(text: Text) -> int:
    return len(text) if isinstance(text, str) else sum(map(len, text))


def _counts(model: Model, pack: Sequence[_Piece]) -> list[int]:
    return [len(piece.tokens.ids) if model.per_token else 1 for piece in pack]


def _chunks(order: Sequence[int]) -> list[Sequence[int]]:
    """Places in chunks; a model waits for the first ones, which are smaller."""
    made, at, size = list[Sequence[int]](), 0, _CHUNK_TEXTS // 8
    while at < len(order):
        made.append(order[at : at + size])
        at, size = at + size, min(2 * size, _CHUNK_TEXTS)
    return made


def _packs(
    chunks: Iterable[Sequence[_Piece]], budget: Callable[[], int]
) -> Iterator[tuple[list[_Piece], float]]:
    """Pieces by length, in packs of no more tokens than the budget unless one alone has more; and
    when the last of a pack was ready."""
    pack: list[_Piece] = []
    tokens, most, ready = 0, budget(), 0.0
    for pieces in chunks:
        ready = time.perf_counter()
        for piece in sorted(pieces, key=_tokens):
            size = _tokens(piece)
            if pack and tokens + size > most:
                yield sorted(pack, key=_tokens), ready
                pack, tokens, most = [], 0, budget()
            pack.append(piece)
            tokens += size
    if pack:
        yield sorted(pack, key=_tokens), ready


def _tokens(piece: _Piece) -> int:
    return len(piece.tokens.ids)

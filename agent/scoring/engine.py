"""Which texts a batch needs run by which model, and their outputs: each text once.

Tokenisation of the next chunk goes on in a thread while the model runs this one; packs are cut
by tokens, never padded; outputs are remembered by (model, text) across batches.
"""

import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from agent.scoring.forward import Pack
from agent.scoring.memory import Memory, Rows, keys_of
from agent.scoring.models import Model
from agent.scoring.pieces import Pieces, chunks, packs
from agent.scoring.vocabulary import Text
from agent.scoring.words import Ids

if TYPE_CHECKING:
    import torch

_log = logging.getLogger("vedette.engine")

# Tokens of one forward pass. On a CPU the working set must stay in its L2 (performance.md 1);
# a GPU needs many to be busy: 65,536 gave 15 % more chats a second than 32,768 on an H200.
_CPU_TOKENS, _GPU_TOKENS = 2_048, 65_536
# What is remembered of texts already run: about 20,000 embeddings.
_MEMORY_BYTES = 40 << 20
_HUNG = 70  # the exit code that tells a supervisor to start the process again

Wait = Callable[[], Rows]


@dataclass(frozen=True, slots=True)
class Want:
    """Texts that a scorer will ask a model for, or only for the `embedding` in its rows."""

    model: Model
    texts: Sequence[Text]
    embedding: bool = False


class Engine:
    """Runs models over texts; `on_time` hears the seconds of "tokenise", "queue" and "compute"."""

    def __init__(self, memory_bytes: int = _MEMORY_BYTES) -> None:
        self.on_time: Callable[[str, float], None] = lambda *_: None
        self._memory = Memory(memory_bytes)
        # All that was run or remembered since the batch began, which may be more than its bound.
        self._batch: dict[bytes, Rows] | None = None
        # Tokens of a pack by model, where memory has lowered them.
        self._budgets: dict[str, int] = {}
        # Ids by vocabulary and text, while several models of one vocabulary read a batch.
        self._shared: dict[str, dict[str, Ids]] = {}
        self._thread = ThreadPoolExecutor(1, "tokenise")

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Keep all that is run until the end, however much it is: each text once."""
        self._batch = {}
        try:
            yield
        finally:
            self._batch = None

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
            known = self._known(key)
            if known is None:
                missing[key] = text
            else:
                found[key] = known
        for key, rows in zip(missing, self._run(model, list(missing.values())), strict=True):
            found[key] = rows
            if not model.per_token:  # too many rows to keep
                self._keep(key, rows)
            elif model.embedding is not None and len(rows) <= model.embedding.max_tokens:
                mean = rows.mean(0, keepdims=True)
                (whole,) = keys_of(model.embedding, [missing[key]])
                self._keep(whole, mean / np.linalg.norm(mean))
        return [found[key] for key in keys]

    def _known(self, key: bytes) -> Rows | None:
        rows = None if self._batch is None else self._batch.get(key)
        if rows is None:
            rows = self._memory.get(key)
            if rows is not None and self._batch is not None:
                self._batch[key] = rows
        return rows

    def _keep(self, key: bytes, rows: Rows) -> None:
        if self._batch is not None:
            self._batch[key] = rows
        self._memory.put(key, rows.copy())  # a view would hold its whole pack

    def embeddings(self, model: Model, texts: Sequence[Text]) -> list[Rows]:
        """The embeddings that stand behind the labels in a model's rows, one a window.

        Of a text that the model has not run lately they are run alone.
        """
        heads, alone = len(model.labels), model.embedding
        if alone is None:
            return [rows[:, heads:] for rows in self.outputs(model, texts)]
        known = [self._known(key) for key in keys_of(model, texts)]
        missing = [text for text, rows in zip(texts, known, strict=True) if rows is None]
        made = iter(self.outputs(alone, missing))
        return [next(made) if rows is None else rows[:, heads:] for rows in known]

    def _run(self, model: Model, texts: Sequence[Text]) -> list[Rows]:
        sizes = [len(text) if isinstance(text, str) else sum(map(len, text)) for text in texts]
        order = sorted(range(len(texts)), key=sizes.__getitem__)
        found: list[list[Rows]] = [[] for _ in texts]
        for pack, rows in self._computed(model, texts, chunks(order)):
            counts = pack.lengths if model.per_token else np.ones_like(pack.lengths)
            edges = [0, *np.cumsum(counts).tolist()]
            for text, (first, last) in zip(pack.texts, itertools.pairwise(edges), strict=True):
                found[text].append(rows[first:last])
        return [rows[0] if len(rows) == 1 else np.concatenate(rows) for rows in found]

    def _computed(
        self, model: Model, texts: Sequence[Text], places: Sequence[Sequence[int]]
    ) -> Iterator[tuple[Pieces, Rows]]:
        """Every pack with its rows; an accelerator begins the next before they are waited for."""
        ahead: tuple[Pieces, Wait, float] | None = None
        pieces = self._tokenised(model, texts, places)
        for pack, ready in packs(pieces, lambda: self._budget(model)):
            began = time.perf_counter()
            self.on_time("queue", began - ready)
            wait = self._begin(model, pack)
            now, ahead = ahead, (pack, wait, time.perf_counter() - began)
            if now is not None:
                yield self._waited(*now)
        if ahead is not None:
            yield self._waited(*ahead)

    def _waited(self, pack: Pieces, wait: Wait, spent: float) -> tuple[Pieces, Rows]:
        began = time.perf_counter()
        rows = wait()
        self.on_time("compute", spent + time.perf_counter() - began)
        return pack, rows

    def _tokenised(
        self, model: Model, texts: Sequence[Text], places: Sequence[Sequence[int]]
    ) -> Iterator[Pieces]:
        ahead: Future[Pieces] | None = None
        for chunk in places:
            now, ahead = ahead, self._thread.submit(self._tokenise, model, texts, chunk)
            if now is not None:
                yield now.result()
        if ahead is not None:
            yield ahead.result()

    def _tokenise(self, model: Model, texts: Sequence[Text], chunk: Sequence[int]) -> Pieces:
        began = time.perf_counter()
        mine = [texts[at] for at in chunk]
        pairs = [text for text in mine if isinstance(text, tuple)]
        if pairs:
            windows = model.vocabulary.pairs(pairs, model.max_tokens)
        else:
            single = [text for text in mine if isinstance(text, str)]
            ids = self._ids(model, single)
            windows = model.vocabulary.windows(ids, model.max_tokens, model.windows)
        made = Pieces.of(chunk, windows)
        self.on_time("tokenise", time.perf_counter() - began)
        return made

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

    def _begin(self, model: Model, pack: Pieces) -> Wait:
        """Begin a pack; what is returned waits for its rows."""
        import torch

        ids, types = [one.ids for one in pack.tokens], [one.types for one in pack.tokens]
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
        count = int(pack.lengths.sum()) if model.per_token else len(pack)
        return partial(_rows, rows, done, (count, model.columns))

    def _halved(self, model: Model, pack: Pieces) -> Rows:
        import torch

        if len(pack) == 1:
            raise MemoryError("one text does not fit into the accelerator's memory")
        torch.cuda.empty_cache()
        # Where both halves fail, too, they lower it once together, and a pack that was small anyway
        # lowers it no further than a full one.
        now, tokens = self._budget(model), int(pack.lengths.sum())
        self._budgets[model.key] = max(min(now, max(now, tokens) // 2), 1)
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

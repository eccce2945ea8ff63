"""A candidate that is a model in a folder: one forward pass a token for a batch of questions.

Every row samples from a generator of its own, so an answer does not depend on its neighbours;
rows that have ended leave the batch. Safetensors only, no code from the folder, no download.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.buckets import event_key
from agent.record import Answer, Call
from shadow.candidates import answer_tokens
from shadow.loading import PLAIN, Loading, load

if TYPE_CHECKING:
    import torch

# Rows of a batch, and its tokens: rows times the longest question and answer. On a CPU more rows
# would keep all of them waiting; a 7B model with grouped keys holds 128 kB a token on a GPU.
_CPU, _GPU = (8, 16_384), (32, 65_536)
_STOP_TOKENS = 8  # more than its own length that a stop text may span, in tokens
_GREEDY = 1e-5  # logits over a temperature near 0 would be infinite


@dataclass(frozen=True, slots=True)
class Question:
    """A call as the model reads it: token ids, and how the answer is drawn.

    `temperature` 0 takes the likeliest token; `most` is the number of tokens it may say.
    """

    ids: tuple[int, ...]
    most: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The tokens that it and its longest answer take."""
        return len(self.ids) + self.most


@dataclass(slots=True)
class _Row:
    """An answer while it is written."""

    question: Question
    draw: "torch.Generator"
    said: list[int] = field(default_factory=list)
    finish: str | None = None
    ttft_s: float = 0.0
    latency_s: float = 0.0


class LocalModel:
    """A causal language model of transformers in a folder.

    `key` is the configuration's key that named the folder; `answer_tokens` holds where a call
    does not say how long its answer may be; `how` is as what it runs. Raises BadConfig for a folder
    that cannot be used, or not that way.
    """

    def __init__(
        self,
        key: str,
        folder: Path,
        answer_tokens: int = 1024,
        timeout_s: float = math.inf,
        how: Loading = PLAIN,
    ) -> None:
        import torch

        self._answer_tokens = answer_tokens
        self.timeout_s = timeout_s  # less of it holds for the batch that runs, too
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.rows, self.tokens = _GPU if self.device == "cuda" else _CPU
        self._tokenizer, self._model = load(key, folder, self.device, how)
        told, held = self._model.generation_config, self._model.config
        self._greedy = not told.do_sample
        self._defaults = told.temperature or 1.0, told.top_p or 1.0
        ends = told.eos_token_id if told.eos_token_id is not None else self._tokenizer.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._reads = int(getattr(held, "max_position_embeddings", None) or 1 << 30)

    def ask(self, calls: Sequence[Call]) -> list[Answer]:
        """The answers in the order of the calls; a call that cannot be asked has status error."""
        read = [self.read(call) for call in calls]
        found: dict[int, Answer] = {}
        while left := [at for at in range(len(calls)) if at not in found]:
            found |= {left[i]: one for i, one in self.batch([read[at] for at in left]).items()}
        return [found[at] for at in range(len(calls))]

    def batch(self, waiting: Sequence[Question | Answer]) -> dict[int, Answer]:
        """The answers of the next batch by place; what cannot be asked is answered before."""
        found = {at: one for at, one in enumerate(waiting) if isinstance(one, Answer)}
        asked = [one for one in waiting if isinstance(one, Question)]
        if found or not asked:
            return found
        chosen = self.together(asked)
        return dict(zip(chosen, self.answer([asked[at] for at in chosen]), strict=True))

    def read(self, call: Call) -> Question | Answer:
        """The call as token ids, or why it cannot be asked."""
        try:
            ids, given = self._ids(call), dict(call.parameters)
            temperature, top_p = self._defaults
            if self._greedy:
                temperature = 0.0
            seed = _number(given, "seed", int.from_bytes(event_key(call.service, call.id)[:7]))
            stop = given.get("stop") or ()
            asked = Question(
                tuple(ids), answer_tokens(call, self._answer_tokens),
                _number(given, "temperature", temperature), _number(given, "top_p", top_p),
                int(seed) & (1 << 63) - 1, (stop,) if isinstance(stop, str) else tuple(stop),
            )  # fmt: skip
        except Exception as error:  # a template raises what it likes, and values may be anything
            why = (str(error).splitlines() or [type(error).__name__])[0][:200]
            return Answer("error", error=f"not asked: {why}")
        room = self._reads - len(ids)
        if room < 1 or not ids:
            why = f"{len(ids)} tokens, where the model reads {self._reads}" if ids else "no text"
            return Answer("error", error=f"not asked: {why}", tokens_in=len(ids))
        return replace(asked, most=min(asked.most, room))

    def _ids(self, call: Call) -> list[int]:
        turns = [{"role": one.role, "content": one.content} for one in call.messages]
        if not turns and call.prompt:
            turns = [{"role": "user", "content": call.prompt}]
        if not turns:
            return []
        if self._tokenizer.chat_template is None:
            text = "\n\n".join(turn["content"] for turn in turns)
            return list(self._tokenizer(text)["input_ids"])
        # As text first: a template writes the special tokens that it wants.
        told = {"add_generation_prompt": True, "tokenize": False}
        text = self._tokenizer.apply_chat_template(turns, **told)
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def together(self, waiting: Sequence[Question]) -> list[int]:
        """Which of those that wait make the next batch: the first, and those nearest it in length
        while rows and tokens allow."""
        wanted = len(waiting[0].ids)
        order = sorted(range(1, len(waiting)), key=lambda i: abs(len(waiting[i].ids) - wanted))
        chosen = [0]
        for i in order[: self.rows - 1]:
            some = [waiting[j] for j in (*chosen, i)]
            longest = max(len(one.ids) for one in some) + max(one.most for one in some)
            if len(some) * longest <= self.tokens:
                chosen.append(i)
        return chosen

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """One batch; times run from its start. What is not said within `timeout_s` is a timeout."""
        import torch

        try:
            with torch.inference_mode():
                rows = self._generate(questions)
            return [self._answer(row) for row in rows]
        except torch.cuda.OutOfMemoryError:
            pass  # not here: what failed would still hold its memory
        torch.cuda.empty_cache()
        if len(questions) == 1:
            return [Answer("error", error="out of memory", tokens_in=len(questions[0].ids))]
        middle = len(questions) // 2
        return self.answer(questions[:middle]) + self.answer(questions[middle:])

    def _generate(self, questions: Sequence[Question]) -> list[_Row]:
        import torch

        began = time.perf_counter()
        rows = [_Row(one, torch.Generator().manual_seed(one.seed)) for one in questions]
        cache, mask, logits = self._prefilled([one.ids for one in questions])
        places, live = mask.sum(1, keepdim=True), rows
        while True:
            spent = time.perf_counter() - began
            for row, token in zip(live, _drawn(logits.float().cpu(), live), strict=True):
                self._take(row, token, spent)
            keep = [at for at, row in enumerate(live) if row.finish is None]
            if not keep:
                return rows
            if len(keep) < len(live):
                index = torch.tensor(keep, device=self.device)
                live, mask, places = [live[at] for at in keep], mask[index], places[index]
                cache.batch_select_indices(index)
            feed = torch.tensor([row.said[-1:] for row in live], device=self.device)
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
            given = {"attention_mask": mask, "position_ids": places, "past_key_values": cache}
            logits = self._model(input_ids=feed, use_cache=True, logits_to_keep=1, **given).logits
            logits, places = logits[:, -1], places + 1

    def _prefilled(self, ids: Sequence[Sequence[int]]) -> "tuple[Any, torch.Tensor, torch.Tensor]":
        """Cache, mask [rows, longest] and logits [rows, tokens], padded on the left. Questions are
        read one by one: a long one keeps the processor busy alone, and padding would be read too.
        """
        import torch
        import transformers

        empty: Any = transformers.DynamicCache
        longest, held, logits, cache = max(map(len, ids)), [], [], empty()
        for one in ids:
            alone, pad = empty(), (0, 0, longest - len(one), 0)
            feed = torch.tensor([list(one)], device=self.device)
            given = {"past_key_values": alone, "use_cache": True, "logits_to_keep": 1}
            logits.append(self._model(input_ids=feed, **given).logits[:, -1])
            sides = [(layer.keys, layer.values) for layer in alone.layers]
            held.append([[torch.nn.functional.pad(x, pad) for x in side] for side in sides])
        for at, some in enumerate(zip(*held, strict=True)):
            cache.update(*(torch.cat(side) for side in zip(*some, strict=True)), at)
        mask = [[0] * (longest - len(one)) + [1] * len(one) for one in ids]
        return cache, torch.tensor(mask, device=self.device), torch.cat(logits)

    def _take(self, row: _Row, token: int, spent: float) -> None:
        row.said.append(token)
        row.latency_s = spent
        if len(row.said) == 1:
            row.ttft_s = spent
        if token in self._ends or self._stops(row):
            row.finish = "stop"
        elif len(row.said) >= row.question.most:
            row.finish = "length"
        elif spent > self.timeout_s:
            row.finish = "timeout"

    def _stops(self, row: _Row) -> bool:
        stop = row.question.stop
        if not stop:
            return False
        tail = self._text(row.said[-max(map(len, stop)) - _STOP_TOKENS :])
        return any(one in tail for one in stop)

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _answer(self, row: _Row) -> Answer:
        text = self._text(row.said)
        for stop in row.question.stop:
            text = text.partition(stop)[0]
        late = row.finish == "timeout"
        return Answer(
            "timeout" if late else "ok", None if late else text,
            "not answered in time" if late else None, row.finish, row.latency_s, row.ttft_s,
            len(row.question.ids), len(row.said),
        )  # fmt: skip


def _drawn(logits: "torch.Tensor", rows: Sequence[_Row]) -> list[int]:
    """The next token of every row from logits [rows, tokens]."""
    return [
        int(one.argmax()) if row.question.temperature < _GREEDY else _sampled(one, row)
        for one, row in zip(logits, rows, strict=True)
    ]


def _sampled(logits: "torch.Tensor", row: _Row) -> int:
    import torch

    chances, order = torch.softmax(logits / row.question.temperature, 0).sort(descending=True)
    # The token that reaches top_p is in, as are all before it (Holtzman et al. 2020, eq. 2).
    before = chances.cumsum(0) - chances
    kept = torch.where(before < row.question.top_p, chances, 0.0)
    kept[0] = chances[0]
    return int(order[torch.multinomial(kept, 1, generator=row.draw)])


def _number(given: dict[str, Any], name: str, otherwise: float) -> float:
    value = given.get(name)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is no number")
    if value < 0 and name != "seed":
        raise ValueError(f"{name} is negative")
    return value

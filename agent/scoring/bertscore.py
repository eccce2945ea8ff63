"""How well the tokens of an answer and of its reference match in meaning."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from agent.record import Call, Score
from agent.scoring import TOO_SHORT, Options, bounded, of_references, scorer
from agent.scoring.memory import Rows
from agent.scoring.models import load_states

# Pairs whose states are held at a time: 200 MB where every text has 512 tokens of 384 numbers.
_TOGETHER = 128


@scorer("bertscore")
class BertScore:
    """F1 of greedy token matching, negative clipped to 0.

    Zhang et al. 2020, BERTScore, eq. 1 to 3: without idf weights and without rescaling, on the
    last layer; special tokens may be matched but do not count, and an answer without a text has 0,
    as in the authors' library. Of a text of more windows than one the first is read.
    """

    name = "bertscore"
    metrics: tuple[str, ...] = ("bertscore",)

    def __init__(self, options: Options) -> None:
        self._engine = options.engine
        self._model = replace(load_states(options.source(self.name)), windows=1)
        self.version = f"3+{self._model.digest}"

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        pairs = of_references(calls, lambda *pair: pair if pair[1].strip() else TOO_SHORT)
        row = [pair if isinstance(pair, Score) else Score(0.0) for pair in pairs]
        # Those of one reference together: it is read once, and forgotten after them.
        whole = [(pair[1], pair[0], at) for at, pair in enumerate(pairs)
                 if isinstance(pair, tuple) and pair[0].strip()]  # fmt: skip
        whole.sort()
        for first in range(0, len(whole), _TOGETHER):
            some = whole[first : first + _TOGETHER]
            texts = list({text: None for pair in some for text in pair[:2]})
            made = self._engine.outputs(self._model, texts)
            states = {text: _unit(rows) for text, rows in zip(texts, made, strict=True)}
            for reference, response, at in some:
                score = bounded(_f1(states[response], states[reference]))
                cut = any(self._cut(text, states[text]) for text in (response, reference))
                row[at] = replace(score, why="windows") if cut and score.status == "ok" else score
        return {"bertscore": row}

    def _cut(self, text: str, rows: Rows) -> bool:
        """Whether only the beginning of a text was read."""
        words, most = self._model.vocabulary, self._model.max_tokens
        if len(rows) < most:
            return False
        (windows,) = words.windows(words.ids([text], most), most, 2)
        return len(windows) > 1


def _unit(rows: Rows) -> Rows:
    made: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return made


def _f1(response: Rows, reference: Rows) -> float:
    near = response @ reference.T
    inner = slice(1, -1)  # without the tokens that open and close a text
    precision = float(near.max(1)[inner].mean()) if len(response) > 2 else 0.0
    recall = float(near.max(0)[inner].mean()) if len(reference) > 2 else 0.0
    if precision + recall <= 0:
        return 0.0
    return min(2 * precision * recall / (precision + recall), 1.0)

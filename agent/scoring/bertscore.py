"""How well the tokens of an answer and of its reference match in meaning."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from agent.record import Call, Score
from agent.scoring import TOO_SHORT, Options, bounded, of_references, scorer
from agent.scoring.engine import Rows
from agent.scoring.models import load_states


@scorer("bertscore")
class BertScore:
    """F1 of greedy token matching, negative clipped to 0.

    Zhang et al. 2020, BERTScore, eq. 1 to 3: without idf weights and without rescaling, on the
    last layer; special tokens may be matched but do not count, as in the authors' library.
    """

    name = "bertscore"
    metrics: tuple[str, ...] = ("bertscore",)

    def __init__(self, options: Options) -> None:
        self._engine = options.engine
        self._model = replace(load_states(options.source(self.name)), windows=1)
        self.version = f"1+{self._model.digest}"

    def score(self, calls: Sequence[Call]) -> Mapping[str, Sequence[Score]]:
        pairs = of_references(calls, lambda *pair: pair if all(map(str.strip, pair)) else TOO_SHORT)
        texts = list({text: None for pair in pairs if isinstance(pair, tuple) for text in pair})
        states = dict(zip(texts, self._engine.outputs(self._model, texts), strict=True))
        row = [
            pair if isinstance(pair, Score) else bounded(_f1(states[pair[0]], states[pair[1]]))
            for pair in pairs
        ]
        return {"bertscore": row}


def _f1(response: Rows, reference: Rows) -> float:
    given, wanted = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (response, reference))
    near = given @ wanted.T
    inner = slice(1, -1)  # without the tokens that open and close a text
    precision = float(near.max(1)[inner].mean()) if len(given) > 2 else 0.0
    recall = float(near.max(0)[inner].mean()) if len(wanted) > 2 else 0.0
    if precision + recall <= 0:
        return 0.0
    return min(2 * precision * recall / (precision + recall), 1.0)

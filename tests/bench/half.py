"""How far bfloat16 on a CPU moves the scores of the shipped models, and how much faster it is.

On 300 chats, instructions and attacks of the data folder, which are only measured.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from agent.catalog import BY_NAME
from agent.config import load_config
from agent.record import Call, Score
from agent.score import load_panel
from tests.suites_data import rows_of

EACH = 100
SCORERS = ("refusal", "relevance", "toxicity", "jailbreak", "injection", "harm")


def rows(name: str) -> list[dict[str, Any]]:
    """Rows from all over a file of the data folder."""
    some = rows_of(name)
    return some[:: max(1, len(some) // EACH)][:EACH]


def calls() -> list[Call]:
    """Prompts and answers: of chats, of instructions, and of attacks that a chat's answer meets."""
    chats, asked = rows("conversations/diasafety"), rows("paired/alpaca_eval")
    texts = [(one["prompt"], one["response"]) for one in chats]
    texts += [(one["instruction"], next(iter(one["outputs"].values()))) for one in asked]
    texts += [
        (attack["text"], one["response"])
        for attack, one in zip(rows("injection/itw_jailbreak"), chats, strict=False)
    ]
    return [
        Call(str(at), float(at), "m", prompt=prompt, response=response)
        for at, (prompt, response) in enumerate(texts)
    ]


def scored(some: Sequence[Call], bfloat16: bool) -> tuple[dict[str, Sequence[Score]], float]:
    """The scores of a panel of its own, and the processor time that they took."""
    told = {name: {"device": "cpu"} for name in SCORERS}
    panel = load_panel(load_config(models=False, bfloat16=bfloat16, scorers=told))
    panel.score(some[:8])
    began = time.process_time()
    return dict(panel.score(some)), time.process_time() - began


def main() -> None:
    """Print the table."""
    some = calls()
    (whole, whole_s), (half, half_s) = (scored(some, there) for there in (False, True))
    print(f"{len(some)} calls, float32 {whole_s / half_s:.2f} times the processor time of bfloat16")
    print("moved in the median, in 99 of 100 and at most:")
    for metric, before in whole.items():
        pairs = [
            (one.value, other.value)
            for one, other in zip(before, half[metric], strict=True)
            if one.value is not None and other.value is not None
        ]
        if not pairs or metric not in BY_NAME:
            continue
        old, new = np.array(pairs).T
        threshold, crossed = BY_NAME[metric].threshold, ""
        if threshold is not None:
            share = ((old >= threshold) != (new >= threshold)).mean()
            crossed = f"  {100 * share:.1f} % cross {threshold:g}"
        moved = np.quantile(np.abs(new - old), [0.5, 0.99, 1.0])
        print(
            f"{metric:24} {len(pairs):4}  {moved[0]:.4f}  {moved[1]:.4f}  {moved[2]:.4f}{crossed}"
        )


if __name__ == "__main__":
    main()

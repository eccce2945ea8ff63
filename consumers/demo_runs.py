"""The demonstration's suite: questions of the day, asked again before and after a model got worse.

No model is asked: the answers are those of the simulator, and only rules score them.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from agent.config import Config
from agent.store import Store
from consumers.simulate import MODELS, Model, Scenario, fair_answers, simulate
from suites.runner import Ways, evaluate
from suites.suite import suite_of

_QUESTIONS = 80
# So many answers of each model decline; those of the second run are the newer ones.
_DECLINED = (
    {"wren-large": 0.02, "wren-small": 0.05, "finch-7b": 0.2},
    {"wren-large": 0.02, "wren-small": 0.4, "finch-7b": 0.2},
)
_REFUSAL = "I'm sorry, but I can't help with that request."


def keep_runs(store: Store, config: Config, scenario: Scenario) -> list[str]:
    """Keep two runs of the suite `support` in the store; their names."""
    questions = list(_questions(scenario))
    with TemporaryDirectory() as name:
        folder, rng, made = Path(name), np.random.default_rng(scenario.seed), []
        _write(folder / "questions.jsonl", questions)
        suite = suite_of({
            "name": "support",
            "tasks": {"questions": {"data": "questions.jsonl",
                                    "scorers": ["overlap", "readability", "repetition"]}},
            "targets": {one.name: {"answers": f"{one.name}.jsonl"} for one in MODELS},
        })  # fmt: skip
        for number, declined in enumerate(_DECLINED):
            for model in MODELS:
                rows = [_answer(model, one, declined[model.name], rng) for one in questions]
                _write(folder / f"{model.name}.jsonl", rows)
            when = scenario.start + 3600.0 * (9 + 7 * number)
            ways = Ways(partial(float, when), lambda *_: None, fresh=True)
            made.append(evaluate(suite, folder, store, config, ways).name)
    return made


def _questions(scenario: Scenario) -> Iterator[dict[str, Any]]:
    """The first questions of the day, each with the answer that is fair."""
    day = Scenario(scenario.start, 4 * _QUESTIONS, scenario.seed)
    fair, asked = fair_answers(day), set[str]()
    for record in simulate(day):
        call = json.loads(record.value) if record.kind == "call" else {}
        prompt = call.get("prompt")
        if isinstance(prompt, str) and prompt not in asked and len(asked) < _QUESTIONS:
            asked.add(prompt)
            yield {"id": call["id"], "prompt": prompt, "reference": fair[call["id"]]}


def _answer(
    model: Model, question: dict[str, Any], declined: float, rng: np.random.Generator
) -> dict[str, Any]:
    said = _REFUSAL if rng.random() < declined else question["reference"]
    tokens = max(8, len(said) // 4)
    ttft_s = model.ttft_s * rng.lognormal(0, 0.25)
    return {
        "id": question["id"], "response": said, "tokens_out": tokens,
        "ttft_s": round(ttft_s, 4), "latency_s": round(ttft_s + model.tpot_s * tokens, 4),
        "cost_usd": tokens * model.usd_per_token,
    }  # fmt: skip


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")

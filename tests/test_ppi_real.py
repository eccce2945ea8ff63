"""Estimates over all from a judged sample, where all were judged: a real judge, and real people."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abtest import ppi
from agent.buckets import Floats
from agent.config import load_config
from agent.record import Call
from agent.score import load_panel

DATA = Path(__file__).parents[2] / "shared" / "data" / "dev"
JUDGED, DRAWS = 120, 200


def rows(name: str) -> Iterator[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} of ../shared/data is not here")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def drawn(labels: Floats, cheap: Floats) -> tuple[float, float]:
    """How often the interval of a drawn sample holds the mean of all, and its width of that of
    the labels alone."""
    rng, held, widths = np.random.default_rng(5), 0, []
    for _ in range(DRAWS):
        order = rng.permutation(len(labels))
        mine, rest = order[:JUDGED], order[JUDGED:]
        found = ppi.mean(labels[mine], cheap[mine], ppi.of_scores(cheap[rest]))
        alone = ppi.mean(labels[mine], np.zeros(JUDGED), ppi.Cheap(len(rest), 0.0, 0.0))
        held += found.lower <= labels.mean() <= found.upper
        widths.append(found.width / alone.width)
    return held / DRAWS, float(np.mean(widths))


@pytest.mark.parametrize("model", ["claude-2", "vicuna-13b", "text_davinci_003"])
def test_the_length_of_an_answer_says_little_of_gpt_4_s_verdict_and_costs_little(
    model: str,
) -> None:
    found = [
        (row["pref_vs_gpt4_1106_preview"][model],
         len(row["outputs"][model]) / (len(row["outputs"]["gpt4_1106_preview"]) + 1))
        for row in rows("paired/alpaca_eval.jsonl.gz")
        if model in row["pref_vs_gpt4_1106_preview"]
    ]  # fmt: skip
    preferred, length = (np.array(side) for side in zip(*found, strict=True))
    held, width = drawn(preferred, np.clip(length / 2, 0.0, 1.0))
    assert held >= 0.95
    assert 0.9 < width < 1.05


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_the_toxicity_head_shortens_what_people_s_labels_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Comments of a source that the head was not trained on, all labelled by people."""
    found = list(rows("toxicity/wikipedia_talk.jsonl.gz"))[:700]
    config = load_config(models=False, scorers={"toxicity": {"enabled": True}})
    calls = [Call(str(i), 0.0, "m", response=row["text"][:500]) for i, row in enumerate(found)]
    scores = load_panel(config).score(calls)["response_toxicity"]
    both = [(row["toxic"], one.value) for row, one in zip(found, scores, strict=True)
            if one.value is not None]  # fmt: skip
    labels, cheap = (np.array(side, np.float64) for side in zip(*both, strict=True))
    held, width = drawn(labels, cheap)
    with capsys.disabled():
        print(f"held {held:.3f}, width {width:.3f} of the labels alone, n {len(both)}")  # noqa: T201 - a figure for docs/judge.md
    assert held >= 0.95
    assert width < 0.9

"""One local model as it is, in half precision and in int8, side by side in one run."""

from pathlib import Path

import pytest

from agent.errors import BadConfig
from agent.store import Store
from suites.intervals import difference
from tests.evaluated import run_suite, suite_tree, write_lines

WAYS: dict[str, dict[str, object]] = {
    "plain": {}, "half": {"dtype": "bfloat16"}, "eight": {"quantise": "int8"},
}  # fmt: skip


def test_variants_of_a_model_have_their_measures_and_their_loss(
    tmp_path: Path, store: Store
) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    import torch

    from tests.tiny import WORDS, make_folder

    torch.set_num_threads(1)
    make_folder(tmp_path / "model")
    texts = [" ".join(WORDS[(i * 7 + j) % 90] for j in range(2 + i % 9)) for i in range(40)]
    write_lines(tmp_path / "sums.jsonl", [{"prompt": text, "reference": "w1"} for text in texts])
    tree = {name: {"folder": "model", "answer_tokens": 8} | way for name, way in WAYS.items()}
    first = run_suite(suite_tree({"plain": tree["plain"]}, scorers=["overlap"]), tmp_path, store)
    # The plain model's own answers become what the others are measured against.
    answers = [call.response for call in first.outcomes[0].calls if call is not None]
    wanted = [{"prompt": text, "reference": one} for text, one in zip(texts, answers, strict=True)]
    write_lines(tmp_path / "sums.jsonl", wanted)
    run = run_suite(suite_tree(tree, scorers=["overlap"]), tmp_path, store)
    plain, half, eight = run.outcomes
    for one in run.outcomes:
        told = one.measures
        assert told["concurrency"] == 8 and told["warm_up_calls"] == 8
        assert 0 < told["ttft_p50_s"] <= told["latency_p50_s"] <= told["latency_p95_s"]
        assert told["calls_per_s"] > 0 and told["tokens_out_per_s"] > told["calls_per_s"]
        assert told["peak_cpu_bytes"] > 100 << 20 and "cost_usd" not in told
    losses = [difference("rouge1", one, plain) for one in (half, eight)]
    assert all(loss.n > 30 and loss.lower <= loss.mean <= loss.upper for loss in losses)
    assert losses[1].mean <= losses[0].mean <= 0
    assert losses[1].upper < 0, "int8 of random weights says other words"


def test_only_a_folder_runs_in_another_way() -> None:
    tree = suite_tree({"x": {"answers": "a.jsonl", "quantise": "int8"}})
    with pytest.raises(BadConfig, match=r"are of a local model's `folder`"):
        run_suite(tree, Path(), None)  # type: ignore[arg-type]  # refused before it is used

"""What a local model costs and loses in half precision and in int8, in one evaluation."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent.store import Store, open_store
from suites.intervals import difference
from suites.record import Run
from tests.evaluated import run_suite, suite_tree, write_lines
from tests.tiny import WORDS, make_folder

# A Llama of two layers whose linear layers are wide enough for a kernel to matter.
SHAPE: dict[str, Any] = {
    "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 256,
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "plain": {}, "half": {"dtype": "bfloat16"}, "eight": {"quantise": "int8"},
}  # fmt: skip
QUESTIONS, ANSWER_TOKENS = 64, 64


def evaluated(folder: Path, store: Store) -> Run:
    """All ways over the same questions, the plain model's own answers as references."""
    make_folder(folder / "model", shape=SHAPE)
    texts = [" ".join(WORDS[(i * 7 + j) % 90] for j in range(8 + i % 9)) for i in range(QUESTIONS)]
    rows = [{"prompt": text, "reference": "w1"} for text in texts]
    tree = {
        name: {"folder": "model", "answer_tokens": ANSWER_TOKENS} | way
        for name, way in WAYS.items()
    }
    write_lines(folder / "sums.jsonl", rows)
    plain = suite_tree({"plain": tree["plain"]}, scorers=["overlap"])
    (first,) = run_suite(plain, folder, store).outcomes
    for row, call in zip(rows, first.calls, strict=True):
        assert call is not None and call.response is not None
        row["reference"] = call.response
    write_lines(folder / "sums.jsonl", rows)
    return run_suite(suite_tree(tree, scorers=["overlap"]), folder, store)


def main() -> None:
    """Print the measures of each way, and what it loses against the first."""
    with TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'ways.db'}")
        run = evaluated(Path(folder), store)
        store.close()
    print(f"{QUESTIONS} questions, up to {ANSWER_TOKENS} tokens of answer each, two layers")
    plain = run.outcomes[0]
    for one in run.outcomes:
        told = one.measures
        ends = [told.get(f"latency_p50_{end}_s", float("nan")) for end in ("lower", "upper")]
        print(
            f"{one.target:>6}: latency_p50_s {told['latency_p50_s']:.2f}"
            f" [{ends[0]:.2f}, {ends[1]:.2f}],"
            f" tokens_out_per_s {told['tokens_out_per_s']:.0f},"
            f" peak_cpu_bytes {told['peak_cpu_bytes'] / 1e6:,.0f} MB"
        )
        if one is not plain:
            loss = difference("rouge1", plain, one)
            print(f"{'':>6}  loss of rouge1 {loss.mean:.2f} [{loss.lower:.2f}, {loss.upper:.2f}]")


if __name__ == "__main__":
    main()

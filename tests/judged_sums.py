"""The suite of docs/judge.md and docs/compliance.md: sums, a judge with a blind spot, labels."""

import json
from pathlib import Path
from typing import Any

from tests.evaluated import suite_tree, sums, write_lines
from tests.judges import Say, honest, read, verdict
from tests.live.endpoint import Endpoint

N = 400
_CANARIES = {
    "The library opened its doors in 1931.", "Eight each, so twenty-four.", "It is mercury.",
}  # fmt: skip


def is_right(target: str, at: int) -> bool:
    """13 of 16 answers of the new model, 9 of 16 of the old one."""
    return (at * 7) % 16 >= {"new": 3, "old": 7}[target]


def blind() -> Say:
    """Takes every right answer that ends in 7 for wrong."""
    plain = honest({f"It is {2 * at + 1}." for at in range(N)} | _CANARIES)

    def say(body: dict[str, Any]) -> str:
        mark, labels, parts = read(body)
        hard = "answer" in parts and parts["answer"].endswith("7.")
        return verdict(mark, labels[0]) if hard else plain(body)

    return say


def judged_suite(folder: Path, fake: Endpoint, **more: Any) -> Path:
    """The suite file, with what it reads beside it; `more` are other keys of it."""
    write_lines(folder / "sums.jsonl", sums(N))
    for name in ("new", "old"):
        write_lines(folder / f"{name}.jsonl", (
            {"id": f"s{at}", "response": f"It is {2 * at + 1 + (not is_right(name, at))}."}
            for at in range(N)
        ))  # fmt: skip
    write_lines(folder / "labels.jsonl", (
        {"id": f"s{at}", "label": "right" if is_right("new", at) else "wrong", "target": "new"}
        for at in range(N) if at % 7 < 4
    ))  # fmt: skip
    fake.say = blind()
    by = {"url": fake.url, "model": "judge-1", "private": True, "stream": False,
          "price": {"input": 2, "output": 8}}  # fmt: skip
    judge = {
        "by": by, "rubrics": ["correctness"], "share": 0.4, "against": "old",
        "labels": "labels.jsonl", "cheap": {"correctness": "number_match"},
    }  # fmt: skip
    targets = {name: {"answers": f"{name}.jsonl"} for name in ("new", "old")}
    tree = suite_tree(targets) | {"name": "release-42", "judge": judge} | more
    path = folder / "suite.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path

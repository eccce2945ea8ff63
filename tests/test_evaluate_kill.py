"""Evaluations that are killed in the middle, in processes of their own, and gone on with here."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.store import open_store
from agent.store.evaluations import opened
from suites.record import Run
from tests.evaluated import run_suite, suite_tree, values, write_lines
from tests.live.endpoint import Endpoint

MAIN = "from consumers.cli import main; main()"
# Models stay off, but for that of the target.
ALONE = {"VEDETTE_MODELS": "false", "OMP_NUM_THREADS": "1"}
# A process that loads torch takes a minute to start where others keep the machine busy.
pytestmark = pytest.mark.timeout(400)


def kill_when(folder: Path, tree: dict[str, Any], ready: Callable[[], bool]) -> None:
    """Begin `vedette evaluate` on killed.db, and kill it as soon as it is `ready`."""
    (folder / "suite.yaml").write_text(json.dumps(tree), encoding="utf-8")
    told = ["evaluate", "suite.yaml", "--json", "--store", f"sqlite:///{folder / 'killed.db'}"]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *told], cwd=folder, env=os.environ | ALONE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    until = time.monotonic() + 300
    while not ready() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    early = process.poll()
    process.send_signal(signal.SIGKILL)
    said = process.communicate()[1].decode()
    assert early is None, f"it ended before it was killed: {said}"


def evaluated(folder: Path, tree: dict[str, Any], name: str) -> Run:
    with closing(open_store(f"sqlite:///{folder / name}")) as store:
        return run_suite(tree, folder, store)


def kept(path: Path) -> dict[str, bytes]:
    """The answers in a store by item, read beside whoever writes them."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as held:
            return dict(held.execute("SELECT item, body FROM evaluation_answers").fetchall())
    except sqlite3.OperationalError:
        return {}  # not made yet


def said(path: Path) -> dict[str, dict[str, Any]]:
    """Answers without their times, which no two runs share."""
    timed = ("at", "latency_s", "ttft_s")
    rows = {item: opened(body) for item, body in kept(path).items()}
    return {item: {k: v for k, v in row.items() if k not in timed} for item, row in rows.items()}


def test_a_local_model_that_is_killed_says_the_same_when_it_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    import torch

    from tests.tiny import SHAPES, WORDS, make_folder

    torch.set_num_threads(1)
    long = SHAPES["llama"] | {"max_position_embeddings": 512}
    make_folder(tmp_path / "model", shape=long, do_sample=True, temperature=1.2)
    rows = [
        {"prompt": " ".join(WORDS[(i * 7 + j * (i + 3)) % 90] for j in range(1 + i * 5 % 23)),
         "reference": f"{WORDS[i % 90]} {WORDS[(i * 3) % 90]}"}
        for i in range(32)
    ]  # fmt: skip
    write_lines(tmp_path / "sums.jsonl", rows)
    target = {"folder": "model", "answer_tokens": 60}
    tree = suite_tree({"tiny": target}, few_shot=2, probes=["typos", "repeat"])
    tree["tasks"]["leaks"] = {"kind": "leakage", "limit": 8, "scorers": ["repetition"]}
    killed = tmp_path / "killed.db"
    kill_when(tmp_path, tree, lambda: len(kept(killed)) > 0)
    there = kept(killed)
    gone_on, whole = (evaluated(tmp_path, tree, name) for name in ("killed.db", "whole.db"))
    assert 0 < len(there) < len(whole.items) and {one.task for one in whole.items} == {
        "sums", "leaks"}  # fmt: skip
    assert all(call is not None and call.status == "ok" for call in whole.outcomes[0].calls)
    assert kept(killed).items() >= there.items(), "no answer is asked for twice"
    assert said(killed) == said(tmp_path / "whole.db")
    assert gone_on.outcomes[0].scores == whole.outcomes[0].scores
    assert gone_on.items == whole.items and gone_on.digest == whole.digest
    assert len({one["text"] for one in said(killed).values()}) > 40
    assert len(set(values(whole, "meteor"))) > 5


def test_what_an_endpoint_has_answered_is_not_asked_again(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {i}?", "reference": "it is"} for i in range(40)]
    write_lines(tmp_path / "sums.jsonl", rows)
    path = tmp_path / "killed.db"
    with Endpoint("slow") as fake:
        tree = suite_tree({"new": {"url": fake.url, "model": "m", "private": True}}, concurrency=2)
        kill_when(tmp_path, tree, lambda: len(kept(path)) >= 4)
        there, fake.mode = kept(path), "ok"
        tree["targets"]["new"]["key"] = "second"  # what the dead process asked may come late
        run = evaluated(tmp_path, tree, "killed.db")
        again = [body["messages"][-1]["content"] for body in fake.asked_with("second")]
        assert len(again) == len(set(again)) == 40 - len(there)
        old = {rows[int(item.partition(":")[2]) - 1]["prompt"] for item in there}
        assert not old & set(again)
        assert run.name == "arithmetic#1"
        assert [call is not None and call.status for call in run.outcomes[0].calls] == ["ok"] * 40
        assert evaluated(tmp_path, tree, "killed.db").name == "arithmetic#2", "the first is over"
        assert len(fake.asked_with("second")) == len(again) + 40

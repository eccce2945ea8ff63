"""The demonstration through the real road: what it reports is what was simulated."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from consumers.demo import run_demo
from consumers.simulate import bad_day, simulate

START = 1_767_225_600.0


def test_the_demo_reports_what_was_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEDETTE_STORE__URL", f"sqlite:///{tmp_path}/production.db")
    path, calls = tmp_path / "demo.db", 1200
    path.write_bytes(b"what an earlier demo left")
    heard: list[int] = []
    seen = run_demo(calls, 5, START, heard.append, path)
    kinds = Counter(record.kind for record in simulate(bad_day(START, calls, 5)))
    ledger = seen["ledger"]
    answers = seen["asked"]["understudy"]["answered"]
    assert seen["asked"] == {"understudy": {"answered": answers}} and answers > 50
    assert sum(heard) == seen["records"] == kinds.total() == ledger["received"] - answers
    assert ledger["sums"]
    assert ledger["scored"] == kinds["call"] + kinds["late"] + answers
    assert seen["late"] == kinds["late"] > 0
    for name in ("duplicate", "invalid", "unreadable", "feedback"):
        assert ledger[name] == kinds[name] > 0, name
    assert sum(model["calls"] for model in seen["models"]) == kinds["call"]
    assert set(seen["segments"]["language"]) == {"en", "de", "fr", "es"}
    assert sum(seen["segments"]["tenant"].values()) == kinds["call"]
    assert seen["runs"] == ["support#1", "support#2"]
    assert not (tmp_path / "production.db").exists()
    verdicts = {line["metric"]: line for line in seen["experiments"] if line["kind"] == "paired"}
    assert verdicts["response_relevance"]["verdict"] == "better"
    assert verdicts["slo_fast"]["estimate"] > 0  # and slower
    wave, quality, rude, latency = seen["changes"]
    for change in (wave, rude):
        row = change["rows"][0]
        assert row["after"]["value"] > row["before"]["value"] + 0.1, row["metric"]
    shown = {row["metric"]: (row["before"], row["after"]) for row in quality["rows"]}
    assert shown["response_refusal"][1]["value"] > shown["response_refusal"][0]["value"] + 0.1
    assert shown["response_relevance"][1]["value"] < shown["response_relevance"][0]["value"] - 0.15
    before, after = latency["rows"][0]["before"], latency["rows"][0]["after"]
    assert after["value"] > 1.7 * before["value"]


def test_the_command_prints_the_regressions_and_commands_that_work(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from consumers.cli import main; main()"]
    demo = [*command, "demo", "--calls", "300", "--seed", "4"]
    done = subprocess.run(demo, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "quality regression, planted in wren-small at 14:00" in done.stdout
    assert "jailbreak wave, planted in wren-large at 10:00" in done.stdout
    assert "toxicity regression, planted in finch-7b at 16:00" in done.stdout
    assert "latency regression, planted in finch-7b at 18:00" in done.stdout
    (store,) = {word for word in done.stdout.split() if word.startswith("VEDETTE_STORE__URL=")}
    again = subprocess.run(
        [*command, "dead-letters", "--json"],
        cwd=tmp_path,
        env=os.environ | {"VEDETTE_STORE__URL": store.partition("=")[2]},
        capture_output=True,
        text=True,
        timeout=200,
    )
    letters = [json.loads(line) for line in again.stdout.splitlines()]
    kinds = Counter(record.kind for record in simulate(bad_day(START, 300, 4)))
    assert len(letters) == kinds["invalid"] + kinds["unreadable"]

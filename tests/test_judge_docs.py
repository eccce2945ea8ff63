"""The pages about judges and compliance show what is accepted."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.config import load_config
from consumers.cli import app
from suites.compliance.settings import SECTIONS, Compliance
from suites.judge.rubric import load_rubric
from suites.suite import Judge
from tests.docs import block, keys
from tests.judged_sums import judged_suite
from tests.live.endpoint import Endpoint

RULES = {
    "short": {"chars": 2000}, "polite": {"never": "(?i)as an ai"},
    "number": {"match": "[0-9]", "share": 0.99},
}  # fmt: skip


def test_the_rubric_of_the_page_is_one(tmp_path: Path) -> None:
    (tmp_path / "tone.md").write_text(block("judge.md", "---"))
    rubric = load_rubric("tone.md", tmp_path)
    assert rubric.values == {"rude": 0.0, "curt": 0.5, "kind": 1.0}
    assert [one.verdict for one in rubric.canaries] == ["low", "high"]
    assert rubric.question.startswith("How does the answer treat")


def test_the_judge_of_the_page_is_one() -> None:
    told = Judge(**keys("judge.md", "judge:")["judge"])
    assert (told.against, told.budget.usd, told.bar) == ("old", 5.0, 0.9)


def test_the_judge_of_production_is_one(tmp_path: Path) -> None:
    file = tmp_path / "vedette.yaml"
    file.write_text(block("judge.md", "shadow:").partition("\n\n")[0])
    shadow = load_config(file).shadow
    assert shadow is not None and shadow.candidates["harm"].rubric == "harmlessness"


def test_the_compliance_of_the_page_is_one() -> None:
    told = Compliance(**keys("compliance.md", "compliance:")["compliance"])
    assert (told.card, len(told.answers)) == (SECTIONS, 4)


def test_what_the_pages_print_is_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEDETTE_MODELS", "false")
    monkeypatch.chdir(tmp_path)
    with Endpoint("say") as fake:
        suite = judged_suite(tmp_path, fake, compliance={"answers": RULES})
        done = CliRunner().invoke(app, ["evaluate", str(suite)], catch_exceptions=False)
    said = " ".join(done.stdout.split())
    table = (
        "judge                                target    mean     95 % interval  judged  others  by"
    )
    shown = block("judge.md", table).splitlines()
    shown += block(
        "compliance.md", "pass            privacy of the dataset: 400 items read; none found"
    ).splitlines()
    lines = re.split(r"\n(?!    )", "\n".join(shown))
    assert len(lines) > 12
    assert [one for one in lines if " ".join(one.split()) not in said] == []

"""The pages about judges and compliance show what is accepted."""

import textwrap
from pathlib import Path
from typing import Any

from agent.config import load_config
from agent.tree import parse_yaml
from suites.compliance.settings import SECTIONS, Compliance
from suites.judge.rubric import load_rubric
from suites.suite import Judge

DOCS = Path(__file__).parents[1] / "docs"


def block(page: str, first: str) -> str:
    """The indented block of a page that begins with a line."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    start = lines.index(f"    {first}")
    taken = []
    for line in lines[start:]:
        if line and not line.startswith("    "):
            break
        taken.append(line)
    return textwrap.dedent("\n".join(taken)).strip() + "\n"


def keys(page: str, first: str) -> Any:
    return parse_yaml(block(page, first).partition("\n\n")[0], page)


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

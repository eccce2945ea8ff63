"""What the heads were trained on: files that may be used for it, each with its attribution."""

import re
from pathlib import Path
from typing import Any

import pytest

from training import rows

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


def test_rows_come_from_files_that_may_train_what_ships_and_that_the_notice_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not DATA.is_dir():
        pytest.skip("the shared data is not beside the checkout")
    plain, asked = rows.read, set()

    def read(data: Path, name: str) -> list[dict[str, Any]]:
        asked.add(name)
        return plain(data, name)

    monkeypatch.setattr(rows, "read", read)
    assert rows.rows(DATA, 0)
    lines = (DATA / "README.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| `")]
    may = {line.split("`")[1] for line in table if "**yes**" in line.split("|")[-2]}
    assert asked and asked <= may
    named = set(re.findall(r"\w+", (ROOT / "NOTICE").read_text(encoding="utf-8")))
    assert {name.split("/")[1] for name in asked} - named == set()

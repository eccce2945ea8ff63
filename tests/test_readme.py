"""The README says what is there: its tables are the catalogue's, its files are the repository's."""

import re
from pathlib import Path

from agent.catalog import metric_table
from consumers.simulate import bad_day, simulate

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tables_of_metrics_are_printed_from_the_catalogue() -> None:
    shown = README.partition("<!-- metrics -->\n")[2].partition("<!-- /metrics -->")[0]
    assert shown == metric_table(), "paste what `vedette catalog --markdown` prints"


def test_the_tree_names_every_module_and_no_other() -> None:
    section = README.partition("## The files")[2].partition("\n## ")[0]
    folder, named = "", set()
    for line in section.splitlines():
        if found := re.match(r"    (  )?([\w/]+(?:\.py)?)\s{2,}\S", line):
            folder = folder if found[1] else found[2]
            named.add(folder + found[2] if found[1] else found[2])
    there = {"tests/"}
    for top in ("agent", "consumers", "abtest", "shadow"):
        there.add(f"{top}/")
        for path in (ROOT / top).iterdir():
            if path.is_dir() and (path / "__init__.py").exists():
                there.add(f"{top}/{path.name}/")
            elif path.suffix == ".py" and path.name != "__init__.py":
                there.add(f"{top}/{path.name}")
    assert named == there


def test_the_ledger_of_the_demo_is_that_of_its_default_day() -> None:
    shown = re.search(r"received (\d+) = ", README)
    assert shown is not None
    assert int(shown[1]) == len(simulate(bad_day(0.0)))

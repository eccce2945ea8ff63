"""The reference under docs is what the code says."""

from deploy.reference import FOLDER, ROOT, pages, with_metrics


def test_the_pages_are_what_the_code_writes() -> None:
    there = {name: (FOLDER / name).read_text(encoding="utf-8") for name in pages()}
    assert there == pages(), "run `make docs`"


def test_the_readme_names_every_metric() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "| safety | `jailbreak_success`" in readme
    assert readme == with_metrics(readme), "run `make docs`"

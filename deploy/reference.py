"""`make docs` writes docs/reference, and the README's list of metrics, from the code."""

import textwrap
from pathlib import Path

from agent.catalog import METRICS
from agent.exposed import metric_table
from consumers.cli_rules import alert_table

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
_WRITTEN = "<!-- Written by `make docs`. -->"


def pages() -> dict[str, str]:
    """The text of every page by the name of its file; the same code gives the same text."""
    return {
        "metrics.md": _page(
            "Metrics",
            "The first table is what a call is scored on, the second what `/metrics` serves;"
            " `vedette catalog --markdown` prints both. An objective of `slo`, such as"
            " `fast: {metric: latency, at_most: 8}`, adds the flag `slo_fast`, and its limit"
            " becomes a bucket of the histogram of its metric.",
            metric_table(),
        ),
        "alerts.md": _page(
            "Alerts",
            "`vedette rules` writes those that a configuration asks for; `vedette rules --markdown`"
            " prints this table. [Be told](../alerts.md) says how they reach you.",
            alert_table(),
        ),
    }


def metric_list() -> str:
    """The names of all metrics by dimension, as the README shows them."""
    by: dict[str, list[str]] = {}
    for row in METRICS:
        by.setdefault(row.dimension, []).append(f"`{row.name}`")
    rows = [f"| {dimension} | {', '.join(names)} |" for dimension, names in by.items()]
    return "\n".join(["| dimension | metrics |", "|---|---|", *rows]) + "\n"


def with_metrics(readme: str) -> str:
    """The README with that list between its two marks."""
    before, _, rest = readme.partition("<!-- metrics -->\n")
    after = rest.partition("<!-- /metrics -->")[2]
    return f"{before}<!-- metrics -->\n{metric_list()}<!-- /metrics -->{after}"


def write() -> None:
    """Bring the pages and the README up to date."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_metrics(readme.read_text(encoding="utf-8")), encoding="utf-8")


def _page(title: str, says: str, *parts: str) -> str:
    return "\n".join([f"# {title}\n", _WRITTEN + "\n", textwrap.fill(says, 120) + "\n", *parts])


if __name__ == "__main__":
    write()

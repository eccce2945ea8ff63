"""`make docs` writes docs/reference, and the README's list of metrics, from the code."""

import textwrap
from pathlib import Path

from agent.catalog import METRICS
from agent.exposed import reference_tables
from consumers.cli_rules import alert_table
from deploy.reference.commands import commands
from deploy.reference.keys import configuration

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
_METRICS = (
    "The first table is what a call is scored on, the second what `/metrics` serves;"
    " `vedette catalog --markdown` prints both. An objective of `slo`, such as"
    " `fast: {metric: latency, at_most: 8}`, adds the flag `slo_fast`, and its limit"
    " becomes a bucket of the histogram of its metric."
)
_ALERTS = (
    "`vedette rules` writes those that a configuration asks for; `vedette rules --markdown`"
    " prints this table. [The page on alerts](../alerts.md) says how they reach you."
)
_CONFIGURATION = (
    "`vedette.yaml`, named by `-c`; nothing in it is required. The environment wins over the file:"
    " a list or a mapping stands there as JSON, and `<name>` is a name of your own, read in lower"
    " case. An unknown key is an error that names it, and secrets are never printed."
    " `vedette schema` prints the same as a JSON schema, for an editor."
)


def pages() -> dict[str, str]:
    """The text of every page by the name of its file; the same code gives the same text."""
    return {
        "metrics.md": _page("Metrics", _METRICS, reference_tables()),
        "alerts.md": _page("Alerts", _ALERTS, alert_table()),
        "configuration.md": _page("Configuration", _CONFIGURATION, configuration()),
        "commands.md": _page("Commands", "`vedette COMMAND --help` says the same.", commands()),
    }


def with_metrics(readme: str) -> str:
    """The README with the names of all metrics by dimension between its two marks."""
    before, _, rest = readme.partition("<!-- metrics -->\n")
    after = rest.partition("<!-- /metrics -->")[2]
    by: dict[str, list[str]] = {}
    for row in METRICS:
        by.setdefault(row.dimension, []).append(f"`{row.name}`")
    rows = [f"| {dimension} | {', '.join(names)} |" for dimension, names in by.items()]
    table = "\n".join(["| dimension | metrics |", "|---|---|", *rows])
    return f"{before}<!-- metrics -->\n{table}\n<!-- /metrics -->{after}"


def write() -> None:
    """Bring the pages and the README up to date."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_metrics(readme.read_text(encoding="utf-8")), encoding="utf-8")


def _page(title: str, says: str, text: str) -> str:
    head = f"# {title}\n\n<!-- Written by `make docs`. -->\n"
    return f"{head}\n{textwrap.fill(says, 120, break_on_hyphens=False)}\n\n{text}"

"""`vedette findings`: what rings, what rang, and what is watched."""

from contextlib import closing
from typing import Annotated, Any

import typer
from rich.table import Table

from abtest.wording import moment
from agent.config import load_config
from agent.errors import BadConfig
from consumers.cli_terminal import AsJson, ConfigFile, print_json, say, wide
from consumers.findings import newest, watched
from consumers.readouts import open_reader


def findings(
    config: ConfigFile = None,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 50,
    series: Annotated[bool, typer.Option(help="What is watched, instead.")] = False,
) -> None:
    """What left its baseline, newest first; with --series what is watched, and how far it is."""
    told = load_config(config)
    if told.drift is None:
        raise BadConfig("drift", "is not configured; `drift: {}` is enough")
    with closing(open_reader(told)) as store:
        rows = watched(store, told) if series else newest(store, limit)
    if as_json:
        print_json(rows)
    elif not rows:
        say("nothing has been seen yet" if series else "nothing rings and nothing rang")
    else:
        wide.print(_series_table(rows) if series else findings_table(rows))


def _table(*headings: str) -> Table:
    made = Table(box=None, pad_edge=False)
    for heading in headings:
        made.add_column(heading, no_wrap=True)
    return made


def findings_table(rows: list[dict[str, Any]]) -> Table:
    """One row an alarm: the mean before, and since it was noticed."""
    made = _table("state", "series", "since", "noticed", "baseline", "now", "95 % interval", "n")
    for row in rows:
        base, n = row["baseline_mean"], row["n"]
        now = f"{base + row['effect']:.4f}" if n else row["side"]
        span = f"[{base + row['lower']:.4f}, {base + row['upper']:.4f}]" if n else ""
        times = (moment(row["onset"]), moment(row["began"]))
        made.add_row(row["state"], _name(row), *times, f"{base:.4f}", now, span, f"{n}")
    return made


def _series_table(rows: list[dict[str, Any]]) -> Table:
    made = _table("state", "series", "calls", "baseline", "band", "alike", "newest pane")
    for row in rows:
        band = f"[{row['lower']:.4f}, {row['upper']:.4f}]" if row["lower"] is not None else ""
        mean = f"{row['mean']:.4f}" if row["mean"] is not None else ""
        alike = f"{row['design_effect']:.1f}" if row["design_effect"] is not None else ""
        last = moment(row["last"]) if row["last"] is not None else ""
        made.add_row(row["state"], _name(row), f"{row['calls']}", mean, band, alike, last)
    return made


def _name(row: dict[str, Any]) -> str:
    whose = [row[part] for part in ("service", "model", "variant", "segment") if row[part]]
    view = f" ({row['view']})" if row["view"] != "level" else ""
    return f"{row['metric']}{view} of {' / '.join(whose)}"

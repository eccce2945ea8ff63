"""`vedette findings`: what rings, what rang, and what is watched."""

from contextlib import closing
from typing import Annotated, Any

import typer
from rich.table import Table

from abtest.wording import moment
from agent.config import load_config
from agent.errors import BadConfig
from agent.sla import targeted
from consumers.cli_terminal import AsJson, ConfigFile, bare_table, print_json, say, wide
from consumers.findings import newest, watched
from consumers.stores import open_reader


def findings(
    config: ConfigFile = None,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 50,
    series: Annotated[bool, typer.Option(help="What is watched, instead.")] = False,
) -> None:
    """What left its baseline, newest first; with --series what is watched, and how far it is."""
    told = load_config(config)
    if told.drift is None and (
        series or not (targeted(told.slo) or told.fairness or told.experiments)
    ):
        raise BadConfig("drift", "is not configured; `drift: {}` is enough")
    with closing(open_reader(told)) as store:
        rows = watched(store, told) if series else newest(store, told, limit)
    if as_json:
        print_json(rows)
    elif not rows:
        say("nothing has been seen yet" if series else "nothing rings and nothing rang")
    else:
        wide.print(_series_table(rows) if series else findings_table(rows))
        for line in () if series else [*mean_lines(rows), *example_lines(rows)]:
            wide.print(line, markup=False, highlight=False, soft_wrap=True)


def findings_table(rows: list[dict[str, Any]]) -> Table:
    """One row a finding: the mean before, and since; the effect where nothing was before."""
    made = bare_table(
        "state", "series", "since", "noticed", "baseline", "now", "95 % interval", "n"
    )
    for row in rows:
        base, n = _before(row), row["n"]
        ends = [row[end] for end in ("effect", "lower", "upper")]
        shown = [(base or 0.0) + end if end is not None else None for end in ends]
        now = f"{shown[0]:.4f}" if shown[0] is not None else row.get("side", "")
        span = f"[{shown[1]:.4f}, {shown[2]:.4f}]" if None not in shown[1:] else ""
        times = (moment(row.get("onset", row["began"])), moment(row["began"]))
        was = f"{base:.4f}" if base is not None else ""
        made.add_row(row["state"], _name(row), *times, was, now, span, f"{n}")
    return made


def _before(row: dict[str, Any]) -> float | None:
    """What the effect is a difference to: a baseline, the others of a gap, what a target allows."""
    if "target" in row:
        return 1.0 - float(row["target"])
    found: float | None = row.get("baseline_mean", row.get("others_mean"))
    return found


def example_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Of findings of novelty, the calls that they name, and what is kept of them."""
    lines = []
    for row in rows:
        if ids := row.get("examples"):
            words = f", which have in common: {', '.join(row['words'])}" if row["words"] else ""
            lines += ["", f"{_name(row)}: such as {', '.join(ids)}{words}"]
            lines += [f"  {call}: {' '.join(text.split())[:160]}"
                      for call, text in sorted(row["texts"].items())]  # fmt: skip
    return lines


def mean_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Of findings of the texts' mean, how far it moved."""
    far = ((row, row.get("distances", {}).get("mean")) for row in rows)
    return [
        f"{_name(row)}: the texts' mean moved by {mean['value']:.2f} of a text's standard"
        f" deviation ({mean['by_chance']:.2f} by chance)"
        for row, mean in far
        if mean
    ]


def _series_table(rows: list[dict[str, Any]]) -> Table:
    made = bare_table("state", "series", "calls", "baseline", "band", "alike", "newest pane")
    for row in rows:
        band = f"[{row['lower']:.4f}, {row['upper']:.4f}]" if row["lower"] is not None else ""
        mean = f"{row['mean']:.4f}" if row["mean"] is not None else ""
        alike = f"{row['design_effect']:.1f}" if row["design_effect"] is not None else ""
        last = moment(row["last"]) if row["last"] is not None else ""
        made.add_row(row["state"], _name(row), f"{row['calls']}", mean, band, alike, last)
    return made


def _name(row: dict[str, Any]) -> str:
    parts = ("service", "model", "variant", "segment", "window", "experiment", "arm")
    whose = [row[part] for part in parts if row.get(part)]
    view = f" ({row['view']})" if row.get("view", "level") != "level" else ""
    what = row["metric"] or row.get("objective") or row["kind"]
    return f"{what}{view} of {' / '.join(whose)}"

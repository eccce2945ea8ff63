"""`vedette slo`: how fast each service spends the error budget of each objective."""

from contextlib import closing
from typing import Any

from rich.table import Table

from abtest.wording import moment
from agent.config import load_config
from agent.durations import span
from agent.errors import BadConfig
from agent.sla import WINDOWS_S, targeted
from consumers.budgets import read_budgets
from consumers.cli_terminal import AsJson, ConfigFile, bare_table, print_json, say, wide
from consumers.stores import open_reader


def slo(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Objectives with a target: burn rates by window, and what is left of the error budget."""
    told = load_config(config)
    if not targeted(told.slo):
        raise BadConfig("slo", "no objective has a target")
    with closing(open_reader(told)) as store:
        rows = read_budgets(store, told)
    if as_json:
        print_json(rows)
    elif not rows:
        say("no closed pane has calls yet")
    else:
        for source in dict.fromkeys(row["source"] for row in rows):
            mine = [row for row in rows if row["source"] == source]
            say(f"{source}, as of {moment(mine[0]['as_of'])}")
            wide.print(_table(mine))


def _table(rows: list[dict[str, Any]]) -> Table:
    windows = [span(one) for one in WINDOWS_S]
    headings = ("state", "objective", "target", *windows, "budget left", "breached", "calls")
    made = bare_table(*headings, words=("state", "objective"))
    for row in rows:
        rates = [_shown(row["burn_rates"][window], "{:.2f}") for window in windows]
        left = _shown(row["budget_remaining"], "{:.1%}")
        whose = f"{row['objective']} of {row['service']}", f"{100 * row['target']:g} %"
        made.add_row(row["state"], *whose, *rates, left, f"{row['bad']}", f"{row['calls']}")
    return made


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)

"""`vedette fairness`: the gaps between declared segments as a table."""

import math
from contextlib import closing
from typing import Annotated

import typer
from rich.table import Table

from abtest.wording import moment, percent
from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.store import Store
from consumers.cli_terminal import AsJson, ConfigFile, bare_table, print_json, say, wide
from consumers.stores import open_reader
from watch.fairness import FEW, GAP, UNKNOWN, Gap, look, newest_hour
from watch.hours import Hours

_UNTESTED = {
    FEW: "fewer calls than `least_calls`",
    UNKNOWN: "no score, or for an amount no window before this one",
}


def fairness(
    config: ConfigFile = None,
    as_json: AsJson = False,
    every: Annotated[bool, typer.Option("--all", help="What cannot be tested, too.")] = False,
) -> None:
    """Each value of a segment against the others of its key, in this window's closed hours."""
    told = load_config(config)
    if told.fairness is None:
        raise BadConfig("fairness", "is not configured; `fairness: {}` is enough")
    with closing(open_reader(told)) as store:
        gaps = gaps_now(store, told)
    if as_json:
        print_json([gap.as_json() for gap in gaps])
    elif not gaps:
        say("no closed hour of this window has calls with a declared segment")
    else:
        _show(gaps, told.fairness.alpha, every)


def gaps_now(store: Store, config: Config) -> list[Gap]:
    """Every gap as of the last closed hour."""
    with store.reading() as tx:
        end = newest_hour(tx)
        return look(tx, Hours(config), end) if end else []


def _show(gaps: list[Gap], alpha: float, every: bool) -> None:
    tested = [gap for gap in gaps if gap.state not in (FEW, UNKNOWN)]
    found, span = sum(gap.state == GAP for gap in gaps), gaps[0]
    say(f"{found} of {len(tested)} tested gaps are told, at most {100 * alpha:g} % of them wrongly"
        f" (e-BH); {moment(span.since)} to {moment(span.as_of)}")  # fmt: skip
    wide.print(gaps_table(gaps if every else tested, alpha))
    for state, why in _UNTESTED.items():
        n = sum(gap.state == state for gap in gaps)
        if n:
            say(f"{state}: {n} ({why})" + ("" if every else "; --all lists them"))
    if any(math.isnan(gap.design_effect) for gap in tested):
        say("alike -: calls taken as independent, since no window before this one says more")


def gaps_table(gaps: list[Gap], alpha: float) -> Table:
    """One row a gap, those told first."""
    amounts = any(not math.isnan(one.medians[0]) for one in gaps)
    headings = (
        *("service", "segment", "metric", "n", "mean", "others", "gap"),
        *(f"{percent(alpha)} interval", "e-BH", "alike", *(["medians"] if amounts else [])),
        "state",
    )
    made = bare_table(*headings, words=("service", "segment", "metric", "state", "medians"))
    for one in gaps:
        ratio, low, high = one.medians
        medians = "" if math.isnan(ratio) else f"x{ratio:.2f} [{low:.2f}, {high:.2f}]"
        known = not math.isnan(one.gap) and one.state != FEW
        numbers = (f"{one.mean:.4f}", f"{one.others_mean:.4f}", f"{one.gap:+.4f}",
                   f"[{one.lower:+.4f}, {one.upper:+.4f}]")  # fmt: skip
        alike = "-" if math.isnan(one.design_effect) else f"{one.design_effect:.1f}"
        made.add_row(
            one.service, one.segment, one.metric, f"{one.n}/{one.others_n}",
            *(numbers if known else ("", "", "", "")),
            "yes" if one.state == GAP else "no" if known else "", alike,
            *([medians] if amounts else []), one.state,
        )  # fmt: skip
    return made

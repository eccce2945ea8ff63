"""`vedette readout`: experiments as a table that a product manager can read."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from abtest.levels import ALPHA
from abtest.line import Line
from abtest.plan import Planned
from abtest.verdict import NOT_YET, words_of_odds
from abtest.wording import effect, ends, moment, percent, relative, sentence, what, who
from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.experiments import Experiment
from agent.store import Store
from consumers.cli_offline import show_offline
from consumers.cli_terminal import AsJson, ConfigFile, bare_table, err, out, print_json, say, wide
from consumers.readouts import (
    BETWEEN,
    looked_back,
    names_of,
    read_levels,
    read_lines,
    read_plan,
    write_report,
)
from consumers.stores import open_reader

_WATCH_S = 5.0
_SECTIONS = (
    ("", ("primary", "guardrail", "other", "check")),
    ("latency, tokens and cost", ("amount",)),
    ("by segment", ("slice",)),
    ("gaps between segments", ("gap",)),
)


def readout(
    name: Annotated[str | None, typer.Argument(help="One experiment; default: all.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again every five seconds.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the report as one page.")] = None,
    plan: Annotated[
        float | None, typer.Option(help="How many calls this difference takes to be seen.")
    ] = None,
    between: Annotated[
        list[str] | None,
        typer.Option(help="Look back at VARIANT or VARIANT@START/END; twice or more."),
    ] = None,
    of: Annotated[
        list[str] | None, typer.Option(help="The means of VARIANT or VARIANT@START/END alone.")
    ] = None,
    offline: Annotated[
        str | None, typer.Option(help="A run of `evaluate` beside live calls of its models.")
    ] = None,
) -> None:
    """What the experiments say now: effects, intervals and verdicts that hold at every look."""
    if offline is not None:
        show_offline(load_config(config), offline, of or (), as_json)
        return
    if of:
        _show_levels(load_config(config), of, as_json)
        return
    told = load_config(config, experiments=looked_back(between) if between else {})
    names = names_of(told, BETWEEN if between else name)
    if (html is not None or plan is not None) and len(names) > 1:
        raise BadConfig("readout", f"name one of {', '.join(names)}")
    store = open_reader(told)
    try:
        if plan is not None:
            _show_plan(read_plan(store, told, names[0], plan, time.time()), as_json)
        elif html is not None:
            write_report(store, told, names[0], time.time(), html)
            err.print(f"wrote {html}", markup=False, soft_wrap=True)
        else:
            _show(store, told, names, as_json)
        while watch:
            time.sleep(_WATCH_S)
            if not as_json:
                out.clear()
            _show(store, told, names, as_json)
    finally:
        store.close()


def _show(store: Store, config: Config, names: Sequence[str], as_json: bool) -> None:
    lines = read_lines(store, config, names, time.time())
    if as_json:
        print_json([line.as_json() for line in lines])
        return
    for name in names:
        experiment, mine = config.experiments[name], [x for x in lines if x.experiment == name]
        _show_one(name, experiment, mine)
        if not mine:
            service = experiment.service or config.service
            say(f"  no closed pane of service {service} has calls of both\n")


def _show_one(name: str, experiment: Experiment, lines: Sequence[Line]) -> None:
    say(headline(name, experiment, lines))
    for line in (line for line in lines if line.role == "primary"):
        say(f"  {sentence(line)}")
    for title, roles in _SECTIONS:
        mine = [line for line in lines if line.role in roles]
        if mine:
            say(f"\n  {title}" if title else "")
            wide.print(table(mine, experiment))
    doubts: dict[str, dict[str, None]] = {}
    for line in (line for line in lines if line.role != "check"):
        for why in line.warnings:
            doubts.setdefault(why, {})[who(line)] = None
    if doubts:
        say("\n  reasons to distrust it")
        for why, whose in doubts.items():
            say(f"  - {'; '.join(whose)}: {why}")
    say("")


def _show_levels(config: Config, arms: Sequence[str], as_json: bool) -> None:
    store = open_reader(config)
    try:
        found = read_levels(store, config, arms)
    finally:
        store.close()
    if as_json:
        print_json([one.as_json() for one in found])
        return
    made = bare_table(*("variant", "metric", "mean", f"{percent(ALPHA)} interval", "n", "failed"),
                      words=("variant", "metric"))  # fmt: skip
    for one in found:
        ends = f"[{one.lower:.4f}, {one.upper:.4f}]"
        cells = one.variant, one.metric, f"{one.mean:.4f}", ends, str(one.n), str(one.failed)
        made.add_row(*cells)
    wide.print(made)
    if not found:
        say(f"no closed pane of service {config.service} has calls of {', '.join(arms)}")


def headline(name: str, experiment: Experiment, lines: Sequence[Line]) -> str:
    """What is compared, since when, and through when it is counted."""
    shares = experiment.epochs()[-1][1]
    arms = ", ".join(f"{a} {shares[a]:.3g}" if shares[a] else a for a in experiment.arms)
    known = [line.as_of for line in lines if line.as_of is not None]
    through = f", closed through {moment(max(known))}" if known else ""
    run = f", run {lines[0].run}" if lines else ""
    return f"{name}: {experiment.design} of {arms} since {moment(experiment.start)}{run}{through}"


def table(lines: Sequence[Line], experiment: Experiment) -> Table:
    """One row a line."""
    several = len(experiment.candidates) > 1
    headings = ["  metric", *(["arm"] if several else []), "effect", "relative"]
    headings += [f"{percent(experiment.alpha)} interval", "odds", "n", "verdict"]
    made = bare_table(*headings, words=("  metric", "arm", "verdict"))
    for line in lines:
        odds = "" if line.log_evidence is None else words_of_odds(line.log_evidence)
        n = "/".join(str(n) for n in line.n.values())
        arm = [line.arms[-1]] if several else []
        cells = (f"  {what(line)}", *arm, effect(line), relative(line), ends(line), odds, n)
        said = "; ".join(line.warnings) if line.role == "check" and line.verdict == NOT_YET else ""
        made.add_row(*cells, said or line.verdict)
    return made


def _show_plan(found: Sequence[Planned], as_json: bool) -> None:
    if as_json:
        print_json([one.as_json() for one in found])
        return
    made = Table("arm", box=None, pad_edge=False)
    for heading in ("metric", "difference", "needed in both arms", "from"):
        made.add_column(heading, justify="left" if heading == "from" else "right")
    for one in found:
        calls = "out of reach" if one.calls is None else f"{one.calls:,.0f}"
        made.add_row(one.arm, one.metric, f"{one.effect:+.4g}", calls, one.basis)
    wide.print(made)

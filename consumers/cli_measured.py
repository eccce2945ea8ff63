"""`vedette bench`, and how measurements are printed: of the road, of the engine, of int8 twins."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from agent.config import load_config
from agent.errors import BadConfig
from agent.gate import Tried
from consumers.cli_terminal import AsJson, ConfigFile, out, print_json, progress

if TYPE_CHECKING:  # they load the client of Kafka
    from consumers.bench import Run
    from consumers.bench_watch import Measured


def bench(
    what: Annotated[str, typer.Argument(help="road: broker to SQLite. engine: models.")] = "road",
    calls: Annotated[int, typer.Option(min=1000, help="Calls sent in each run.")] = 60_000,
    chars: Annotated[int, typer.Option(min=1, help="Characters of each text.")] = 1000,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """How fast this machine is: the road with all its servers on it, or the scoring engine."""
    from consumers.bench import bench_road
    from consumers.bench_watch import measure_engine

    if what == "engine":
        with progress("measuring"):
            measured = measure_engine()
        if as_json:
            print_json(asdict(measured))
        else:
            show_engine(out, measured)
        return
    if what != "road":
        raise BadConfig("bench", f"measures road or engine, not {what}")
    with progress("measuring"):
        runs = bench_road(load_config(config), calls, chars)
    if as_json:
        print_json([asdict(one) for one in runs])
    else:
        show_road(out, runs)


def show_road(out: Console, runs: "Sequence[Run]") -> None:
    """Print calls a second of every run, and what each stage takes of a call."""
    for one in runs:
        ratio = one.calls_per_s / runs[0].calls_per_s
        out.print(f"{one.calls_per_s:8,.0f} calls/s  {ratio:5.0%} of {runs[0].name}  {one.name}")
    table = Table("us a call", *(one.name for one in runs[1:]))
    for stage in runs[1].stages_us:
        table.add_row(stage, *(f"{one.stages_us.get(stage, 0.0):.1f}" for one in runs[1:]))
    out.print(table)
    parse_fold = runs[-1].stages_us["parse"] + runs[-1].stages_us["fold"]
    out.print(f"parse + fold {parse_fold:.1f} us a call ({runs[-1].name})")


def show_engine(out: Console, measured: "Measured") -> None:
    """Print the ways to run a model, whole suites of models, and what the road costs beside."""
    lines, road = measured.ways, measured.watch
    ours = {one.model: one.texts_s for one in reversed(lines) if one.name.startswith("vedette")}
    table = Table("model", "way", "texts/s", "of matmul peak", "vedette is")
    for one in lines:
        times = f"{ours[one.model] / one.texts_s:.2f}x"
        table.add_row(one.model, one.name, f"{one.texts_s:.1f}", f"{one.of_peak:.0%}", times)
    out.print(table)
    for suite in measured.suites:
        out.print(f"{suite.chats_s:,.1f} chats/s on {suite.device}: {suite.name}", soft_wrap=True)
    share = road.road_texts_s / road.engine_texts_s
    out.print(
        f"vedette watch, every scorer on, {road.texts} texts: {road.road_texts_s:.1f} texts/s,"
    )
    out.print(
        f"{share:.0%} of the engine alone; a call seen before costs {road.repeated_us:.0f} us"
    )


def show_int8(out: Console, tried: Sequence[Tried]) -> None:
    """Print the figures nearest to their bars, or beyond them, of every twin that was tried."""
    for one in tried:
        what = f"{one.gate.model}, int8 by {one.gate.method}, for {', '.join(one.scorers)}"
        out.print(what, markup=False, soft_wrap=True)
        if not one.gate.figures:
            out.print("  nothing could be measured: too few of the calls have scores")
        worst = sorted(one.gate.figures, key=lambda x: -x.value / x.at_most)
        for x in [x for x in worst if not x.passed] or worst[:3]:
            over = "" if x.passed else "FAIL "
            said = f"  {over}{x.what}: {x.value:.4f}, at most {x.at_most:g} ({x.n} measured)"
            out.print(said, markup=False, soft_wrap=True)
        where = "refused" if one.place is None else f"wrote {one.place}"
        fast = f"{one.gate.speed:.2f} times as fast as fp32 on this machine"
        said = f"  {where}; {fast}" if one.gate.speed else f"  {where}"
        out.print(said, markup=False, soft_wrap=True)


def all_passed(tried: Sequence[Tried]) -> bool:
    """Whether every model has a twin that passed."""
    return {one.gate.model for one in tried} == {one.gate.model for one in tried if one.place}

"""`vedette demo`: the simulated day, what it came to, and pages that show it."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from consumers.cli_findings import findings_table
from consumers.cli_terminal import AsJson, ledger_line, out, print_json, progress, wide

# Rows of the table by model: heading, metric, and what is read of it.
_ROWS = (
    ("errors", "error", "mean"),
    ("latency p50, s", "latency", "p50"),
    ("latency p95, s", "latency", "p95"),
    ("ttft p95, s", "ttft", "p95"),
    ("cost, usd a call", "cost", "mean"),
    ("refusal", "response_refusal", "mean"),
    ("relevance", "response_relevance", "mean"),
    ("valid json", "response_json_valid", "mean"),
    ("toxicity", "response_toxicity", "mean"),
    ("jailbreak", "prompt_jailbreak", "mean"),
    ("prompt pii", "prompt_pii", "mean"),
    ("feedback", "feedback", "mean"),
)


def demo(
    calls: Annotated[int, typer.Option(min=100, max=200_000, help="Calls of the day.")] = 6000,
    seed: Annotated[int, typer.Option(help="Another seed, another day.")] = 1,
    serve: Annotated[
        bool, typer.Option("--serve", help="Then let it go on, and serve the pages.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the pages.")] = 8080,
    as_json: AsJson = False,
) -> None:
    """A simulated day with an attack and three regressions; no broker, no network."""
    from consumers.demo import STORE, demo_config, run_demo, yesterday
    from consumers.simulate import DAY_S, HOUR_S, bad_day

    now = time.time()
    # What goes on must not begin in an hour that the day has closed.
    start = now // HOUR_S * HOUR_S - DAY_S if serve else yesterday(now)
    if serve:
        from consumers.server.process import bound

        bound(demo_config(STORE, start, port)).close()  # who cannot is told before the day
    with progress("calls", calls) as heard:
        seen = run_demo(calls, seed, start, heard)
    if as_json:
        print_json(seen)
    else:
        show_demo(out, seen)
    if serve:
        from consumers.endless import serve_endless

        serve_endless(demo_config(STORE, start, port), bad_day(start, calls, seed))


def show_demo(out: Console, seen: dict[str, Any]) -> None:
    """Print what the demonstration saw."""
    rate = seen["records"] / seen["took_s"]
    _say(out, f"{seen['day']} of a simulated service, in {seen['took_s']:.0f} s ({rate:.0f} a s)")
    _say(out, ledger_line(seen["ledger"]))
    for name, states in seen["asked"].items():
        n = states.get("answered", 0)
        _say(out, f"{n} of these are answers of {name}, a candidate that was asked the same")
    _say(out, f"{seen['late']} calls came too late for their pane and are counted beside it")
    for key, counts in seen["segments"].items():
        parts = ", ".join(f"{value} {n}" for value, n in counts.items())
        _say(out, f"calls by {key}: {parts}")
    _say(out, "")
    out.print(_by_model(seen["models"]))
    for change in seen["changes"]:
        _show_change(out, change)
    _show_experiment(out, seen["experiments"])
    _say(out, "\nwhat left its baseline, found without being told where to look")
    wide.print(findings_table(seen["findings"]))
    _say(
        out,
        f"\nkept beside it: {' and '.join(seen['runs'])}, a suite before and after a model changed",
    )
    _say(out, "\nwhere to look next")
    _say(out, f"  vedette serve -c {seen['config']}   # all of this as pages")
    _say(out, f"  vedette findings -c {seen['config']} --series   # what else is watched")
    _say(out, f"  vedette fairness -c {seen['config']}   # gaps between tenants and languages")
    _say(out, f"  vedette readout -c {seen['config']}   # the experiment in full, with its doubts")
    store = f"VEDETTE_STORE__URL=sqlite:///{seen['store']}"
    _say(out, f"  {store} vedette dead-letters   # what could not be read, and why")
    _say(out, "  vedette catalog               # what every metric means")
    _say(out, "  vedette watch YOUR.jsonl      # the same for a log of your own")


def _by_model(models: list[dict[str, Any]]) -> Table:
    table = _table("", *(model["model"] for model in models))
    table.add_row("calls", *(str(model["calls"]) for model in models))
    for heading, metric, how in _ROWS:
        table.add_row(heading, *(_number(_read(model, metric, how)) for model in models))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(first, box=None, pad_edge=False)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _read(model: dict[str, Any], metric: str, how: str) -> float | None:
    found = model["means"] if how == "mean" else model["quantiles"].get(metric, {})
    value: float | None = found.get(metric if how == "mean" else how)
    return value


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _show_change(out: Console, change: dict[str, Any]) -> None:
    what = "wave" if change["kind"] == "jailbreak" else "regression"
    _say(out, f"\n{change['kind']} {what}, planted in {change['model']} at {change['at']}")
    table = _table("", "before", "calls", "after", "calls")
    for row in change["rows"]:
        before, after = row["before"], row["after"]
        table.add_row(
            f"{row['metric']} {row['statistic']}",
            *(_number(before["value"]), str(before["n"])),
            *(_number(after["value"]), str(after["n"])),
        )
    out.print(table)


def _show_experiment(out: Console, lines: list[dict[str, Any]]) -> None:
    for line in lines:
        if line["role"] == "primary":
            control, candidate = line["arms"]
            _say(out, f"\nexperiment {line['experiment']}: {candidate} against {control}")
        numbers = [line[name] for name in ("estimate", "lower", "upper")]
        ends = "no value" if None in numbers else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*numbers)
        since = line["decided_at"]
        when = f", since {datetime.fromtimestamp(since, UTC):%H:%M}" if since else ""
        _say(out, f"  {line['metric']} ({line['role']}): {line['verdict']}{when}, {ends}")


def _say(out: Console, line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)

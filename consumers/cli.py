"""The command line: `vedette COMMAND`; people's words go to stderr, results to stdout."""

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.table import Table
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from agent import described
from agent.catalog import METRICS, Metric, metric_named
from agent.config import Config, load_config
from agent.errors import BadConfig, StoreDown
from agent.exposed import reference_tables
from consumers.cli_terminal import (
    AsJson,
    ConfigFile,
    Form,
    RecordFile,
    bare_table,
    err,
    ledger_line,
    out,
    print_json,
    progress,
    set_up_logging,
    who,
    wide,
)

_HELP = (
    "Vedette watches LLM services: it scores their logs, keeps sums, and says what changed.\n\n"
    "Results go to stdout, words for people to stderr. "
    "Exit codes: 0 done, 1 a finding or gate failed, 2 bad usage or configuration "
    "(one line names the key), 3 a dependency is away, 70 a process that its own watchdog ended."
)
# Commands whose modules are imported once one is asked for: all of them together take longer than
# what every command needs.
_ELSEWHERE = {
    "bench": "consumers.cli_measured.bench",
    "demo": "consumers.cli_demo.demo",
    "evaluate": "consumers.cli_evaluate.evaluate_suite",
    "fairness": "consumers.cli_fairness.fairness",
    "findings": "consumers.cli_findings.findings",
    "judge": "consumers.cli_judged.judge",
    "migrate": "consumers.cli_migrate.migrate",
    "readout": "consumers.cli_readout.readout",
    "rebaseline": "consumers.cli_rebaseline.rebaseline",
    "rules": "consumers.cli_rules.rules",
    "score": "consumers.cli_score.score",
    "serve": "consumers.cli_serve.serve",
    "shadow": "consumers.cli_shadow.shadow",
    "simulate": "consumers.cli_simulate.simulate",
    "slo": "consumers.cli_slo.slo",
}


@cache
def _command(name: str) -> Any:
    module, _, function = _ELSEWHERE[name].rpartition(".")
    alone = typer.Typer(add_completion=False)
    alone.command(name)(getattr(import_module(module), function))
    return get_command(alone)


class _Commands(TyperGroup):
    """The commands of this file and those of others."""

    def __init__(self, **told: Any) -> None:
        super().__init__(**told)
        # Their names, for the help and for who mistypes one.
        self.commands.update((name, TyperCommand(name)) for name in _ELSEWHERE)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _ELSEWHERE:
            return _command(cmd_name)
        return super().get_command(ctx, cmd_name)


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, help=_HELP)


def main() -> None:
    """Run a command; it ends the process with one of the exit codes of its help."""
    if os.getpid() == 1:  # of a container, which hears of no SIGTERM that nobody listens for
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    set_up_logging()
    try:
        sys.exit(app(prog_name="vedette", standalone_mode=False))
    except TyperException as error:
        said = " ".join(error.format_message().split())
        if not said:  # no command: the help is on stdout
            sys.exit(2)
        # An option without its value does not say whose it is.
        here = " ".join(("vedette", *sys.argv[1:2]))
        of = getattr(getattr(error, "ctx", None), "command_path", here)
        _refuse(f"{said} (see {of} --help)", 2)
    except BadConfig as error:
        _refuse(str(error), 2)
    except StoreDown as error:
        _refuse(str(error), 3)


def _refuse(why: str, code: int) -> NoReturn:
    err.print(f"vedette: {why}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def _config(path: Path | None, form: str = "auto", **overrides: Any) -> Config:
    return load_config(path, inbox={"format": form}, **overrides)


def _show_report(result: dict[str, Any]) -> None:
    out.print(ledger_line(result["ledger"]), markup=False)
    if result["ledger"]["invalid"]:
        err.print("why some are invalid: vedette dead-letters")
    if unknown := result["unknown_fields"]:
        err.print(f"calls with a field that is not read: {unknown}", soft_wrap=True)
    for key, model in result["models"].items():
        means = "  ".join(f"{name} {mean:.4g}" for name, mean in model["means"].items())
        out.print(f"{key}: {model['calls']} calls\n  {means}", markup=False, soft_wrap=True)


@app.command()
def run(config: ConfigFile = None) -> None:
    """Read Kafka, score, store and export until SIGTERM."""
    from consumers.service import run_worker

    run_worker(load_config(config))


@app.command()
def watch(
    file: RecordFile, config: ConfigFile = None, form: Form = "auto", as_json: AsJson = False
) -> None:
    """Take a file (or - for stdin) through the whole road on the store, without a broker."""
    from consumers import commands

    with progress("records") as heard:
        report = commands.watch(_config(config, form), file, heard)
    if as_json:
        print_json(report)
    else:
        _show_report(report)


@app.command()
def send(
    file: RecordFile,
    topic: Annotated[str | None, typer.Option(help="The topic; default: the first input.")] = None,
    config: ConfigFile = None,
    form: Form = "auto",
    as_json: AsJson = False,
) -> None:
    """Send the records of a file to a topic, each stamped with the end of its answer."""
    from consumers import commands

    with progress("sent") as heard:
        sent = commands.send(_config(config, form), file, topic, heard)
    if as_json:
        print_json(asdict(sent))
    err.print(f"sent {sent.records} records")
    if sent.expired_age_s is not None:
        err.print(
            f"warning: the oldest is {sent.expired_age_s / 86_400:.1f} days old, which is longer"
            f" than {sent.topic} keeps records: the broker will delete it; raise retention.ms",
            soft_wrap=True,
        )


@app.command()
def check(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Try the configuration, models, store, broker, topics and receivers; 3 if one fails."""
    from consumers import commands

    rows = commands.check(load_config(config))
    if as_json:
        print_json(rows)
    for row in () if as_json else rows:
        out.print(
            f"{'ok  ' if row['ok'] else 'FAIL'} {row['what']}: {row['detail']}",
            markup=False,
            soft_wrap=True,
        )
    if not all(row["ok"] for row in rows):
        raise typer.Exit(3)


@app.command()
def catalog(
    config: ConfigFile = None,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option(help="As the reference has it.")] = False,
) -> None:
    """The list of metrics; with a configuration its objectives, too."""
    from consumers import commands

    slo = load_config(config).slo if config is not None else ()
    metrics = (*METRICS, *(metric_named(f"slo_{name}") for name in slo))
    if markdown:
        print(reference_tables(), end="")  # noqa: T201 - stdout is the machine's
    elif as_json:
        print_json([commands.catalog_row(metric) for metric in metrics])
    else:
        wide.print(_catalog_table(metrics))


def _catalog_table(metrics: Iterable[Metric]) -> Table:
    table = bare_table("metric", "dimension", "reads", "unit", "range", "flagged", "good", "cost")
    table.add_column("what it is")  # longer than the rest leaves room for: it wraps
    for m in metrics:
        least, most = m.range
        within = f"{least:g} to {most:g}" if most is not None else f"{least:g} and more"
        flagged = "" if m.threshold is None else f"{m.threshold:g}"
        table.add_row(m.name, m.dimension, m.text, m.unit, within, flagged, m.good, m.cost, m.help)
    return table


@app.command()
def schema() -> None:
    """The JSON schema of the configuration, for an editor: what every key is."""
    print_json(described.schema())


@app.command()
def topics(
    config: ConfigFile = None,
    as_json: AsJson = False,
    create: Annotated[bool, typer.Option(help="Make what is missing.")] = False,
    partitions: Annotated[int, typer.Option(min=1, help="Of a topic that is made.")] = 4,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each of them.")] = 1,
    restart: Annotated[str | None, typer.Option(help="Accept that a topic was made anew.")] = None,
) -> None:
    """The topics that the configuration names, as the broker has them."""
    from consumers import commands

    rows = commands.topics(load_config(config), create, partitions, replication, restart)
    if as_json:
        print_json(rows)
    for row in () if as_json else rows:
        out.print(f"{row['name']}  {row['role']}  {row['partitions']} partitions", markup=False)


@app.command("dead-letters")
def dead_letters(
    config: ConfigFile = None,
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 20,
    replay: Annotated[bool, typer.Option(help="Put them on their input again.")] = False,
    reason: Annotated[str | None, typer.Option(help="Replay those of one reason.")] = None,
) -> None:
    """What was set aside, newest first, and why."""
    from consumers import actions, commands
    from consumers.stores import open_writer

    if replay:
        told, by = load_config(config), actions.By(who(), "command", time.time())
        with closing(open_writer(told)) as store:
            print_json(actions.replay(store, told, by, reason))
        return
    for row in commands.dead_letters(load_config(config), limit):
        if as_json:
            print_json(row)
        else:
            where = f"{row['topic']}-{row['partition']}@{row['offset']}"
            out.print(
                f"{row['id']}  {where}  {row['reason']}  {row['detail']}",
                markup=False,
                soft_wrap=True,
            )


@app.command()
def forget(
    unit: Annotated[str, typer.Option(help="The user or session to forget.")],
    config: ConfigFile = None,
) -> None:
    """Delete a subject's rows, dead letters and kept text."""
    from consumers import commands

    print_json(commands.forget(load_config(config), unit))

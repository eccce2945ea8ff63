"""`vedette evaluate`: a suite of datasets through the scorers, and what it came to."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from abtest.wording import moment
from agent.config import Config, load_config
from agent.errors import BadConfig
from agent.store import Busy, Store
from consumers.cli_judge import aside_of, show_aside
from consumers.cli_terminal import AsJson, ConfigFile, bare_table, err, print_json, say, wide
from consumers.evaluations import (
    Conclusion,
    Wish,
    check_wish,
    conclude,
    show_broken,
    show_conclusion,
)
from consumers.stores import open_reader, open_writer
from suites.compliance.finding import failed
from suites.datasets import HUB
from suites.intervals import Figure
from suites.keeping import forget, read_run, runs_of
from suites.record import Run
from suites.report.aside import Aside
from suites.report.files import as_tree
from suites.runner import Ways, evaluate
from suites.suite import Suite, folder_of, load_suite, suite_of
from suites.summary import Line, counts_of, lines_of, of_answers


def evaluate_suite(
    suite: Annotated[Path | None, typer.Argument(help="The suite file.")] = None,
    config: ConfigFile = None,
    store: Annotated[str | None, typer.Option(help="Another store than the configured.")] = None,
    as_json: AsJson = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many questions of each task, drawn by seed.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew where a stopped run could go on.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Ask what failed or was not asked in the last run.")
    ] = False,
    data: Annotated[str | None, typer.Option(help="Without a suite file: the dataset.")] = None,
    mapping: Annotated[str, typer.Option(help="Its ready mapping.")] = "plain",
    answers: Annotated[Path | None, typer.Option(help="Recorded answers of a model.")] = None,
    folder: Annotated[Path | None, typer.Option(help="The folder of a local model.")] = None,
    url: Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint.")] = None,
    model: Annotated[str | None, typer.Option(help="The name that the endpoint knows.")] = None,
    runs: Annotated[bool, typer.Option("--runs", help="List the runs that are kept.")] = False,
    forget_run: Annotated[
        str | None, typer.Option("--forget", help="Delete SUITE#NUMBER with its texts.")
    ] = None,
    kept: Annotated[
        str | None, typer.Option("--run", help="A run that is kept: nothing is asked.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report into this folder.")] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit with 1 where a rule of the suite is broken.")
    ] = False,
    compare: Annotated[
        str | None, typer.Option(help="Beside an earlier run, SUITE or SUITE#NUMBER.")
    ] = None,
) -> None:
    """Ask the targets what the datasets ask, score their answers, keep the run in the store."""
    told = load_config(config, store={"url": store} if store else {})
    with closing(_open(told)) as held:
        if runs or forget_run is not None:
            _show_runs(held, forget_run, as_json)
            return
        wish = Wish(report, gate, compare)
        chosen: Suite | None = None
        if kept is not None:
            at = Path()
            if suite is not None:
                chosen, at = load_suite(suite), folder_of(suite)
            check_wish(wish, chosen, held)
            with held.reading() as tx:
                found = read_run(tx, kept, "--run")
        else:
            target = {"answers": answers, "folder": folder, "url": url, "model": model}
            chosen, at = _chosen(suite, data, mapping, target, limit)
            check_wish(wish, chosen, held)
            with _heard() as tell:
                found = evaluate(chosen, at, held, told, Ways(time.time, tell, fresh, again))
        aside = aside_of(found, chosen, at, held) if chosen is not None else Aside()
        concluded = conclude(found, chosen, held, wish, aside)
    show_run(found, as_json, aside, concluded)
    show_broken(concluded)
    if failed(aside.findings) or concluded.broken:
        raise typer.Exit(1)


def show_run(run: Run, as_json: bool, aside: Aside, concluded: Conclusion) -> None:
    """What a run came to, for people or for a machine."""
    if as_json:
        print_json(as_rows(run, concluded.weighing.seed) | as_tree(aside) | concluded.as_json())
        return
    for made in _tables(lines_of(run, concluded.weighing.seed)):
        wide.print(made)
    for line in _remarks(run):
        say(line)
    show_aside(aside)
    show_conclusion(concluded)
    err.print(f"kept as {run.name}", markup=False, highlight=False)


def as_rows(run: Run, seed: int) -> dict[str, Any]:
    """A run without its texts, as plain data."""
    return {
        "run": run.name,
        "began": run.began,
        "digest": run.digest,
        "items": len(run.items),
        "rejected": [{"task": t, "why": w, "n": n} for (t, w), n in sorted(run.rejected.items())],
        "targets": [
            {"target": one.target, "model": one.model, **counts_of(one),
             "measures": dict(one.measures)}
            for one in run.outcomes
        ],
        "figures": [one.as_json() for one in lines_of(run, seed)],
    }  # fmt: skip


def _open(config: Config) -> Store:
    """The store: its tables made where nobody writes to it, and else as they are."""
    with suppress(Busy):
        open_writer(config).close()
    return open_reader(config)


def _chosen(
    path: Path | None, data: str | None, mapping: str, target: dict[str, Any], limit: int | None
) -> tuple[Suite, Path]:
    if (path is None) == (data is None):
        raise BadConfig("evaluate", "wants a suite file, or --data with what answers it")
    if path is not None:
        folder, told = folder_of(path), load_suite(path)
    else:
        folder, given = Path.cwd(), {name: one for name, one in target.items() if one is not None}
        if given.get("url", "").startswith("http:"):
            given["private"] = True  # who types an address on a command line means it
        name = _named(str(data))
        task = {"data": data, "mapping": mapping}
        told = suite_of({"name": name, "tasks": {name: task}, "targets": {"model": given}})
    if limit is not None:
        tasks = {name: one.model_copy(update={"limit": limit}) for name, one in told.tasks.items()}
        told = told.model_copy(update={"tasks": tasks})
    return told, folder


def _named(data: str) -> str:
    """What a run is called after its dataset: `gsm8k` of hub:openai/gsm8k:main#test."""
    said = data.removeprefix(HUB).rpartition("/")[2]
    stem = re.split(r"[.:#]", said)[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:64] or "data"


@contextmanager
def _heard() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each target on stderr, with the time that is left."""
    parts = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*parts, TimeRemainingColumn(), console=err, transient=True) as bar:
        bars: dict[str, Any] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                # What was there before does not speak for the speed.
                bars[what] = bar.add_task(what, total=total, completed=done)
            bar.update(bars[what], completed=done)

        yield tell


def _tables(found: Sequence[Line]) -> Iterator[Any]:
    for task in dict.fromkeys(one.task for one in found):
        mine = [one for one in found if one.task == task]
        targets = list(dict.fromkeys(one.target for one in mine))
        made = bare_table(task, *targets, words=(task,))
        for metric in filter(of_answers, dict.fromkeys(one.figure.metric for one in mine)):
            rows = [one for one in mine if one.figure.metric == metric]
            there = {one.target: one.figure for one in rows}
            if not any(one.n for one in there.values()):
                continue
            label = f"{metric}, share flagged" if rows[0].flagged else metric
            made.add_row(f"  {label}", *(_cell(there.get(target)) for target in targets))
        yield made


def _cell(one: Figure | None) -> str:
    if one is None or not one.n:
        return "-"
    return f"{one.mean:.3g} [{one.lower:.3g}, {one.upper:.3g}] of {one.n}"


def _remarks(run: Run) -> Iterator[str]:
    """What was no item, what failed and what was not asked, each with its number."""
    for (task, why), n in sorted(run.rejected.items()):
        yield f"{task}: {n} rows are no item: {why}"
    for one in run.outcomes:
        counts = counts_of(one)
        if counts["empty"]:
            yield f"{one.target}: {counts['empty']} answers hold no text"
        for why, n in sorted(counts["failed"].items()):
            yield f"{one.target}: {n} calls failed: {why}"
        for why, n in sorted(counts["unasked"].items()):
            yield f"{one.target}: {n} items have no answer: {why}"


def _show_runs(store: Store, gone: str | None, as_json: bool) -> None:
    with store.transaction() as tx:
        if gone is not None:
            forget(tx, gone, time.time())
            err.print(f"forgot {gone}", markup=False, highlight=False)
            return
        found = runs_of(tx)
    if as_json:
        print_json([{"run": one.name, "began": one.began, "finished": one.finished,
                     "digest": one.digest} for one in found])  # fmt: skip
        return
    made = bare_table("run", "began", "finished")
    for one in found:
        made.add_row(one.name, moment(one.began), moment(one.finished) if one.finished else "no")
    wide.print(made)

"""`vedette judge`: what a judge of production says of all calls, from those that it was asked."""

import math
from contextlib import closing
from typing import Annotated

import typer

from abtest.wording import moment
from agent.catalog import BY_NAME
from agent.config import load_config
from agent.errors import BadConfig
from agent.plain import plain
from agent.store import judgements
from agent.store.judgements import Scope
from consumers.cli_judge import cells
from consumers.cli_terminal import AsJson, ConfigFile, bare_table, print_json, say, wide
from consumers.stores import open_reader
from consumers.verdicts import Found, found_in, sample_of


def judge(
    name: Annotated[str, typer.Argument(help="The candidate that has a rubric.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
    cheap: Annotated[
        str | None, typer.Option(help="A metric that every call has, such as response_harm.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Calls of this service only.")] = None,
    model: Annotated[str | None, typer.Option(help="Calls of this model only.")] = None,
    variant: Annotated[str | None, typer.Option(help="Calls of this variant only.")] = None,
    since: Annotated[float | None, typer.Option(help="From this time on, epoch seconds.")] = None,
    until: Annotated[float | None, typer.Option(help="Up to this time, epoch seconds.")] = None,
) -> None:
    """The mean verdict of a judge over answered calls, with an interval, from its sample."""
    told = load_config(config)
    if told.shadow is None or name not in told.shadow.candidates:
        raise BadConfig(f"shadow.candidates.{name}", "is not configured")
    candidate = told.shadow.candidates[name]
    if candidate.rubric is None:
        raise BadConfig(f"shadow.candidates.{name}", "has no `rubric`: it is no judge")
    if cheap is not None and cheap not in BY_NAME:
        raise BadConfig("--cheap", f"no metric {cheap}; `vedette catalog` lists them")
    metric = f"judge_{name}"
    with closing(open_reader(told)) as store, store.reading() as tx:
        span = judgements.span(tx, metric)
        if span is None:
            raise BadConfig(name, "has judged no stored call yet")
        ends = span[0] if since is None else since, math.nextafter(span[1], math.inf)
        ends = ends[0], ends[1] if until is None else until
        # It is never asked of other services: what it says would be no sample of theirs.
        scope = Scope(*ends, service, model, variant, candidate.services)
        sample = sample_of(judgements.drawn(tx, name, scope))
        rows = list(judgements.answered(tx, metric, cheap or "", scope))
    found = found_in(name, cheap, scope, rows, sample)
    if as_json:
        print_json(plain(found))
    else:
        _show(found)


def _show(found: Found) -> None:
    say(f"{found.judge} judged {found.judged} of {found.calls} answered calls"
        f" from {moment(found.since)} to {moment(found.until)}")  # fmt: skip
    made = bare_table("estimate", "mean", "95 % interval", "judged", "others", "by",
                      words=("estimate", "by"))  # fmt: skip
    for name, one in found.estimates.items():
        made.add_row(f"  {name}", *cells(one))
    wide.print(made)
    if found.lacking:
        say(f"{found.lacking} calls have no {found.cheap} and count in no estimate with it")
    for line in found.warnings:
        say(f"warning: {line}")

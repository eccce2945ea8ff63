"""`vedette rebaseline`: somebody says that a level is normal, and why."""

import time
from contextlib import closing
from typing import Annotated, Any

import typer

from abtest.wording import moment
from agent.config import Config, load_config
from agent.errors import BadConfig
from consumers.cli_terminal import AsJson, ConfigFile, print_json, say, who
from consumers.rebaselines import decided, period_of
from consumers.stores import open_writer
from watch.rebaseline import Period

_Part = Annotated[str | None, typer.Option(help="Series with this one only.")]


def rebaseline(
    config: ConfigFile = None,
    as_json: AsJson = False,
    why: Annotated[str | None, typer.Option(help="Kept beside the decision.")] = None,
    service: _Part = None,
    model: Annotated[str | None, typer.Option(help="* is the service as a whole.")] = None,
    segment: _Part = None,
    metric: _Part = None,
    view: _Part = None,
    everything: Annotated[bool, typer.Option("--all", help="Every series.")] = False,
    start: Annotated[str | None, typer.Option("--from", help="ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="ISO 8601.")] = None,
    source: Annotated[str, typer.Option(help="Whose period it is.")] = "live",
    history: Annotated[bool, typer.Option("--list", help="What was decided so far.")] = False,
) -> None:
    """Take a new baseline for series: of a period, or of the calls to come."""
    told = load_config(config)
    if told.drift is None:
        raise BadConfig("drift", "is not configured; `drift: {}` is enough")
    if history:
        return _show(decided(told), as_json)
    parts = {"service": service, "model": model, "segment": segment, "metric": metric,
             "view": view}  # fmt: skip
    wanted = {key: value for key, value in parts.items() if value is not None}
    if not wanted and not everything:
        raise BadConfig("rebaseline", "name a service, model, segment, metric or view, or --all")
    if not why:
        raise BadConfig("--why", "is wanted: it is kept beside the decision")
    period = period_of(source, start, end, ("--from", "--to"))
    _tell(_taken(told, why, wanted, period), as_json)


def _taken(told: Config, why: str, wanted: dict[str, str], period: Period | None) -> dict[str, Any]:
    from consumers import actions

    by = actions.By(who(), "command", time.time(), why)
    with closing(open_writer(told)) as store:
        return actions.rebaseline(store, told, by, wanted, period)


def _tell(made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(made)
    for source, body in made.items():
        known = f", {body['learned']} of them learned it from the period" if body["period"] else ""
        say(f"{source}: {body['series']} series get a new baseline{known};"
            f" {body['resolved']} findings resolved")  # fmt: skip


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        return print_json(rows)
    for row in rows:
        which = ", ".join(f"{key} {value}" for key, value in row["wanted"].items()) or "all"
        say(f"{moment(row['stored_at'])}  {row['who']}: {which} of {row['source']}"
            f" ({row['series']} series): {row['why']}")  # fmt: skip
    if not rows:
        say("nobody took a new baseline")

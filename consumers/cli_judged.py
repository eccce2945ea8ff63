"""`vedette judge`: what a judge of production says of all calls, from those that it was asked."""

import math
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated

import typer

from abtest.ppi import Estimate, anytime, judged_alone, mean, of_scores
from abtest.wording import moment
from agent.catalog import BY_NAME, metric_named
from agent.config import load_config
from agent.errors import BadConfig
from agent.plain import plain
from agent.store import judgements
from agent.store.judgements import Scope
from consumers.cli_judge import cells
from consumers.cli_terminal import AsJson, ConfigFile, bare_table, print_json, say, wide
from consumers.stores import open_reader

# The weight of the interval that holds at every look: it must not depend on the data.
_FIXED_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """What a judge said, over calls that began in [since, until).

    `lacking` calls have no cheap score and count nowhere; `estimates` are means of the verdicts.
    """

    judge: str
    cheap: str | None
    since: float
    until: float
    calls: int
    judged: int
    lacking: int
    estimates: dict[str, Estimate]


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
    """The mean verdict of a judge over all calls, with an interval, from the sample it judged."""
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
        rows = list(judgements.beside(tx, metric, cheap or "", scope))
    found = _found(name, cheap, scope, rows)
    if as_json:
        print_json(plain(found))
    else:
        _show(found)


def _found(
    name: str, cheap: str | None, scope: Scope, rows: Iterable[tuple[float | None, float | None]]
) -> Found:
    low = cheap is not None and metric_named(cheap).good == "low"
    scores, verdicts, said, others, calls, lacking = [], [], [], [], 0, 0
    for score, verdict in rows:
        calls += 1
        if verdict is not None:
            said.append(verdict)
        if score is None:
            lacking += cheap is not None
            continue
        turned = 1 - score if low else score
        if verdict is None:
            others.append(turned)
        else:
            scores.append(turned)
            verdicts.append(verdict)
    estimates = {"judge": judged_alone(said, others=calls - len(said))}
    if cheap is not None:
        estimates[f"judge + {cheap}"] = mean(verdicts, scores, of_scores(others))
        whole = scores + others
        estimates["at every look"] = anytime(verdicts, scores, whole, _FIXED_WEIGHT)
    return Found(name, cheap, scope.since, scope.until, calls, len(said), lacking, estimates)


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

"""`vedette shadow`: candidates are asked what production was asked; the kill switch."""

import logging
import time
from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any

import typer

from abtest.wording import moment
from agent.config import Config, load_config
from agent.errors import BadConfig
from consumers.candidates import candidate_states
from consumers.cli_terminal import AsJson, ConfigFile, bare_table, print_json, say, who, wide
from consumers.stores import open_reader


def shadow(
    config: ConfigFile = None,
    as_json: AsJson = False,
    stop: Annotated[str | None, typer.Option(help="Ask this candidate nothing more.")] = None,
    why: Annotated[str | None, typer.Option(help="Kept beside the stop.")] = None,
    resume: Annotated[str | None, typer.Option(help="Ask it again.")] = None,
    status: Annotated[bool, typer.Option(help="Tickets, budgets, breakers; asks nobody.")] = False,
) -> None:
    """Ask the candidates until SIGTERM; or stop one, let it go on, or show where they stand."""
    from consumers.shadowing import run_shadow, shadow_of

    told = load_config(config)
    if stop is not None and not why:
        raise BadConfig("--why", "is wanted: it is kept beside the stop")
    if why is not None and stop is None:
        raise BadConfig("--why", "is kept beside a stop, and --stop names nobody")
    if stop is None and resume is None and not status and not as_json:
        # A broker that is away makes them write without end; what they say of it we say once.
        for name in ("faust", "mode", "aiokafka", "shadow.app"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return run_shadow(told)
    if stop is not None or resume is not None:
        _switch(told, stop, why or "", resume)
    else:
        shadow_of(told)
    if as_json:
        print_json(_states(told))
    else:
        _show(_states(told))


def _switch(told: Config, stop: str | None, why: str, resume: str | None) -> None:
    from consumers.actions import By, switch_candidate

    by = By(who(), "command", time.time(), why)
    # As a reader, which takes no lock: on SQLite too the switch must work while a worker writes.
    with closing(open_reader(told)) as store:
        if stop is not None:
            switch_candidate(store, told, by, stop, False, "--stop")
        if resume is not None:
            switch_candidate(store, told, by, resume, True, "--resume")


def _states(told: Config) -> list[dict[str, Any]]:
    with closing(open_reader(told)) as store, store.reading() as tx:
        return [asdict(one) for one in candidate_states(tx, told, time.time())]


def _show(rows: list[dict[str, Any]]) -> None:
    made = bare_table("candidate", "breaker", "budget left", "tickets", words=(
        "candidate", "breaker", "budget left", "tickets"))  # fmt: skip
    for row in rows:
        rest = ", ".join(f"{bound} {n:g}" for bound, n in row["left"].items())
        tickets = ", ".join(f"{state} {n}" for state, n in sorted(row["tickets"].items()))
        breaker = row["breaker"]["state"] if row["breaker"] else "not seen yet"
        rest = rest if row["model"] is not None else "not configured"
        made.add_row(row["candidate"], breaker, rest, tickets or "none")
    wide.print(made)
    for row in rows:
        if held := row["stopped"]:
            say(f"{row['candidate']} is stopped since {moment(held['at'])}"
                f" by {held['who']}: {held['why']}")  # fmt: skip

"""What `vedette readout` does: lines of experiments, the report and the plan, as plain data."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abtest.keeping import current_run, lines_of
from abtest.levels import Level, levels
from abtest.line import Line
from abtest.plan import Planned, plan
from abtest.report import render
from agent.config import Config
from agent.errors import BadConfig
from agent.experiments import instant
from agent.store import Store

BETWEEN = "between"


def looked_back(arms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The configuration of the one observational comparison that arms of the command line make.

    An arm is `VARIANT` or `VARIANT@START/END`, in ISO 8601; either end may be left open. Raises
    BadConfig for one that is neither, and for fewer than two.
    """
    given = {arm: _arm("--between", arm) for arm in arms}
    if len(given) < max(2, len(arms)):
        raise BadConfig("--between", "wants two arms or more, each another one")
    # Every call has an error or none; which metric comes first decides nothing here.
    return {BETWEEN: {"design": "observational", "arms": given, "primary": "error", "start": 0.0}}


def _arm(key: str, arm: str) -> dict[str, str]:
    variant, at, period = arm.partition("@")
    start, slash, end = period.partition("/")
    if not variant or bool(at) != bool(slash):
        raise BadConfig(key, f"{arm!r} is neither VARIANT nor VARIANT@START/END")
    held = {"variant": variant, "start": start, "end": end}
    return {name: value for name, value in held.items() if value}


def read_levels(store: Store, config: Config, arms: Sequence[str]) -> list[Level]:
    """Where variants stand; `arms` are as those of `looked_back`. Raises BadConfig like it."""
    found = []
    for arm in arms:
        variant, start, end = period_of("--of", arm)
        with store.reading() as tx:
            found += levels(tx, config.service, variant, start, end)
    return found


def period_of(key: str, arm: str) -> tuple[str, float, float]:
    """The variant of `VARIANT` or `VARIANT@START/END`, and its period in epoch seconds."""
    held = _arm(key, arm)
    try:
        ends = held.get("start", 0.0), held.get("end", math.inf)
        start, end = (float(instant(one)) for one in ends)
    except ValueError as error:
        raise BadConfig(key, f"{arm!r} {error}") from None
    return held["variant"], start, end


def names_of(config: Config, name: str | None) -> list[str]:
    """The experiments asked for; raises BadConfig for one that is not configured."""
    known = list(config.experiments)
    if not known:
        raise BadConfig("experiments", "none is configured")
    if name is not None and name not in known:
        raise BadConfig("readout", f"unknown experiment {name}; known are {', '.join(known)}")
    return known if name is None else [name]


def read_lines(store: Store, config: Config, names: Sequence[str], now: float) -> list[Line]:
    """Every line of these experiments as of now."""
    with store.reading() as tx:
        return [line for name in names for line in lines_of(tx, config, name, now)]


def write_report(store: Store, config: Config, name: str, now: float, to: Path) -> None:
    """The report of one experiment as a page that needs nothing else."""
    experiment = config.experiments[name]
    with store.reading() as tx:
        lines = lines_of(tx, config, name, now)
        points = (
            []
            if experiment.design == "observational"
            else current_run(tx, config, name, now).points
        )
    page = render(name, experiment, lines, points)
    try:
        to.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadConfig("readout --html", f"{to} cannot be written ({error.strerror})") from None


def read_plan(store: Store, config: Config, name: str, effect: float, now: float) -> list[Planned]:
    """How many calls a decision takes, from what the control's panes hold."""
    with store.reading() as tx:
        return plan(tx, config, name, effect, now)

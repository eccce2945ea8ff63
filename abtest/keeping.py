"""Runs as the store keeps them: caught up with the closed panes, exactly once."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from abtest.advance import advance
from abtest.line import Line
from abtest.observational import observational_lines
from abtest.readout import readout
from abtest.run import Run
from abtest.trust import control_warnings
from agent.catalog import BY_NAME
from agent.config import Config
from agent.errors import StoreDown
from agent.experiments import Experiment
from agent.packing import open_row
from agent.panes import HOUR_S
from agent.store import Transaction, experiments, reads, tickets
from agent.store.experiments import StoredRun
from agent.store.findings import all_findings
from agent.store.reads import StoredPane
from agent.store.units import UnitSpan, unit_rows
from agent.summaries import Counts

# One transaction adds at most so many hours of each source.
_HOURS_AT_ONCE = 16
# So many of the newest findings are asked whether they are of the control.
_DRIFTS = 1000


def keep_experiments(tx: Transaction, config: Config, now: float, part: float = 1.0) -> bool:
    """Add what has closed to every experiment's run, this part of the most that one transaction
    takes, an hour at least; whether anything was added.

    Raises StoreDown when another process did so meanwhile: then nothing of this may stay.
    """
    hours, any_moved = max(1, int(part * _HOURS_AT_ONCE)), False
    for name, experiment in config.experiments.items():
        if experiment.design != "observational":
            stored = experiments.load_run(tx, name)
            runs, moved = _caught_up(tx, config, name, stored, now, hours, entering=True)
            any_moved |= moved
            if moved and not _save(tx, name, stored, runs, now):
                raise StoreDown(f"experiment {name} was moved on by another process", 0.1)
    return any_moved


def _save(
    tx: Transaction, name: str, stored: StoredRun | None, runs: Sequence[Run], now: float
) -> bool:
    for at, run in enumerate(runs):
        version = stored.version if stored is not None and not at else 0
        if not experiments.save_run(tx, name, run.number, run.to_bytes(), version, now):
            return False
    return True


def current_run(
    tx: Transaction, config: Config, name: str, now: float, *, drawing: bool = True
) -> Run:
    """The newest run of an experiment with all that has closed; nothing is stored."""
    stored = experiments.load_run(tx, name)
    runs, _ = _caught_up(tx, config, name, stored, now, drawing=drawing)
    return runs[-1]


def lines_of(tx: Transaction, config: Config, name: str, now: float) -> list[Line]:
    """The readout of a configured experiment as of now."""
    experiment = config.experiments[name]
    if experiment.design == "observational":
        return observational_lines(tx, config, name, experiment)
    late: dict[str, int] = {}
    service = experiment.service or config.service
    found = reads.late_calls(tx, experiment.start, service, experiment.labels())
    for (variant, model), calls in found.items():
        arm = experiment.arm_of(variant, model)
        if arm is not None:
            late[arm] = late.get(arm, 0) + calls
    said = [f"{n} calls of {arm} came too late for their pane" for arm, n in sorted(late.items())]
    run = current_run(tx, config, name, now, drawing=False)
    said += control_warnings(all_findings(tx, _DRIFTS, kind="drift"), run, experiment, service)
    return readout(name, experiment, run, said)


def _caught_up(
    tx: Transaction, config: Config, name: str, stored: StoredRun | None, now: float,
    hours: float = math.inf, *, entering: bool = False, drawing: bool = True,
) -> tuple[list[Run], bool]:  # fmt: skip
    experiment = config.experiments[name]
    # A pane's pairs are whole when no ticket of it is out, which its calls do not wait for.
    times = tickets.paired_times(tx) if experiment.paired else reads.closed_times(tx)
    runs, moved = _opened(experiment, stored, times, now)
    known, width = experiments.all_panels(tx), config.panes.width_s
    for source, closed in sorted(times.items()):
        through = closed
        if experiment.unit != "request" and not experiment.paired:
            through = (closed - experiment.horizon_s) // width * width
        start = max(runs[-1].reached.get(source, 0.0), experiment.start)
        if through <= start:
            continue
        first = reads.first_pane(tx, source, start)
        if first is not None:
            through = min(through, float(first // HOUR_S + hours) * HOUR_S)
        panes = _panes(tx, config, name, source, (start, through), now, entering)
        runs[-1:] = advance(runs[-1], experiment, panes, known, source, through, drawing)
        moved = True
    return runs, moved


def _opened(
    experiment: Experiment, stored: StoredRun | None, closed: Mapping[str, float], now: float
) -> tuple[list[Run], bool]:
    """The run that goes on, after the stored one if that had another definition, and whether it
    is new. What was closed under another definition is not counted under this one, and what was
    counted under other shares is not weighed anew."""
    definition, past = experiment.definition(), max(closed.values(), default=0.0)
    if stored is None:
        return [Run(declared=now, definition=definition)], True
    run = Run.from_bytes(stored.body)
    why = "its definition changed"
    if run.definition == definition:
        steps = experiment.steps_before(max(run.reached.values(), default=0.0))
        if run.ramp in (None, steps):
            return [run], False
        why = "a step of its ramp changed after its calls were counted"
    new = Run(run.number + 1, now, definition, why=why, reached=dict(closed))
    new.ramp = experiment.steps_before(past)
    return [run, new], True


def _panes(
    tx: Transaction, config: Config, name: str, source: str, span: tuple[float, float],
    now: float, entering: bool,
) -> list[StoredPane]:  # fmt: skip
    experiment = config.experiments[name]
    service = experiment.service or config.service
    variants = experiment.labels()
    panes = reads.stored_panes(tx, source, *span, service, variants)
    if experiment.unit == "request" or experiment.paired:
        return panes
    names = {*experiment.guardrails, experiment.primary, *_lows(config)}
    low = frozenset(metric for metric in names if experiment.good_end(metric) == "low")
    void = frozenset(f"slo_{one}" for one, of in config.slo.items() if of.of_amount)
    asked = UnitSpan(
        name, source, service, variants, experiment.unit, *span, config.panes.width_s,
        config.panes.allowed_lateness_s, experiment.horizon_s, config.segments, low, void,
    )  # fmt: skip
    rows = unit_rows(tx, asked, now, entering=entering)
    panels = _panels_of(panes)
    levels = sorted({level_s for level_s, _, _ in panels})
    for (pane, group), row in rows.items():
        for level_s in levels:
            at = level_s, pane // level_s * level_s, group.variant
            row.panels.merge(panels.get(at, Counts()))
    width = config.panes.width_s
    return [StoredPane(key.pane, width, key.group, row.to_bytes()) for key, row in rows.items()]


def _lows(config: Config) -> list[str]:
    return [f"slo_{name}" for name in config.slo] + list(BY_NAME)


def _panels_of(panes: Sequence[StoredPane]) -> dict[tuple[int, int, str], Counts]:
    """What scored the calls of a variant, by the length and the beginning of a pane."""
    found: dict[tuple[int, int, str], Counts] = defaultdict(Counts)
    for one in panes:
        panels = Counts.from_bytes(open_row(one.blob).panels)
        found[one.level_s, one.pane, one.group.variant].merge(panels)
    return found

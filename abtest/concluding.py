"""What experiments came to, as findings: each told once, and over with its run.

What does harm or gives no result rings as long as its run goes on; a candidate that is better, or
equivalent, is told and rings nowhere.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from abtest import ratio
from abtest.keeping import current_run
from abtest.line import Line, as_of
from abtest.readout import declared_lines, ratio_line
from abtest.run import Run
from abtest.verdict import BETTER, EQUIVALENT, WORSE, invalid_because
from abtest.wording import INVALID, conclusion
from agent.config import Config
from agent.experiments import Experiment
from agent.findings import Finding, Kind, State
from agent.store import Transaction
from agent.store.findings import findings_of, open_findings, put_findings

# An experiment is of all sources together, as gaps between segments are.
_EVERYWHERE = "*"
_KINDS: tuple[Kind, ...] = ("experiment", "sample ratio")


def keep_conclusions(tx: Transaction, config: Config, now: float) -> list[Finding]:
    """Store what experiments have come to since the last look; the findings that changed."""
    wanted = {
        one.key: one
        for name, experiment in config.experiments.items()
        if experiment.design != "observational"
        for one in conclusions(
            name, experiment, current_run(tx, config, name, now, drawing=False),
            experiment.service or config.service,
        )
    }  # fmt: skip
    known = {one.key: one.state for one in findings_of(tx, list(wanted))}
    changed = [one for key, one in wanted.items() if known.get(key) != one.state]
    for one in (one for kind in _KINDS for one in open_findings(tx, _EVERYWHERE, kind)):
        if one.key not in wanted:
            said = f"{one.summary}; that run is over, or says so no longer"
            changed.append(replace(one, state="resolved", summary=said))
    put_findings(tx, _EVERYWHERE, changed, now)
    return changed


def conclusions(name: str, experiment: Experiment, run: Run, service: str) -> list[Finding]:
    """What a run has come to: that its shares do not hold, or else of each candidate what is
    decided of the primary metric, and the guardrails that are broken."""
    if all(peak.decided_at is None for peak in run.peaks.values()):
        return []
    if run.seen("sample ratio").decided_at is not None:
        return [_unlike_shares(name, experiment, run, service)]
    return list(_decided(name, experiment, run, service))


def _state(experiment: Experiment, run: Run, rings: bool) -> State:
    over = experiment.end is not None and (as_of(run) or 0.0) >= experiment.end
    return "firing" if rings and not over else "resolved"


def _unlike_shares(name: str, experiment: Experiment, run: Run, service: str) -> Finding:
    line, peak = ratio_line(name, experiment, run), run.seen("sample ratio")
    counts = ", ".join(f"{n:,} of {arm}" for arm, n in line.n.items())
    return Finding(
        "sample ratio", (("service", service), ("experiment", name)),
        _state(experiment, run, rings=True), "warning", int(peak.decided_at or 0.0),
        int(as_of(run) or 0.0),
        f"calls of experiment {name} are not split as configured: {counts}; nothing may be"
        " concluded from it", sum(line.n.values()), peak.log_evidence, -math.log(ratio.THRESHOLD),
    )  # fmt: skip


def _decided(name: str, experiment: Experiment, run: Run, service: str) -> Iterator[Finding]:
    invalid = invalid_because(run, experiment)
    for line in declared_lines(name, experiment, run):
        if line.decided_at is None or (invalid and line.role != "primary"):
            continue
        said = replace(line, verdict=f"{INVALID}{invalid})") if invalid else line
        harm = said.verdict == WORSE
        if harm or (
            line.role == "primary"
            and (said.verdict in (BETTER, EQUIVALENT) or said.verdict.startswith(INVALID))
        ):
            yield _finding(said, experiment, run, service)


def _finding(line: Line, experiment: Experiment, run: Run, service: str) -> Finding:
    arm, metric, alpha = line.arms[-1], line.metric, experiment.alpha
    harm, good = line.verdict == WORSE, line.verdict in (BETTER, EQUIVALENT)
    peaks = [
        peak.log_evidence
        for key, peak in run.peaks.items()
        if key.startswith(f"{arm} {metric} ") and peak.decided_at is not None
    ]
    told = conclusion(line, experiment).removesuffix(".")
    if line.role == "guardrail":
        told += f", by more than the margin of {experiment.guardrails[metric]:g}"
    # What a shadow answers reaches nobody: there a worse candidate is a result and does no harm.
    severe = harm and experiment.design == "split"
    return Finding(
        "experiment",
        (("service", service), ("experiment", line.experiment), ("arm", arm), ("metric", metric)),
        _state(experiment, run, rings=not good), "critical" if severe else "warning",
        int(line.decided_at or 0.0), int(line.as_of or 0.0), f"{line.experiment}: {told}",
        sum(line.n.values()), max(peaks), math.log(1 / alpha), line.estimate, line.lower,
        line.upper, (() if line.level is None else (("baseline_mean", line.level),)),
    )  # fmt: skip

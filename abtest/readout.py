"""What a run says now: one line a metric and candidate, with its reasons to distrust it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from abtest import ratio
from abtest.amounts import amount_lines
from abtest.contrast import Contrast, contrasts
from abtest.line import Line, as_of, counted, estimate_of, level_of
from abtest.measure import Measured, measure
from abtest.run import Key, Run
from abtest.slices import slice_lines
from abtest.trust import joined, line_warnings, run_warnings
from abtest.verdict import (
    NOT_YET,
    WORSE,
    believed,
    forecast,
    guardrail_verdict,
    invalid_because,
    once_held,
    primary_verdict,
)
from agent.catalog import METRICS
from agent.experiments import LOG_RATIO, PAIRED, WIN, Experiment
from agent.summaries import BoundedHistogram

_UNDECLARED = ("other", "slice", "gap")
_CATALOGUE = [metric.name for metric in METRICS]


def readout(name: str, experiment: Experiment, run: Run, said: Sequence[str] = ()) -> list[Line]:
    """Every line of an experiment: the primary metric first, then guardrails, the rest, amounts,
    slices and the check of the shares. What else is `said` stands with the primary metric."""
    every = list(contrasts(run, experiment, bounded_metrics(run, experiment)))
    lines = _tested_lines(name, run, every, said)
    lines += amount_lines(name, experiment, run)
    lines += slice_lines(name, experiment, run)
    lines = told_together(lines, experiment.alpha)
    if not experiment.paired:
        lines.append(ratio_line(name, experiment, run))
    invalid = invalid_because(run, experiment)
    if invalid:
        lines = [replace(line, verdict=f"invalid ({invalid})", more=None) for line in lines]
    return lines


def told_together(lines: Sequence[Line], alpha: float) -> list[Line]:
    """Verdicts by one e-BH over all that nobody declared, so that its share is that of a page."""
    told = iter(believed([line for line in lines if line.role in _UNDECLARED], alpha))
    return [next(told) if line.role in _UNDECLARED else line for line in lines]


def bounded_metrics(run: Run, experiment: Experiment) -> list[str]:
    """The primary metric, the guardrails, then whatever else has a range, as catalogued."""
    first = [experiment.primary, *experiment.guardrails]
    found: set[str] = set()
    for key, row in run.rows.items():
        if not key.segment and key.arm.startswith(PAIRED) == experiment.paired:
            found |= {
                one
                for one, summary in row.summaries.items()
                if isinstance(summary, BoundedHistogram) and summary.n
            }
    rest = {m for m in found if "|" not in m and not m.endswith(LOG_RATIO)} - set(first)
    return first + sorted(rest, key=_place)


def _place(metric: str) -> tuple[int, str]:
    plain = metric.removesuffix(WIN)
    return (_CATALOGUE.index(plain) if plain in _CATALOGUE else -1, metric)


def _tested_lines(
    name: str, run: Run, every: Sequence[Contrast], said: Sequence[str]
) -> list[Line]:
    lines, common = [], [*run_warnings(run, every[0].experiment), *said]
    for contrast, measured in zip(every, measure(run, every), strict=True):
        line = _line(name, run, contrast, measured)
        if line.role == "primary":
            line = replace(line, warnings=joined(common, line.warnings))
        lines.append(line)
    return lines


def declared_lines(name: str, experiment: Experiment, run: Run) -> list[Line]:
    """The lines of the primary metric and the guardrails alone, before anything is invalid."""
    every = list(contrasts(run, experiment, [experiment.primary, *experiment.guardrails]))
    measured = measure(run, every)
    return [_line(name, run, *pair) for pair in zip(every, measured, strict=True)]


def _line(name: str, run: Run, contrast: Contrast, measured: Measured) -> Line:
    experiment, metric = contrast.experiment, contrast.metric
    n, estimate = counted(run, contrast), estimate_of(run, contrast)
    role, verdict, since, more = "other", NOT_YET, None, None
    doubts = line_warnings(run, contrast, measured, sum(n.values()))
    if metric == experiment.primary:
        role, (verdict, since) = "primary", primary_verdict(run, contrast)
        more = forecast(run, contrast, estimate) if verdict == NOT_YET else None
    elif metric in experiment.guardrails:
        role, (verdict, since) = "guardrail", guardrail_verdict(run, contrast)
        doubts += once_held(run, contrast) if verdict in (NOT_YET, WORSE) else []
    return Line(
        name, experiment.design, metric, (experiment.control, contrast.arm), n, estimate,
        measured.lower, measured.upper, measured.log_evidence, verdict,
        joined(doubts), as_of(run), run.number,
        role, good=experiment.good_end(metric), level=level_of(run, contrast),
        best=measured.best, decided_at=since, more=more,
    )  # fmt: skip


def ratio_line(name: str, experiment: Experiment, run: Run) -> Line:
    """How calls fell on the arms, beside the configured shares."""
    counts, level = dict.fromkeys(experiment.arms, 0), 0.0
    for stage, (epoch, _, _) in enumerate(run.stages):
        held = [run.row(Key(stage, arm)) for arm in experiment.arms]
        seen = [row.calls.total() if row else 0 for row in held]
        counts = {arm: counts[arm] + n for arm, n in zip(counts, seen, strict=True)}
        level += float(ratio.log_imbalance(seen, list(experiment.epochs()[epoch][1].values())))
    total, mine = sum(counts.values()), counts[experiment.candidates[0]]
    share = mine / total if total else np.nan
    peak = run.seen("sample ratio").log_evidence
    warnings = (f"p = {ratio.p_value(max(peak, level)):.3g} that the shares hold",)
    return Line(
        name, experiment.design, "sample_ratio", tuple(experiment.arms), counts, share, np.nan,
        np.nan, level, NOT_YET, warnings, as_of(run), run.number, "check", "share of calls",
    )  # fmt: skip

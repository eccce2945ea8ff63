"""The same questions within declared segments, and the gaps between them."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from abtest.contrast import Contrast, contrasts
from abtest.line import Line, as_of, counted, estimate_of, level_of
from abtest.measure import measure
from abtest.mixture import interval, log_evidence
from abtest.observe import nulls_of
from abtest.run import Run
from abtest.samples import GRID, filled_counts, mean_of, worst_of
from abtest.verdict import NOT_YET, reversed_slices
from agent.buckets import Floats
from agent.experiments import Experiment
from agent.panes import Row

_STEPS = 60


def slice_lines(name: str, experiment: Experiment, run: Run) -> list[Line]:
    """Effects by segment, and each segment's gap to the other values of its key."""
    segments = sorted({key.segment for key in run.rows if key.segment})
    lines: list[Line] = []
    for metric in (experiment.primary, *experiment.guardrails):
        for contrast in contrasts(run, experiment, (metric,)):
            effects = [_effect(name, run, contrast, segment) for segment in segments]
            lines += _warned(run, contrast, [line for line in effects if line is not None])
            gaps = (_gap(name, run, contrast, segment, segments) for segment in segments)
            lines += [line for line in gaps if line is not None]
    return lines


def _effect(name: str, run: Run, contrast: Contrast, segment: str) -> Line | None:
    n, experiment = counted(run, contrast, segment), contrast.experiment
    if min(n.values()) < experiment.slice_calls:
        return None
    (measured,) = measure(run, [contrast], segment)
    return Line(
        name, experiment.design, contrast.metric, (experiment.control, contrast.arm), n,
        estimate_of(run, contrast, segment), measured.lower, measured.upper,
        _evidence(run, contrast, segment, measured.log_evidence), NOT_YET, (), as_of(run),
        run.number, "slice", segment=segment,
        good=experiment.good_end(contrast.metric), level=level_of(run, contrast, segment),
        best=measured.best,
    )  # fmt: skip


def _evidence(run: Run, contrast: Contrast, segment: str, of_difference: float) -> float:
    """Against no difference; of a guardrail against a difference within its margin."""
    if contrast.metric == contrast.experiment.primary:
        return of_difference
    frame, counts = contrast.total(run, segment)
    null = next(one for one in nulls_of(contrast) if one.name == "broken")
    return float(
        log_evidence(frame.values, counts, null.value, frame.lower, frame.upper, null.side)
    )


def _warned(run: Run, contrast: Contrast, lines: Sequence[Line]) -> list[Line]:
    """Simpson's reversal is said of each slice of the key."""
    whole, by = estimate_of(run, contrast), defaultdict[str, dict[str, float]](dict)
    for line in lines:
        by[line.segment.partition("=")[0]][line.segment] = line.estimate
    said = ("every slice says the opposite of the whole (Simpson's reversal)",)
    turned = {key for key, slices in by.items() if reversed_slices(whole, slices)}
    return [
        replace(line, warnings=said) if line.segment.partition("=")[0] in turned else line
        for line in lines
    ]


def _gap(
    name: str, run: Run, contrast: Contrast, segment: str, segments: Sequence[str]
) -> Line | None:
    """The candidate's level in a segment minus that in the other values of the same key."""
    key, experiment = segment.partition("=")[0], contrast.experiment
    others = Row()
    for other in segments:
        if other != segment and other.partition("=")[0] == key:
            held = run.over_stages(contrast.arm, other).summaries.get(contrast.metric)
            # Merging what the other metrics hold would cost and say no more.
            others.merge(Row(summaries={} if held is None else {contrast.metric: held}))
    sides = run.over_stages(contrast.arm, segment), others
    fail = worst_of(contrast.good, "worst")
    counts = [filled_counts(row, contrast.metric, fail) for row in sides]
    if min(float(one.sum()) for one in counts) < experiment.slice_calls:
        return None
    lower, upper = interval(GRID, np.stack(counts), experiment.alpha / 2)
    (mine, n), (theirs, m) = (mean_of(row, contrast.metric, fail) for row in sides)
    return Line(
        name, "gap", contrast.metric, (contrast.arm,), {segment: round(n), "others": round(m)},
        mine - theirs, float(lower[0] - upper[1]), float(upper[0] - lower[1]),
        evidence_of_gap(*counts), NOT_YET, (), as_of(run), run.number, "gap",
        "gap to the other values", segment, good=experiment.good_end(contrast.metric),
        level=theirs,
    )  # fmt: skip


def evidence_of_gap(one: Floats, other: Floats) -> float:
    """Log-evidence that two means differ: the least, over a common mean, of both together.

    At the true common mean the product of two e-values is one; its least over all means is no
    larger. Both logarithms are convex in the mean, so thirds close in on the least.
    """
    low, high = 1e-9, 1 - 1e-9

    def both(mean: float) -> float:
        return float(log_evidence(GRID, one, mean) + log_evidence(GRID, other, mean))

    for _ in range(_STEPS):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, b) if both(a) < both(b) else (a, high)
    return max(both((low + high) / 2), -math.inf)

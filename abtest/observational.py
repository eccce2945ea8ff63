"""Looking back: two variants or periods side by side, labelled, and never with a verdict.

Each arm has an interval of its own at alpha / 2; that of the difference holds if both do. Who
chooses what to compare after the data are in may find a difference by choosing.
"""

import numpy as np

from abtest.line import Line
from abtest.mixture import interval
from abtest.quantiles import quantile_difference
from abtest.samples import GRID, filled_counts, mean_of, worst_of
from agent.catalog import METRICS, part_of
from agent.config import Config
from agent.experiments import Experiment
from agent.packing import open_row
from agent.panes import Row
from agent.stacks import Stacks
from agent.store import Transaction, reads
from agent.summaries import BoundedHistogram, LogHistogram

NO_VERDICT = "observational, no verdict"
_DOUBT = "chosen after the fact: other differences between the arms' calls may be the cause"


def arm_row(tx: Transaction, config: Config, experiment: Experiment, arm: str) -> Row:
    """All closed panes of an arm in its period."""
    service, model = experiment.service or config.service, experiment.arms[arm].model
    return variant_row(tx, service, experiment.variant(arm), model, experiment.period(arm))


def variant_row(
    tx: Transaction, service: str, variant: str, wanted: str | None, span: tuple[float, float]
) -> Row:
    """All closed panes of a variant, of one model only where that is named, within [start, end)."""
    blobs = []
    for source, through in sorted(reads.closed_times(tx).items()):
        here = span[0], min(span[1], through)
        panes = reads.stored_panes(tx, source, *here, service, (variant,))
        blobs += [
            pane.blob
            for pane in panes
            if not pane.group.segment and wanted in (None, pane.group.model)
        ]
    return Stacks([open_row(blob) for blob in blobs]).summed()


def observational_lines(
    tx: Transaction, config: Config, name: str, experiment: Experiment
) -> list[Line]:
    """Every metric that both arms have."""
    control = arm_row(tx, config, experiment, experiment.control)
    lines = []
    for arm in experiment.candidates:
        mine = arm_row(tx, config, experiment, arm)
        flags = {part_of(name)[0] for name in mine.summaries if name.startswith("slo_")}
        names = [metric.name for metric in METRICS] + sorted(flags)
        for metric in sorted(names, key=lambda one: one != experiment.primary):
            pair = control.summaries.get(metric), mine.summaries.get(metric)
            if not all(side is not None and side.n for side in pair):
                continue
            if isinstance(pair[0], BoundedHistogram) and isinstance(pair[1], BoundedHistogram):
                lines.append(_mean_line(name, experiment, arm, metric, control, mine))
            elif isinstance(pair[0], LogHistogram) and isinstance(pair[1], LogHistogram):
                lines.append(_median_line(name, experiment, arm, metric, pair[0], pair[1]))
    return lines


def _mean_line(
    name: str, experiment: Experiment, arm: str, metric: str, control: Row, mine: Row
) -> Line:
    fail = worst_of(experiment.good_end(metric), "worst")
    primary = metric == experiment.primary
    counts = np.stack([filled_counts(row, metric, fail) for row in (control, mine)])
    lower, upper = interval(GRID, counts, experiment.alpha / 2)
    (level, n), (mean, m) = (mean_of(row, metric, fail) for row in (control, mine))
    return Line(
        name, "observational", metric, (experiment.control, arm),
        {experiment.control: round(n), arm: round(m)}, mean - level,
        float(lower[1] - upper[0]), float(upper[1] - lower[0]), None, NO_VERDICT,
        (_DOUBT,) if primary else (), role="primary" if primary else "other",
        good=experiment.good_end(metric), level=level,
    )  # fmt: skip


def _median_line(
    name: str, experiment: Experiment, arm: str, metric: str, control: LogHistogram,
    mine: LogHistogram,
) -> Line:  # fmt: skip
    estimate, lower, upper = quantile_difference(control, mine, 0.5, experiment.alpha)
    unit = next(one.unit for one in METRICS if one.name == metric)
    return Line(
        name, "observational", metric, (experiment.control, arm),
        {experiment.control: control.n, arm: mine.n}, estimate, lower, upper, None, NO_VERDICT,
        role="amount", statistic="difference of p50", unit=unit,
        level=control.quantile(0.5),
    )  # fmt: skip

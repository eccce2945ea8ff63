"""What is shown of latency, cost and tokens: ratios and quantiles. Raw means waste samples."""

import math

from abtest.asymptotic import FEWEST_EVENTS, Moments, log_moments, log_ratio, paired_log_ratio
from abtest.line import NOT_TESTED, Line, as_of, pair_row
from abtest.quantiles import quantile_difference
from abtest.run import Key, Run
from agent.catalog import METRICS
from agent.experiments import LOG_RATIO, Experiment
from agent.summaries import LogHistogram, Summary

_QUANTILES = (0.5, 0.95)
_LABEL = "asymptotic: holds for large samples only"


def amount_lines(name: str, experiment: Experiment, run: Run) -> list[Line]:
    """Every amount of every candidate: ratio of geometric means, then differences of quantiles.

    Of pairs the ratio alone: not every production call is asked again, and those of the arm are
    not like those of the pairs.
    """
    lines = []
    for arm in experiment.candidates:
        for metric in METRICS:
            if metric.kind != "amount":
                continue
            made = _Maker(name, experiment, run, arm, metric.name, metric.unit, metric.good)
            if experiment.paired:
                pairs = pair_row(run, arm).summaries.get(metric.name + LOG_RATIO)
                lines += [made.paired(pairs)] if pairs is not None and pairs.n else []
                continue
            control, mine = (_summed(run, one, metric.name) for one in (experiment.control, arm))
            if not control.n or not mine.n:
                continue
            lines.append(made.ratio(control, mine))
            lines += [made.quantile(control, mine, p) for p in _QUANTILES]
    return lines


def _summed(run: Run, arm: str, metric: str) -> LogHistogram:
    total = LogHistogram()
    for stage in range(len(run.stages)):
        row = run.row(Key(stage, arm))
        found = None if row is None else row.summaries.get(metric)
        if isinstance(found, LogHistogram):
            total.merge(found)
    return total


class _Maker:
    """The lines of one amount of one candidate."""

    def __init__(
        self, name: str, experiment: Experiment, run: Run, arm: str, metric: str, unit: str,
        good: str,
    ) -> None:  # fmt: skip
        self._name, self._experiment, self._run = name, experiment, run
        self._arm, self._metric, self._unit, self._good = arm, metric, unit, good

    def ratio(self, control: LogHistogram, mine: LogHistogram) -> Line:
        """The ratio of geometric means."""
        logs = log_ratio(log_moments(control), log_moments(mine), self._experiment.alpha)
        return self._ratio({self._experiment.control: control.n, self._arm: mine.n}, logs)

    def paired(self, pairs: Summary) -> Line:
        """The same from the log-ratios of pairs."""
        moments = Moments(pairs.n, pairs.mean() or 0.0, pairs.variance() or 0.0)
        return self._ratio({"pairs": pairs.n}, paired_log_ratio(moments, self._experiment.alpha))

    def _ratio(self, n: dict[str, int], logs: tuple[float, float, float]) -> Line:
        # Withheld while an arm has too few events.
        warnings = [_LABEL]
        if math.isnan(logs[1]):
            warnings.append(f"withheld until {FEWEST_EVENTS} events in the smaller arm")
        ends = math.exp(logs[0]), math.exp(logs[1]), math.exp(logs[2])
        return self._line("ratio of geometric means", n, ends, warnings)

    def quantile(self, control: LogHistogram, mine: LogHistogram, p: float) -> Line:
        """The difference of two quantiles, valid at every look."""
        ends = quantile_difference(control, mine, p, self._experiment.alpha)
        n = {self._experiment.control: control.n, self._arm: mine.n}
        level = control.quantile(p)
        return self._line(f"difference of p{p * 100:.0f}", n, ends, [], level)

    def _line(
        self, statistic: str, n: dict[str, int], ends: tuple[float, float, float],
        warnings: list[str], level: float | None = None,
    ) -> Line:  # fmt: skip
        estimate, lower, upper = ends
        return Line(
            self._name, self._experiment.design, self._metric,
            (self._experiment.control, self._arm), n, estimate, lower, upper, None, NOT_TESTED,
            tuple(warnings), as_of(self._run), self._run.number, "amount", statistic, "",
            self._unit, self._good, level,
        )  # fmt: skip

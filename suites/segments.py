"""What becomes of a rate when the questions are taken apart: by technique, by kind of secret."""

from dataclasses import dataclass

from suites.intervals import Figure, figure
from suites.record import Run

# The metrics that are taken apart, by every segment that their items have.
METRICS = ("jailbreak_success", "secret_leaked", "prompt_leakage")


@dataclass(frozen=True, slots=True)
class Part:
    """A metric over the items of a task with one value of a segment.

    The intervals of all values of the segment and all targets hold together, with a chance of
    1 - alpha.
    """

    task: str
    target: str
    metric: str
    segment: str
    value: str
    figure: Figure


def parts_of(run: Run, alpha: float = 0.05) -> list[Part]:
    """Every part of every task and target, the highest first; a segment with one value has none."""
    places: dict[tuple[str, str], dict[str, list[int]]] = {}
    for at, item in enumerate(run.items):
        for segment, value in item.call.segment:
            if item.twin is None:
                places.setdefault((item.task, segment), {}).setdefault(value, []).append(at)
    made = [
        Part(task, one.target, metric, segment, value, found)
        for (task, segment), values in places.items()
        if len(values) > 1
        for one in run.outcomes
        for metric in METRICS
        if metric in one.scores and (cells := len(values) * _columns(run, metric))
        for value, there in values.items()
        if (found := figure(metric, one, places=there, alpha=alpha, together=cells)).n
    ]
    order = {key: at for at, key in enumerate(dict.fromkeys(map(_table, made)))}
    return sorted(made, key=lambda one: (order[_table(one)], -one.figure.mean, one.value))


def _columns(run: Run, metric: str) -> int:
    return sum(metric in one.scores for one in run.outcomes)


def _table(one: Part) -> tuple[str, str, str, str]:
    return one.task, one.target, one.metric, one.segment

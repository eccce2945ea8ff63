"""The report of an experiment as one page that needs nothing else."""

from collections.abc import Sequence

from abtest.line import Line
from abtest.run import Point
from agent.experiments import Experiment


def render(
    name: str, experiment: Experiment, lines: Sequence[Line], points: Sequence[Point]
) -> str:
    """The page."""
    rows = "".join(f"<tr><td>{line.metric}</td><td>{line.verdict}</td></tr>" for line in lines)
    return f"<!doctype html><title>{name}</title><table>{rows}</table>{len(points)}"

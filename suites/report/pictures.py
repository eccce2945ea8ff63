"""The pictures of a report: each as part of the page, as PNG, and in words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from suites.analysis.pareto import Front
from suites.analysis.whole import Analysis
from suites.report.figures import bars, radar
from suites.report.paint import LIGHT, PAGE, Paint, as_png, as_svg, letters
from suites.report.spreads import failures, latencies, pareto, plane, quantile

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

# Fewer dimensions make no area.
_CORNERS = 3
Draw = Callable[[Paint], "Canvas"]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture; `alt` says in words what it shows."""

    name: str
    title: str
    alt: str
    svg: str
    png: bytes


def pictures_of(analysis: Analysis) -> dict[str, Picture]:
    """Those that the run has numbers for, by name; raises BadConfig without matplotlib."""
    found = {}
    for name, title, alt, draw in _wanted(analysis):
        with letters(PAGE):
            svg = as_svg(draw(PAGE), name)
        with letters(LIGHT):
            png = as_png(draw(LIGHT))
        found[name] = Picture(name, title, alt, svg, png)
    return found


def _wanted(analysis: Analysis) -> Iterator[tuple[str, str, str, Draw]]:
    dimensions = {name for one in analysis.standings for name in one.dimensions}
    if len(dimensions) >= _CORNERS:
        yield "radar", "The five dimensions", _dimensions(analysis), partial(radar, analysis)
    if dimensions:
        yield "scores", "Scores with their intervals", _scores(analysis), partial(bars, analysis)
    if analysis.latencies:
        yield "latency", "Latency", _latency(analysis), partial(latencies, analysis)
    for front in analysis.fronts:
        title = f"Quality against {front.amount}"
        yield f"pareto-{front.amount}", title, _front(front), partial(pareto, analysis, front)
    if any(one.share.mean > 0 for one in analysis.shares):
        yield "failures", "Failed answers by type", _failures(analysis), partial(failures, analysis)
    if analysis.clusters.clusters:
        alt = "; ".join(
            f"group {at}: {one.size} prompts, {', '.join(one.words) or 'no words in common'}"
            for at, one in enumerate(analysis.clusters.clusters, 1)
        )
        yield "clusters", "Which questions fail", f"{alt}.", partial(plane, analysis.clusters)


def _dimensions(analysis: Analysis) -> str:
    said = (
        f"{one.target}: " + ", ".join(f"{k} {v.mean:.2f}" for k, v in one.dimensions.items())
        for one in analysis.standings
    )
    return "Each dimension from 0 to 1. " + "; ".join(said) + "."


def _scores(analysis: Analysis) -> str:
    said = (
        f"{one.target} {o.mean:.2f} from {o.lower:.2f} to {o.upper:.2f}"
        for one in analysis.standings
        if (o := one.overall) is not None
    )
    return "Overall scores with intervals: " + "; ".join(said) + "."


def _latency(analysis: Analysis) -> str:
    said = (
        f"{one.target} half within {quantile(one, 0.5):.3g} s, "
        f"95 % within {quantile(one, 0.95):.3g} s"
        for one in analysis.latencies
    )
    return "; ".join(said) + "."


def _front(front: Front) -> str:
    said = (
        f"{one.target} quality {one.quality.mean:.2f} at {one.amount.mean:.3g} {front.unit}, "
        f"{'on' if one.front else 'off'} the front"
        for one in front.points
    )
    return "; ".join(said) + "."


def _failures(analysis: Analysis) -> str:
    said = (
        f"{one.target} {one.kind} {100 * one.share.mean:.1f} %"
        for one in analysis.shares
        if one.share.mean > 0
    )
    return "; ".join(said) + "."

"""The scores of targets as pictures: the radar of the dimensions, and bars with intervals."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agent.catalog import Dimension
from suites.analysis.weights import DIMENSIONS
from suites.analysis.whole import Analysis, Standing
from suites.intervals import Figure
from suites.report.paint import LETTERS, Paint, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_MOST_ON_A_RADAR = 6
_BAR_PT, _BLOCK_PT = 17.0, 26.0
_SHORT = 26


def radar(analysis: Analysis, paint: Paint) -> "Canvas":
    """A polygon a target over the five dimensions; one that is not measured has no corner."""
    shown = analysis.standings[:_MOST_ON_A_RADAR]
    figure = canvas(300 + 16 * math.ceil(len(shown) / 2))
    axes: Any = figure.add_subplot(projection="polar")
    around = [2 * math.pi * at / len(DIMENSIONS) for at in range(len(DIMENSIONS))]
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 1)
    axes.set_yticks([0.25, 0.5, 0.75, 1.0], [""] * 4)
    axes.set_xticks(around, [""] * len(around))
    axes.spines["polar"].set_visible(False)
    for value in (0.5, 1.0):
        axes.text(math.pi / 5, value, f"{value:g}", color=paint.soft, size=LETTERS - 2,
                  ha="center", va="center")  # fmt: skip
    _name_corners(axes, analysis, around, paint)
    for at, standing in enumerate(shown):
        held = [(a, standing.dimensions[name].mean)
                for a, name in zip(around, DIMENSIONS, strict=True)
                if name in standing.dimensions]  # fmt: skip
        xs, ys = [x for x, _ in held + held[:1]], [y for _, y in held + held[:1]]
        axes.plot(xs, ys, color=paint.colour(at), lw=1.8, marker="o", ms=4.5,
                  label=short(standing.target), clip_on=False)  # fmt: skip
        if len(held) > 2:
            axes.fill(xs, ys, color=paint.colour(at), alpha=0.07)
    figure.legend(loc="outside lower center", ncols=2, fontsize=LETTERS - 1, handlelength=1.2)
    return figure


def _name_corners(axes: Any, analysis: Analysis, around: Sequence[float], paint: Paint) -> None:
    for angle, name in zip(around, DIMENSIONS, strict=True):
        there = any(name in one.dimensions for one in analysis.standings)
        side = math.sin(angle)
        align = "center" if abs(side) < 0.2 else "left" if side > 0 else "right"
        words = name if there else f"{name}\nnot measured"
        colour, size = (paint.ink, LETTERS) if there else (paint.soft, LETTERS - 1.5)
        axes.text(angle, 1.13, words, ha=align, va="center", color=colour, size=size)


def bars(analysis: Analysis, paint: Paint) -> "Canvas":
    """The overall score and every measured dimension: a bar a target with its interval."""
    blocks: list[tuple[str, list[Figure]]] = [("overall", _overall(analysis.standings))]
    blocks += [(name, _of(analysis.standings, name)) for name in DIMENSIONS]
    blocks = [(name, found) for name, found in blocks if found]
    rows = sum(len(found) for _, found in blocks)
    figure = canvas(_BAR_PT * rows + _BLOCK_PT * len(blocks) + 30)
    axes = figure.add_subplot()
    places, names, y = [], [], 0.0
    for title, found in blocks:
        axes.text(0, y, title, weight="bold", va="center", transform=axes.get_yaxis_transform())
        y += 1
        for at, one in enumerate(found):
            _bar(axes, y, one, paint, at)
            places.append(y)
            names.append(short(analysis.standings[at].target))
            y += 1
        y += _BLOCK_PT / _BAR_PT - 1
    axes.set_yticks(places, names)
    axes.set_ylim(y - 0.5, -0.7)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", ".25", ".5", ".75", "1"])
    bare(axes, "x")
    return figure


def bare(axes: "Axes", lines: Any) -> None:
    """Neither frame nor tick marks, but thin lines to read by."""
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(axis=lines)


def _bar(axes: "Axes", y: float, one: Figure, paint: Paint, at: int) -> None:
    colour = paint.colour(at)
    axes.barh(y, one.mean, height=0.62, color=colour, alpha=0.3, lw=0)
    axes.plot([one.lower, one.upper], [y, y], color=colour, lw=2.2, solid_capstyle="butt",
              clip_on=False)  # fmt: skip
    axes.plot([one.mean], [y], marker="o", ms=4.5, color=colour, clip_on=False)
    axes.annotate(f"{one.mean:.2f}", (1, y), xycoords=("axes fraction", "data"), xytext=(8, 0),
                  textcoords="offset points", va="center", color=paint.ink)  # fmt: skip


def _overall(standings: Sequence[Standing]) -> list[Figure]:
    return [one.overall for one in standings if one.overall is not None]


def _of(standings: Sequence[Standing], name: Dimension) -> list[Figure]:
    found = [one.dimensions[name] for one in standings if name in one.dimensions]
    return found if len(found) == len(standings) else []


def short(name: str) -> str:
    """A name that fits beside an axis."""
    return name if len(name) <= _SHORT else name[: _SHORT - 1] + "…"

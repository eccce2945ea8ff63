"""Latency, cost and failures as pictures."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from suites.analysis.clusters import Clusters
from suites.analysis.failures import KINDS
from suites.analysis.pareto import Front, Point
from suites.analysis.whole import Analysis, Latency
from suites.report.figures import bare, short
from suites.report.paint import LETTERS, Paint, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_ROW_PT = 34.0
# Nested shares of the answers: each band is drawn over the one before.
_BANDS = (0.05, 0.10, 0.20, 0.30, 0.40)
_WIDE = 8.0  # the axis is logarithmic where its ends are so many times apart
_SIDES = ((1, 1), (1, -1), (-1, 1), (-1, -1))
_AXIS = {"cost": "USD a call", "latency": "mean seconds a call"}


def latencies(analysis: Analysis, paint: Paint) -> "Canvas":
    """Where the latencies of each target lie: bands around the median, and the 95th percentile."""
    places = {one.target: at for at, one in enumerate(analysis.standings)}
    ordered = sorted(analysis.latencies, key=lambda one: places[one.target])
    figure = canvas(_ROW_PT * len(ordered) + 44)
    axes = figure.add_subplot()
    low = min(max(quantile(one, 0.01), 1e-4) for one in ordered)
    high = max(quantile(one, 0.99) for one in ordered)
    if high / low > _WIDE:
        axes.set_xscale("log")
    for y, one in enumerate(ordered):
        _strip(axes, y, one, paint.colour(places[one.target]), paint)
    axes.set_yticks(range(len(ordered)), [short(one.target) for one in ordered])
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    wide = high / low > _WIDE
    axes.set_xlim(low * 0.9 if wide else 0, high * (2.0 if wide else 1.2))
    plain_ticks(axes, low, high)
    axes.set_xlabel("seconds")
    bare(axes, "x")
    return figure


def plain_ticks(axes: "Axes", low: float, high: float) -> None:
    """Round numbers without powers of ten: 1 and 3 times each on a logarithmic axis."""
    if axes.get_xscale() != "log":
        return
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 3) if len(decades) < 6 else (1,)
    ticks = [step * 10.0**n for n in decades for step in steps]
    ticks = [tick for tick in ticks if low * 0.9 <= tick <= high * 1.1]
    axes.set_xticks(ticks, [np.format_float_positional(tick, 6, trim="-") for tick in ticks])
    axes.set_xticks([], minor=True)


def quantile(one: Latency, share: float) -> float:
    """The latency at one of the shares that are kept."""
    return one.seconds[one.at.index(share)]


def _strip(axes: "Axes", y: int, one: Latency, colour: str, paint: Paint) -> None:
    for share in _BANDS:
        left, right = quantile(one, share), quantile(one, round(1 - share, 2))
        axes.barh(y, right - left, left=left, height=0.44, color=colour, alpha=0.2, lw=0)
    middle, late = quantile(one, 0.5), quantile(one, 0.95)
    axes.plot([middle, middle], [y - 0.22, y + 0.22], color=colour, lw=2.5, solid_capstyle="butt")
    axes.annotate(f"{middle:.3g} s", (middle, y - 0.22), xytext=(0, 2), ha="center", va="bottom",
                  textcoords="offset points", size=LETTERS - 2, color=paint.ink)  # fmt: skip
    axes.annotate(f"{late:.3g} s", (late, y), xytext=(4, 0), ha="left", va="center",
                  textcoords="offset points", size=LETTERS - 2, color=paint.soft,
                  bbox={"fc": paint.paper, "ec": "none", "pad": 1})  # fmt: skip


def pareto(analysis: Analysis, front: Front, paint: Paint) -> "Canvas":
    """Quality against an amount; the line joins what nothing else beats in both."""
    figure = canvas(260)
    axes = figure.add_subplot()
    places = {one.target: at for at, one in enumerate(analysis.standings)}
    means = [point.amount.mean for point in front.points]
    low, high = min(means), max(means)
    if low > 0 and high / low > _WIDE:
        axes.set_xscale("log")
    best = [point for point in front.points if point.front]
    axes.step([p.amount.mean for p in best], [p.quality.mean for p in best], where="post",
              color=paint.soft, lw=1.2, ls=(0, (3, 2)))  # fmt: skip
    axes.margins(0.16)
    for point in front.points:
        _cross(axes, point, paint.colour(places[point.target]), paint)
    plain_ticks(axes, *axes.get_xlim())
    axes.set_ylabel("quality")
    axes.set_xlabel(_AXIS[front.amount])
    bare(axes, "both")
    _name_points(figure, axes, front, paint)
    return figure


def _cross(axes: "Axes", point: Point, colour: str, paint: Paint) -> None:
    x, y = point.amount, point.quality
    axes.plot([x.lower, x.upper], [y.mean, y.mean], color=colour, lw=1.6)
    axes.plot([x.mean, x.mean], [y.lower, y.upper], color=colour, lw=1.6)
    axes.plot([x.mean], [y.mean], marker="o", ms=7, color=colour, mew=1.6,
              mfc=colour if point.front else paint.paper)  # fmt: skip


def _name_points(figure: "Canvas", axes: "Axes", front: Front, paint: Paint) -> None:
    """Names beside the points, where they cover each other and the points least."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # only then are places known
    taken: list[Any] = []
    for point in front.points:
        x, y = axes.transData.transform((point.amount.mean, point.quality.mean))
        taken.append(Bbox.from_bounds(x - 4, y - 4, 8, 8))
    for point in front.points:
        at = (point.amount.mean, point.quality.mean)
        name = axes.annotate(short(point.target), at, (0, 0), textcoords="offset points",
                             color=paint.ink, size=LETTERS - 1)  # fmt: skip
        best = min(_SIDES, key=lambda side: _covered(name, side, taken, axes.bbox))
        taken.append(_place(name, best))


def _place(name: Any, side: tuple[int, int]) -> Any:
    """Put a name on a side of its point and return the box that it fills."""
    right, up = side
    name.set_position((7 * right, 5 * up))
    name.set_horizontalalignment("left" if right > 0 else "right")
    name.set_verticalalignment("bottom" if up > 0 else "top")
    return name.get_window_extent()


def _covered(name: Any, side: tuple[int, int], taken: list[Any], frame: Any) -> int:
    box = _place(name, side)
    outside = box.x0 < frame.x0 or box.x1 > frame.x1
    return sum(bool(box.overlaps(other)) for other in taken) + 2 * bool(outside)


def failures(analysis: Analysis, paint: Paint) -> "Canvas":
    """The share of failed answers of each target, by type."""
    targets = [one.target for one in analysis.standings]
    shares = {(one.target, one.kind): one.share.mean for one in analysis.shares}
    there = [kind for kind in KINDS if any(shares.get((t, kind), 0) > 0 for t in targets)]
    figure = canvas(24.0 * len(targets) + 42 + 16 * math.ceil(len(there) / 2))
    axes = figure.add_subplot()
    ends = [0.0] * len(targets)
    for kind in there:
        widths = [shares.get((target, kind), 0.0) for target in targets]
        axes.barh(range(len(targets)), widths, left=ends, height=0.6, label=kind,
                  color=paint.kinds[KINDS.index(kind)], lw=0)  # fmt: skip
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for y, end in enumerate(ends):
        axes.annotate(f"{100 * end:.1f} %", (end, y), xytext=(5, 0), textcoords="offset points",
                      va="center", color=paint.ink,
                      bbox={"fc": paint.paper, "ec": "none", "pad": 1})  # fmt: skip
    axes.set_yticks(range(len(targets)), [short(target) for target in targets])
    axes.set_ylim(len(targets) - 0.4, -0.6)
    axes.set_xlim(0, max(max(ends, default=0) * 1.2, 0.01))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    bare(axes, "x")
    figure.legend(loc="outside lower center", ncols=2, fontsize=LETTERS - 1, handlelength=1)
    return figure


def plane(clusters: Clusters, paint: Paint) -> "Canvas":
    """Failed prompts on a plane, near ones alike, coloured and numbered by group."""
    figure = canvas(280)
    axes = figure.add_subplot()
    for number in range(len(clusters.clusters)):
        mine = [dot for dot in clusters.dots if dot.cluster == number]
        xs, ys = [dot.x for dot in mine], [dot.y for dot in mine]
        axes.scatter(xs, ys, s=16, color=paint.colour(number), alpha=0.55, lw=0)
    for number in range(len(clusters.clusters)):
        mine = [dot for dot in clusters.dots if dot.cluster == number]
        x, y = (sum(values) / len(mine) for values in zip(*((d.x, d.y) for d in mine), strict=True))
        disc = {"boxstyle": "circle,pad=0.25", "fc": paint.colour(number), "ec": paint.paper}
        axes.text(x, y, str(number + 1), weight="bold", ha="center", va="center",
                  color=paint.paper, bbox=disc)  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    return figure

"""Colours, and a figure as SVG for the page or as PNG.

The page has two sets of colours and the reader's system chooses: so the SVG names variables of its
style sheet, and a figure is drawn in stand-ins that are exchanged for them afterwards.
"""

import io
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.errors import BadConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

# Width in points: a phone shows them one to one, so letters keep their size there.
WIDTH_PT, _POINTS = 360.0, 72.0
LETTERS = 10.0
_NAMES = (
    "ink",
    "soft",
    "rule",
    "paper",
    *(f"c{n}" for n in range(8)),
    *(f"k{n}" for n in range(6)),
)
_LIGHT = (
    *("#1c2024", "#59626b", "#dfe2e5", "#fdfdfc"),
    *("#2563a8", "#c2600f", "#1d7f5f", "#8a4fae", "#b3314f", "#5b7f12", "#0f7f93", "#7a6552"),
    *("#4a4f57", "#98a2ad", "#d8b04a", "#d98a4b", "#b3314f", "#7a1f3d"),
)
_PNG_DOTS = 200  # an inch


@dataclass(frozen=True, slots=True)
class Paint:
    """Letters, lesser letters, lines, ground, and the colours of targets and types of failure."""

    ink: str
    soft: str
    rule: str
    paper: str
    colours: tuple[str, ...]
    kinds: tuple[str, ...]

    def colour(self, at: int) -> str:
        """The colour of the target or group of this number; beyond the last they begin anew."""
        return self.colours[at % len(self.colours)]


def _paint(told: tuple[str, ...]) -> Paint:
    ink, soft, rule, paper, *colours = told
    return Paint(ink, soft, rule, paper, tuple(colours[:8]), tuple(colours[8:]))


LIGHT = _paint(_LIGHT)
# Stand-ins that occur in no other place of a picture.
_MARKS = tuple(f"#0a0b{n:02x}" for n in range(0x21, 0x21 + len(_NAMES)))
PAGE = _paint(_MARKS)


def letters(paint: Paint) -> AbstractContextManager[None]:
    """The settings that figures are drawn in; raises BadConfig without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        raise BadConfig(
            "report", "pictures need matplotlib: pip install vedette[evaluate]"
        ) from None
    settings: Any = {
        "font.size": LETTERS, "font.family": "DejaVu Sans", "text.parse_math": False,
        "text.color": paint.ink, "axes.edgecolor": paint.rule, "axes.labelcolor": paint.soft,
        "xtick.color": paint.soft, "ytick.color": paint.ink, "axes.facecolor": "none",
        "figure.facecolor": paint.paper, "svg.fonttype": "none", "svg.hashsalt": "vedette",
        "axes.spines.top": False, "axes.spines.right": False, "axes.labelsize": LETTERS - 1,
        "xtick.labelsize": LETTERS - 1, "ytick.labelsize": LETTERS, "axes.axisbelow": True,
        "grid.color": paint.rule, "grid.linewidth": 0.8, "legend.frameon": False,
    }  # fmt: skip
    return matplotlib.rc_context(settings)


def canvas(height_pt: float) -> "Canvas":
    """An empty figure as wide as all of them."""
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(WIDTH_PT / _POINTS, height_pt / _POINTS), layout="constrained")


def as_png(figure: "Canvas") -> bytes:
    """The picture as a file of its own."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=_PNG_DOTS, metadata={"Software": None})
    return held.getvalue()


def as_svg(figure: "Canvas", name: str) -> str:
    """The picture as an element of a page: ids of its own, the colours of the page."""
    held = io.StringIO()
    empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(held, format="svg", metadata=empty, transparent=True)
    text = held.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :].rstrip(), flags=re.S)
    head, _, rest = text.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None  # matplotlib always writes one
    text = f'<svg {box[0]} aria-hidden="true">{rest}'
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for mark, variable in zip(_MARKS, _NAMES, strict=True):
        text = text.replace(mark, f"var(--{variable})")
    return text

"""The stretch of time that a page is about, counted back from the newest closed pane."""

from dataclasses import dataclass
from typing import Literal

from agent.panes import HOUR_S, MINUTE_S
from agent.store import Transaction, board, reads
from consumers.server.stock import Stock

Window = Literal["1h", "6h", "24h", "7d", "30d"]
SPANS: dict[Window, int] = {
    "1h": HOUR_S, "6h": 6 * HOUR_S, "24h": 24 * HOUR_S, "7d": 168 * HOUR_S, "30d": 720 * HOUR_S,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stretch:
    """From one time to another in epoch seconds, by panes of the first of these lengths, and of the
    next where those are not made yet; `newest` is the end of the newest closed pane."""

    start: int
    end: int
    levels_s: tuple[int, ...]
    newest: int


# A picture is made of so many panes at most.
_PANES = 360


def stretch_of(
    stock: Stock, tx: Transaction, window: Window, finest_s: int = MINUTE_S
) -> Stretch | None:
    """A window by the finest panes that are not too many and are all still there, no longer than
    the store is old; None in a store without a closed pane."""
    found = board.span_of_panes(tx)
    if found is None:
        return None
    oldest, newest = found
    span = min(SPANS[window], newest - oldest)
    levels = sorted({stock.config.panes.width_s, MINUTE_S, HOUR_S}, reverse=True)
    chosen, covered = HOUR_S, float("inf")
    for level_s in (one for one in levels if one >= finest_s and span <= _PANES * one):
        first = reads.first_of_level(tx, None, level_s, newest - span)
        if first is None:
            continue  # the first of them is not over
        if first >= covered:
            break  # the older ones are rolled up
        chosen, covered = level_s, first + level_s
    end = -(-newest // chosen) * chosen
    lengths = tuple(one for one in levels if one <= chosen)
    start = max(end - max(SPANS[window], chosen), oldest // chosen * chosen)
    return Stretch(start, end, lengths, newest)

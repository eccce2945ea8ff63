"""How far a source was read, and so which of its panes may close."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one source partition was read, as the offsets row says.

    `read_through` is the latest arrival that was read; `caught_up_at` is the last time at which
    nothing was unread, under a live lease; `started` is False before anything was ever read.
    """

    started: bool
    read_through: float | None
    caught_up_at: float | None


def closable_through(
    partitions: Sequence[Progress], backfill: bool, width_s: int, lateness_s: float
) -> float | None:
    """The time through which panes may close: every partition was read past it.

    A partition with a backlog holds back by what it has read; one with nothing unread does not,
    unless the source is a backfill, whose next record may be older than the clock.
    """
    marks: list[float] = []
    for partition in partitions:
        known = [partition.read_through] + ([] if backfill else [partition.caught_up_at])
        held = [mark for mark in known if mark is not None]
        if not partition.started or not held:
            return None
        marks.append(max(held))
    if not marks:
        return None
    # Records that arrive at the mark itself may follow, so a pane's time must end before it.
    return float((math.ceil((min(marks) - lateness_s) / width_s) - 1) * width_s)

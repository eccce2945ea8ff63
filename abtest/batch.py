"""Rows of consecutive closed panes that belong to an experiment, stacked by arm."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from abtest.run import Key
from agent.experiments import PAIRED
from agent.packing import Opened, read_total
from agent.stacks import Stacks


@dataclass(frozen=True, slots=True)
class Piece:
    """One row of a pane that belongs to an experiment."""

    at: int
    end: int
    epoch: int
    arm: str
    segment: str
    model: str
    row: Opened

    @property
    def whole(self) -> bool:
        """Whether it counts an arm's own calls, of all segments."""
        return not self.segment and not self.arm.startswith(PAIRED)

    @property
    def calls(self) -> int:
        """How many it counts."""
        return read_total(self.row.calls)


@dataclass(frozen=True, slots=True)
class Batch:
    """Pieces of consecutive panes of one stage by key; `panes` are all their starts, in order."""

    stage: int
    panes: tuple[int, ...]
    end: float
    stacks: dict[Key, tuple[Stacks, tuple[int, ...]]]

    @classmethod
    def make(cls, pieces: Sequence[Piece], stage: int) -> "Batch":
        """From pieces in the order of their panes."""
        panes = tuple(sorted({piece.at for piece in pieces}))
        places = {at: place for place, at in enumerate(panes)}
        by: dict[Key, list[Piece]] = defaultdict(list)
        for piece in pieces:
            by[Key(stage, piece.arm, piece.segment)].append(piece)
        stacks = {
            key: (Stacks([one.row for one in mine]), tuple(places[one.at] for one in mine))
            for key, mine in by.items()
        }
        return cls(stage, panes, float(max(piece.end for piece in pieces)), stacks)

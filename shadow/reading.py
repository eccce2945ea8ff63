"""What was read of the requests topic and is not over yet: the order in which it may be committed.

Measured on faust-streaming 0.15.3: where a record is acknowledged before the one ahead of it, the
first of them is committed as well. So records are acknowledged here in the order of the topic.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass
class _Line:
    """Of a partition: what waits for its end, and the offset after the last that was read."""

    waiting: "deque[_Record]" = field(default_factory=deque)
    reached: int = 0


@dataclass
class _Record:
    ack: Callable[[], object]
    over: bool = False


class Reading:
    """Acknowledges what is over once all before it in its partition is over."""

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}
        self._ours: frozenset[int] = frozenset()

    def begin(self, partition: int, offset: int, ack: Callable[[], object]) -> Callable[[], None]:
        """A record was read; call what this gives once nobody needs it again, in the same loop."""
        line, record = self._lines.setdefault(partition, _Line()), _Record(ack)
        line.waiting.append(record)
        line.reached = offset + 1

        def end() -> None:
            record.over = True
            while line.waiting and line.waiting[0].over:
                line.waiting.popleft().ack()

        return end

    def gained(self, partitions: Iterable[int]) -> None:
        """These partitions are ours; what of them was not acknowledged is read again."""
        self._ours |= set(partitions)

    def lost(self, partitions: Iterable[int]) -> None:
        """These are another's: nothing of them is acknowledged any more."""
        gone = set(partitions)
        self._ours -= gone
        for one in gone & set(self._lines):
            self._lines.pop(one).waiting.clear()

    def reached(self) -> dict[int, int]:
        """How far each partition of ours was read; from another thread, too."""
        lines = self._lines.copy()
        return {one: lines[one].reached if one in lines else 0 for one in self._ours}

"""What the watch over a source knows: baselines, evidence, alarms, and how far it has seen."""

import json
import zlib
from dataclasses import asdict, dataclass, field

import numpy as np

from agent.buckets import BINS, Floats
from watch.baseline import Baseline, Lesson
from watch.detector import WAYS, Bands, Evidence
from watch.series import Name, Slots

_ARRAYS = ("log_m", "recent", "since")


@dataclass(slots=True)
class Alarm:
    """A series out of its band: since when, and what was counted after the alarm."""

    began: int
    onset: int
    side: str
    log_statistic: float
    counts: Floats = field(default_factory=lambda: np.zeros(BINS + 1))
    # The newest panes (calls, total), as many as tell whether it is back in its band.
    latest: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class Watch:
    """Every series of one source by slot; `last` is the newest pane in which it had a value."""

    slots: Slots
    evidence: Evidence
    baselines: dict[int, Baseline] = field(default_factory=dict)
    lessons: dict[int, Lesson] = field(default_factory=dict)
    alarms: dict[int, Alarm] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)
    reached: float = 0.0

    @classmethod
    def new(cls, size: int) -> "Watch":
        """Nothing known."""
        return cls(Slots(size), Evidence.none(size))

    def bands(self) -> Bands:
        """Of every slot; one without a baseline can have no evidence."""
        size = len(self.evidence.log_m)
        made = Bands(np.zeros(size), np.ones(size), np.ones(size))
        for at, one in self.baselines.items():
            made.lower[at], made.upper[at] = one.lower, one.upper
            made.design_effect[at] = one.design_effect
        return made

    def to_bytes(self) -> bytes:
        """Equal watches give equal bytes."""
        used = len(self.slots.names)
        head = {
            "size": self.slots.size,
            "reached": self.reached,
            "names": self.slots.names,
            "beyond": sorted(self.slots.beyond),
            "last": sorted(self.last.items()),
            "baselines": [(at, asdict(one)) for at, one in sorted(self.baselines.items())],
            "lessons": [(at, one.as_json()) for at, one in sorted(self.lessons.items())],
            "alarms": [(at, _plain(one)) for at, one in sorted(self.alarms.items())],
        }
        text = json.dumps(head).encode()
        arrays = (getattr(self.evidence, name)[:used].tobytes() for name in _ARRAYS)
        return zlib.compress(b"".join((f"{len(text)}\n".encode(), text, *arrays)), 1)

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> "Watch":
        """Read what `to_bytes` wrote, for as many slots as there are now."""
        size_line, _, rest = zlib.decompress(data).partition(b"\n")
        head = json.loads(rest[: int(size_line)])
        names = [Name(*one) for one in head["names"]][:size]
        made = cls(Slots.restored(size, names), Evidence.none(size), reached=head["reached"])
        made.slots.beyond = {Name(*one) for one in head["beyond"]}
        table = np.frombuffer(rest[int(size_line) :]).reshape(len(_ARRAYS), -1, WAYS)
        for name, values in zip(_ARRAYS, table, strict=True):
            own = getattr(made.evidence, name)
            own[: len(names)] = values.view(own.dtype)[: len(names)]
        made.last = {at: pane for at, pane in head["last"] if at < size}
        made.baselines = {at: Baseline(**one) for at, one in head["baselines"] if at < size}
        made.lessons = {at: Lesson.from_json(one) for at, one in head["lessons"] if at < size}
        made.alarms = {at: _alarm(one) for at, one in head["alarms"] if at < size}
        return made


def _plain(alarm: Alarm) -> dict[str, object]:
    return asdict(alarm) | {"counts": alarm.counts.tolist()}


def _alarm(told: dict[str, object]) -> Alarm:
    made = Alarm(**told)  # type: ignore[arg-type]  # as _plain wrote it
    made.counts = np.array(made.counts)
    made.latest = [(n, total) for n, total in made.latest]
    return made

"""One run of an experiment: the sums of its arms, how far they reach, and what was decided.

A run is advanced by closed panes in order, each once; a changed model or scorer ends it and
begins the next one, so that no interval mixes two things under one name.
"""

import json
import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agent.panes import Row


class Key(NamedTuple):
    """Whose sums: a stage of the run, an arm (or the pairs of one), and a segment."""

    stage: int
    arm: str
    segment: str = ""


class Stage(NamedTuple):
    """A stretch of a run with one share of the arms and one centre a metric.

    Both are fixed by what was known before it, so the capital of the stages multiplies. `settled`
    is False while the centres are a guess.
    """

    epoch: int
    centres: dict[str, float]
    settled: bool


@dataclass(slots=True)
class Peak:
    """The most evidence that was ever there against one null, and when it first sufficed."""

    log_evidence: float = 0.0
    decided_at: float | None = None

    def see(self, at: float, log_evidence: float, threshold: float) -> None:
        """A closed pane later."""
        self.log_evidence = max(self.log_evidence, log_evidence)
        if self.decided_at is None and log_evidence >= threshold:
            self.decided_at = at


@dataclass(frozen=True, slots=True)
class Point:
    """The primary metric of one candidate at one time, for the picture."""

    at: float
    arm: str
    estimate: float
    lower: float
    upper: float


@dataclass(slots=True)
class Run:
    """`reached` is by source; `peaks` by candidate, metric and null, or of the sample ratio;
    `declared` is when its `definition` was first kept; `ramp` are the steps before what was
    reached, None of a run that an older version kept."""

    number: int = 1
    declared: float = 0.0
    definition: str = ""
    began: float | None = None
    why: str = "first"
    reached: dict[str, float] = field(default_factory=dict)
    models: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    ramp: list[list[Any]] | None = None
    stages: list[Stage] = field(default_factory=list)
    peaks: dict[str, Peak] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    rows: dict[Key, Row] = field(default_factory=dict)
    # What `over_stages` summed, asked for by every metric.
    _whole: dict[tuple[str, str], Row] = field(default_factory=dict)

    def row(self, key: Key) -> Row | None:
        """The sums under a key, None where there are none."""
        return self.rows.get(key)

    def over_stages(self, arm: str, segment: str = "") -> Row:
        """The sums of an arm over all stages, for what does not depend on its share."""
        known = self._whole.get((arm, segment))
        if known is None:
            known = self._whole[arm, segment] = Row()
            for key, row in sorted(self.rows.items()):
                if (key.arm, key.segment) == (arm, segment):
                    known.merge(row)
        return known

    def add(self, key: Key, row: Row) -> None:
        """Add to the sums under a key."""
        self.rows.setdefault(key, Row()).merge(row)
        self._whole.clear()

    def peak(self, *names: str) -> Peak:
        """The peak of a candidate, a metric and a null, new where nothing was seen."""
        return self.peaks.setdefault(" ".join(names), Peak())

    def seen(self, *names: str) -> Peak:
        """The same for reading."""
        return self.peaks.get(" ".join(names)) or Peak()

    def skip(self, why: str, calls: int) -> None:
        """Count calls of a pane that cannot be attributed."""
        self.skipped[why] = self.skipped.get(why, 0) + calls

    def to_bytes(self) -> bytes:
        """Equal runs give equal bytes."""
        order = sorted(self.rows)
        head = {
            **{name: getattr(self, name) for name in _PLAIN},
            "peaks": {k: [p.log_evidence, p.decided_at] for k, p in sorted(self.peaks.items())},
            "points": [[p.at, p.arm, p.estimate, p.lower, p.upper] for p in self.points],
            "keys": order,
            "stages": self.stages,
        }
        parts = [json.dumps(head, sort_keys=True).encode()]
        parts += [self.rows[key].to_bytes() for key in order]
        return b"".join(struct.pack("<I", len(part)) + part for part in parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Run":
        """Read what `to_bytes` wrote."""
        parts, at = [], 0
        while at < len(data):
            (size,) = struct.unpack_from("<I", data, at)
            parts.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        head = json.loads(parts[0])
        run = cls(**{name: head.get(name) for name in _PLAIN})
        run.peaks = {name: Peak(*peak) for name, peak in head["peaks"].items()}
        run.stages = [Stage(*stage) for stage in head["stages"]]
        run.points = [Point(*point) for point in head["points"]]
        keys = [Key(*key) for key in head["keys"]]
        run.rows = {key: Row.from_bytes(part) for key, part in zip(keys, parts[1:], strict=True)}
        return run


_PLAIN = (
    "number",
    "declared",
    "definition",
    "began",
    "why",
    "reached",
    "models",
    "versions",
    "skipped",
    "ramp",
)

"""What is watched: each bounded series has a slot, given in the order in which they first came."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from agent.buckets import Ints
from agent.packing import Opened, read_words
from agent.panes import Group
from agent.stacks import Stacks
from watch.detector import Sample

# In the place of a model: the service as a whole, which keeps its baseline across models.
WHOLE = "*"
# Variants that no user sees.
_ASIDE = ("shadow:", "paired:")

# The versions of metrics by the digest of a panel.
Panels = Mapping[str, Mapping[str, str]]


class Name(NamedTuple):
    """One series; `version` is its scorer's, so that a changed scorer is a new series."""

    service: str
    model: str
    variant: str
    segment: str
    metric: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class PaneRow:
    """One closed row of a pane."""

    group: Group
    row: Opened


@dataclass(slots=True)
class Slots:
    """The numbers of the series; one `beyond` the size is shown and not watched."""

    size: int
    names: list[Name] = field(default_factory=list)
    beyond: set[Name] = field(default_factory=set)
    _numbers: dict[Name, int] = field(default_factory=dict)
    _rows: dict[tuple[Group, bytes, tuple[str, ...], bool], Ints] = field(default_factory=dict)

    @classmethod
    def restored(cls, size: int, names: Iterable[Name]) -> "Slots":
        """As they were stored."""
        made = cls(size, list(names))
        made._numbers = {name: at for at, name in enumerate(made.names)}
        return made

    def of(self, one: PaneRow, names: Sequence[str], panels: Panels, whole: bool) -> Ints:
        """The slots of a row's series [names], of its own or of the service's; -1 where it has
        none, or where calls of the pane were scored by several versions."""
        digests = tuple(sorted(read_words(one.row.panels)))
        key = one.group, one.row.names, digests, whole
        found = self._rows.get(key)
        if found is None:
            versions = _versions(digests, panels)
            found = np.array([self._number(one.group, m, versions, whole) for m in names], np.int64)
            if len(self._rows) < _ROWS_KNOWN:
                self._rows[key] = found
        return found

    def _number(
        self, group: Group, metric: str, versions: Mapping[str, str | None], whole: bool
    ) -> int:
        version = versions.get(metric, "")
        if version is None or (whole and group.segment):
            return -1
        where = Group(group.service, WHOLE, "", "") if whole else group
        name = Name(*where, metric, version)
        found = self._numbers.get(name)
        if found is not None:
            return found
        if len(self.names) >= self.size:
            if len(self.beyond) < _BEYOND_KNOWN:
                self.beyond.add(name)
            return -1
        self.names.append(name)
        return self._numbers.setdefault(name, len(self._numbers))


_ROWS_KNOWN, _BEYOND_KNOWN = 20_000, 10_000


def _versions(digests: Iterable[str], panels: Panels) -> dict[str, str | None]:
    """The version of each metric that some panels gave; None where there are several."""
    found: dict[str, str | None] = {}
    for digest in digests:
        for metric, version in panels.get(digest, {}).items():
            if found.setdefault(metric, version) != version:
                found[metric] = None
    return found


_NOTHING = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)


def sample_of(rows: Sequence[PaneRow], slots: Slots, panels: Panels) -> Sample:
    """The bins of every watched series of one pane, with the services as wholes."""
    parts = [_NOTHING]
    mine = [one for one in rows if not one.group.variant.startswith(_ASIDE)]
    for layer in Stacks([one.row for one in mine]).layers:
        owners, sizes = [mine[place] for place in layer.places.tolist()], layer.heads["bins"]
        for whole in (False, True):
            table = np.stack([slots.of(one, layer.names, panels, whole) for one in owners])
            table = np.where(np.isnan(layer.heads["lower"]), -1, table)  # amounts have no range
            series = np.repeat(table.ravel(), sizes.ravel())
            kept = series >= 0
            bins, counts = layer.bins
            parts.append((series[kept], bins[kept].astype(np.int64), counts[kept]))
    flat = [np.concatenate(one) for one in zip(*parts, strict=True)]
    order = np.lexsort((flat[1], flat[0]))
    return Sample(*(one[order] for one in flat))

"""What is watched: each bounded series has a slot, given in the order in which they first came."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from abtest.mixture import Bools
from agent.buckets import Ints
from agent.packing import Opened, read_words
from agent.panes import Group
from agent.stacks import Layer, Stacks
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
    """The numbers of the series; one `beyond` the size is shown and not watched, and so is a
    `silent` one, which never had a value."""

    size: int
    names: list[Name] = field(default_factory=list)
    beyond: set[Name] = field(default_factory=set)
    silent: set[Name] = field(default_factory=set)
    _numbers: dict[Name, int] = field(default_factory=dict)
    _rows: dict[tuple[Group, bytes, tuple[str, ...], bool], Ints] = field(default_factory=dict)

    @classmethod
    def restored(cls, size: int, names: Iterable[Name]) -> "Slots":
        """As they were stored."""
        made = cls(size, list(names))
        made._numbers = {name: at for at, name in enumerate(made.names)}
        return made

    def of(self, one: PaneRow, layer: Layer, valued: Bools, panels: Panels, whole: bool) -> Ints:
        """The slots of a row's series [names], of its own or of the service's; -1 where it has
        none, never had a value, or calls of the pane were scored by several versions."""
        digests = tuple(sorted(read_words(one.row.panels)))
        key = one.group, one.row.names, digests, whole
        found = self._rows.setdefault(key, np.full(len(layer.names), _UNASKED))
        asked = (found == _UNASKED) & (valued | ~np.isnan(layer.heads["lower"][0]))
        if asked.any():
            versions = _versions(digests, panels)
            for place in np.flatnonzero(asked).tolist():
                name = _named(one.group, layer.names[place], versions, whole)
                if valued[place] or name is None:
                    found[place] = -1 if name is None else self._number(name)
                elif len(self.silent) < _KNOWN and name not in self._numbers:
                    self.silent.add(name)
        return np.where(valued, found, -1)

    def _number(self, name: Name) -> int:
        found = self._numbers.get(name)
        if found is not None:
            return found
        self.silent.discard(name)
        if len(self.names) >= self.size:
            if len(self.beyond) < _KNOWN:
                self.beyond.add(name)
            return -1
        self.names.append(name)
        return self._numbers.setdefault(name, len(self._numbers))


# Of series that are not watched so many are known by name.
_KNOWN, _UNASKED = 10_000, -2


def _named(
    group: Group, metric: str, versions: Mapping[str, str | None], whole: bool
) -> Name | None:
    version = versions.get(metric, "")
    if version is None or (whole and group.segment):
        return None
    where = Group(group.service, WHOLE, "", "") if whole else group
    return Name(*where, metric, version)


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
        valued = (sizes > 0) & ~np.isnan(layer.heads["lower"])  # amounts have no range
        bins, counts = layer.bins
        for whole in (False, True):
            table = np.stack([slots.of(one, layer, some, panels, whole)
                              for one, some in zip(owners, valued, strict=True)])  # fmt: skip
            series = np.repeat(table.ravel(), sizes.ravel())
            kept = series >= 0
            parts.append((series[kept], bins[kept].astype(np.int64), counts[kept]))
    flat = [np.concatenate(one) for one in zip(*parts, strict=True)]
    order = np.lexsort((flat[1], flat[0]))
    return Sample(*(one[order] for one in flat))

"""What is watched: each series has a slot, given in the order in which they first came."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import numpy as np

from abtest.mixture import Bools
from agent.buckets import Ints
from agent.catalog import metric_named, part_of
from agent.packing import Opened, read_words
from agent.panes import Group
from agent.stacks import Layer

# In the place of a model: the service as a whole, which keeps its baseline across models.
WHOLE = "*"
# What of a metric is watched: its mean; of an amount the mean of its ranks among the baseline's;
# how far values lie from the baseline's middle, and which part lies beyond its last values; which
# part of the calls has none. What is no metric of a call is a share: a part of the calls. Of the
# mean of the texts' embeddings there is an axis for each coarse topic.
Axis = Literal[
    "axis 1", "axis 2", "axis 3", "axis 4", "axis 5", "axis 6", "axis 7", "axis 8"
]  # fmt: skip
View = Literal["level", "rank", "spread", "tail", "missing", "share"] | Axis
_AXES: dict[str, Axis] = {axis.removeprefix("axis "): axis for axis in get_args(Axis)}


class Name(NamedTuple):
    """One series; `version` is its scorer's, so that a changed scorer is a new series."""

    service: str
    model: str
    variant: str
    segment: str
    metric: str
    version: str = ""
    view: View = "level"


def whole(service: str, metric: str, view: View = "level") -> Name:
    """A series of a service as a whole."""
    return Name(service, WHOLE, "", "", metric, "", view)


@dataclass(frozen=True, slots=True)
class PaneRow:
    """One closed row of a pane."""

    group: Group
    row: Opened


def mean_of(name: Name) -> Name | None:
    """What an axis has in common with the others of the same mean; None for what is no axis."""
    return name._replace(view="level") if name.view in _AXES.values() else None


# The versions of metrics by the digest of a panel.
Panels = Mapping[str, Mapping[str, str]]


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
        asked = found == _UNASKED
        if asked.any():
            versions = _versions(digests, panels)
            for place in np.flatnonzero(asked).tolist():
                metric = layer.names[place]
                version = versions.get(part_of(metric)[0], "")
                name = _named(one.group, metric, version, whole)
                if valued[place] or name is None:
                    found[place] = -1 if name is None else self.number(name)
                elif len(self.silent) < _KNOWN and name not in self._numbers:
                    self.silent.add(name)
        return np.where(valued, found, -1)

    def number(self, name: Name) -> int:
        """The slot of a series, which takes one if there is one; -1 without."""
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

    def known(self, name: Name) -> int:
        """The slot that a series has; -1 without."""
        return self._numbers.get(name, -1)


# Of series that are not watched so many are known by name.
_KNOWN, _UNASKED = 10_000, -2


@lru_cache(1 << 16)
def _named(group: Group, metric: str, version: str | None, together: bool) -> Name | None:
    if version is None or (together and group.segment):
        return None
    where = Group(group.service, WHOLE, "", "") if together else group
    view: View = "rank" if metric_named(metric).kind == "amount" else "level"
    plain, part = part_of(metric)
    if part and part not in _AXES:
        return None
    return Name(*where, plain, version, _AXES.get(part, view))


def _versions(digests: Iterable[str], panels: Panels) -> dict[str, str | None]:
    """The version of each metric that some panels gave; None where there are several."""
    found: dict[str, str | None] = {}
    for digest in digests:
        for metric, version in panels.get(digest, {}).items():
            if found.setdefault(metric, version) != version:
                found[metric] = None
    return found

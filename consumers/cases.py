"""Which calls are worst by a metric, and where they gather: described, never tested."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from agent.buckets import Floats
from agent.catalog import BY_NAME, Metric, metric_named
from agent.config import Config
from agent.store.calls import CallRow
from suites.analysis.clusters import LEAST, grouped, telling_words, words_of

# Where no bar says which values are low, so large a share of the calls is.
_WORST_SHARE = 0.1
# A part of the traffic is shown with so many low calls and so much more of them than of all.
_FEW, _LIFT, _PARTS = 5, 1.25, 8
# Texts and words of a grouping: enough to see kinds, and milliseconds.
_TEXTS, _WORDS, _SHOWN_CHARS = 150, 128, 240
Value = TypeVar("Value", float, Floats)


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """Calls of a model that failed in one way; `kind` is the first word of what it said."""

    model: str
    variant: str
    status: str
    kind: str
    calls: int


@dataclass(frozen=True, slots=True)
class Gathering:
    """A part of the traffic that has more of the low calls than of all calls."""

    key: str
    value: str
    low: int
    calls: int
    share_of_low: float
    share_of_all: float


@dataclass(frozen=True, slots=True)
class Alike:
    """Low calls whose prompts share words, with the id and the prompt of one in their middle."""

    words: tuple[str, ...]
    calls: int
    id: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """The calls that have a value, worst first, and how many of them, from the first on, are low.

    `bar` is where low begins: the catalogue's where it is `named`, or else the value that a tenth
    is beyond; None where all are alike.
    """

    rows: list[CallRow]
    low: int
    bar: float | None
    named: bool


def metrics_of(rows: Iterable[CallRow]) -> list[str]:
    """The metrics that calls have values of: objectives first, then in the catalogue's order."""
    held = set[str]().union(*(row.values for row in rows))
    order = {name: at for at, name in enumerate(BY_NAME)}
    return sorted(held, key=lambda name: (order.get(name, -1), name))


def first_metric(config: Config, there: Sequence[str]) -> str:
    """What is looked at where nobody says: what experiments ask about first, then objectives, then
    the first score of quality that has a good end."""
    wanted = [one.primary for one in config.experiments.values()]
    wanted += [one.metric for one in config.slo.values()]
    wanted += [
        name for name in there if (row := metric_named(name)).dimension == "quality"
        and row.good != "none" and name != "feedback"
    ]  # fmt: skip
    return next((name for name in wanted if name in there), there[0] if there else "error")


def badness(metric: Metric, value: Value) -> Value:
    """What puts values in order from good to bad; where neither end is good high ones are looked
    at."""
    return -value if metric.good == "high" else value


def rank(rows: Iterable[CallRow], metric: Metric) -> Ranked:
    """The calls by a metric, of two that are equal the newer one first."""
    name = metric.name
    some = [row for row in rows if name in row.values]
    if not some:
        return Ranked([], 0, metric.bar, metric.bar is not None)
    values = np.array([row.values[name] for row in some])
    newest = np.array([-row.at for row in some])
    order = np.lexsort((newest, -badness(metric, values)))
    held, values = [some[at] for at in order.tolist()], values[order]
    if metric.bar is not None:
        return Ranked(held, int(metric.failed(values).sum()), metric.bar, True)
    worse = int((values != values[-1]).sum())  # than the best: of those alike none is a worst
    low = min(worse, max(1, round(_WORST_SHARE * len(held))))
    return Ranked(held, low, float(values[low - 1]) if low else None, False)


def errors_of(rows: Iterable[CallRow]) -> list[ErrorKind]:
    """Failed calls by model and kind, the most frequent first."""
    found = Counter(
        (row.model, row.variant, row.status, row.why.get("error", "not told"))
        for row in rows if row.status != "ok"
    )  # fmt: skip
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    return [ErrorKind(*key, n) for key, n in ordered]


def gatherings_of(ranked: Ranked) -> list[Gathering]:
    """Where low calls are more frequent than elsewhere, by model, variant and segment."""
    whole, low = _parts(ranked.rows), _parts(ranked.rows[: ranked.low])
    found = [
        Gathering(*part, n, whole[part], n / ranked.low, whole[part] / len(ranked.rows))
        for part, n in low.items()
        if n >= _FEW
    ]
    told = [one for one in found if one.share_of_low >= _LIFT * one.share_of_all]
    return sorted(told, key=_by_excess)[:_PARTS]


def _by_excess(one: Gathering) -> tuple[float, str, str]:
    return one.share_of_all - one.share_of_low, one.key, one.value


def _parts(rows: Iterable[CallRow]) -> Counter[tuple[str, str]]:
    """How many calls are of each model, variant and segment; many are alike in all of these."""
    groups = Counter(
        (row.service, row.model, row.variant, tuple(row.segment.items())) for row in rows
    )
    found = Counter[tuple[str, str]]()
    for (service, model, variant, segment), n in groups.items():
        for part in ("service", service), ("model", model), ("variant", variant), *segment:
            found[part] += n
    return found


def alike(rows: Sequence[CallRow], prompts: Mapping[bytes, str]) -> list[Alike]:
    """Calls grouped by the words of their prompts; none where few prompts are kept."""
    held = [row for row in rows if (prompts.get(row.key) or "").strip()][:_TEXTS]
    texts = [prompts[row.key] for row in held]
    points = _words_as_points(texts)
    if len(held) < LEAST or points is None:
        return []
    labels, found = grouped(points, 0), []
    for number in range(int(labels.max()) + 1):
        mine = np.flatnonzero(labels == number)
        middle = mine[int(np.argmax(points[mine] @ points[mine].mean(axis=0)))]
        words = telling_words([texts[at] for at in mine], texts)
        found.append(Alike(words, len(mine), held[middle].id, texts[middle][:_SHOWN_CHARS]))
    return found


def _words_as_points(texts: Sequence[str]) -> Floats | None:
    """Rows of length 1 over the most frequent words, rare ones weighing more (tf-idf, Sparck Jones
    1972); None where texts have no two words in common."""
    words = [words_of(text) for text in texts]
    there = Counter(word for held in words for word in held)
    known = sorted(word for word, n in there.most_common(_WORDS) if 1 < n < len(texts))
    if len(known) < 2:
        return None
    weights = np.array([np.log(len(texts) / there[word]) for word in known])
    points: Floats = np.array([[1.0 * (w in held) for w in known] for held in words]) * weights
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    unit: Floats = np.divide(points, lengths, out=np.zeros_like(points), where=lengths > 0)
    return unit

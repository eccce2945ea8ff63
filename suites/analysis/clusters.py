"""Which kinds of questions fail: prompts of failed answers, grouped by meaning.

k-means over unit embeddings (Lloyd 1982, seeded as in Arthur and Vassilvitskii 2007), the number
of groups by the mean silhouette (Rousseeuw 1987). All of it is seeded: a run has one picture.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.buckets import Floats, Ints
from suites.analysis.failures import KINDS, NONE, Failures, shown
from suites.record import Run

Embed = Callable[[Sequence[str]], Floats]  # texts -> [texts, width], rows of length 1

# Fewer prompts make no groups; more are thinned out evenly, for the silhouettes of all pairs.
LEAST, _MOST = 12, 600
_GROUPS = range(2, 7)
_ROUNDS, _STARTS = 50, 4
_WORDS = 4


@dataclass(frozen=True, slots=True)
class Cluster:
    """A group of failed prompts: the words that set it apart and one prompt at its middle.

    `failed` counts its failures by target and `kinds` by type.
    """

    words: tuple[str, ...]
    size: int
    failed: dict[str, int]
    kinds: dict[str, int]
    middle: str


@dataclass(frozen=True, slots=True)
class Dot:
    """Where a failed prompt lies on the plane of the first two principal components."""

    x: float
    y: float
    cluster: int


@dataclass(frozen=True, slots=True)
class Clusters:
    """The groups, largest first, and their picture; `of` is how many prompts failed in all."""

    clusters: tuple[Cluster, ...]
    dots: tuple[Dot, ...]
    of: int


def clusters_of(run: Run, failures: Failures, embed: Embed, seed: int) -> Clusters:
    """The groups of the prompts that some target failed; none where they are too few."""
    failed = np.flatnonzero((failures.kinds != NONE).any(axis=0))
    items = [int(at) for at in failed if (run.items[at].call.prompt or "").strip()]
    total = len(items)
    if total < LEAST:
        return Clusters((), (), total)
    if total > _MOST:
        items = [items[at * total // _MOST] for at in range(_MOST)]
    prompts = [run.items[at].call.prompt or "" for at in items]
    points = embed(prompts)
    labels = grouped(points, seed)
    plane = _plane(points)
    dots = tuple(Dot(float(x), float(y), int(k)) for (x, y), k in zip(plane, labels, strict=True))
    groups = range(int(labels.max()) + 1)
    made = tuple(_cluster(run, failures, items, prompts, points, labels, k) for k in groups)
    return Clusters(made, dots, total)


def _cluster(
    run: Run, failures: Failures, items: Sequence[int], prompts: Sequence[str],
    points: Floats, labels: Ints, number: int,
) -> Cluster:  # fmt: skip
    mine = [int(at) for at in np.flatnonzero(labels == number)]
    kinds = failures.kinds[:, np.array([items[at] for at in mine])]
    middle = points[mine].mean(axis=0)
    nearest = mine[int(np.argmax(points[mine] @ middle))]
    return Cluster(
        telling_words([prompts[at] for at in mine], prompts),
        len(mine),
        {o.target: int((row != NONE).sum()) for o, row in zip(run.outcomes, kinds, strict=True)},
        {kind: n for at, kind in enumerate(KINDS) if (n := int((kinds == at).sum()))},
        shown(prompts[nearest]),
    )


def grouped(points: Floats, seed: int) -> Ints:
    """The grouping with the best mean silhouette, groups numbered by size."""
    distances = 1.0 - points @ points.T
    best, labels = -np.inf, np.zeros(len(points), dtype=np.int64)
    for groups in _GROUPS:
        found = kmeans(points, groups, np.random.default_rng((seed, groups)))
        score = silhouette(distances, found)
        if score > best:
            best, labels = score, found
    sizes = np.bincount(labels)
    rank = np.argsort(np.argsort(-sizes, kind="stable"), kind="stable")
    ranked: Ints = rank[labels]
    return ranked


def kmeans(points: Floats, groups: int, rng: np.random.Generator) -> Ints:
    """A label for every point [points, width]: the best of a few starts."""
    runs = [_lloyd(points, _spread(points, groups, rng)) for _ in range(_STARTS)]
    return min(runs, key=lambda one: one[1])[0]


def _spread(points: Floats, groups: int, rng: np.random.Generator) -> Floats:
    """Starting centres far from each other: each drawn by its squared distance to those before."""
    centres = [points[rng.integers(len(points))]]
    for _ in range(groups - 1):
        near = np.min([((points - c) ** 2).sum(axis=1) for c in centres], axis=0)
        total = near.sum()
        chance = near / total if total > 0 else None
        centres.append(points[rng.choice(len(points), p=chance)])
    return np.stack(centres)


def _lloyd(points: Floats, centres: Floats) -> tuple[Ints, float]:
    labels = np.full(len(points), -1, dtype=np.int64)
    for _ in range(_ROUNDS):
        away = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)
        nearest = np.argmin(away, axis=1)
        if (nearest == labels).all():
            break
        labels = nearest
        for at in range(len(centres)):
            if (labels == at).any():
                centres[at] = points[labels == at].mean(axis=0)
    _, dense = np.unique(labels, return_inverse=True)
    return dense, float(away[np.arange(len(points)), labels].sum())


def silhouette(distances: Floats, labels: Ints) -> float:
    """Mean of (b - a) / max(a, b): mean distance to the own group and to the next nearest one."""
    groups = int(labels.max()) + 1
    if groups < 2:
        return -1.0
    member = np.eye(groups)[labels]
    sizes = member.sum(axis=0)
    sums = distances @ member
    rows = np.arange(len(labels))
    own = sums[rows, labels] / np.maximum(sizes[labels] - 1, 1)
    means = sums / sizes
    means[rows, labels] = np.inf
    other = means.min(axis=1)
    scale = np.maximum(np.maximum(own, other), 1e-12)
    return float(np.where(sizes[labels] > 1, (other - own) / scale, 0.0).mean())


def _plane(points: Floats) -> Floats:
    """The first two principal components [points, 2], the farthest point on the positive side."""
    centred = points - points.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    plane = left[:, :2] * sizes[:2]
    signs = np.sign(plane[np.argmax(np.abs(plane), axis=0), [0, 1]])
    placed: Floats = plane * np.where(signs == 0, 1.0, signs)
    return placed


def telling_words(mine: Sequence[str], everyone: Sequence[str]) -> tuple[str, ...]:
    """The words that more of these texts hold than of all, by how much more."""
    here = Counter(word for text in mine for word in words_of(text))
    there = Counter(word for text in everyone for word in words_of(text))
    gain = {word: n / len(mine) - there[word] / len(everyone) for word, n in here.items() if n > 1}
    ranked = sorted((word for word in gain if gain[word] > 0), key=lambda w: (-gain[w], w))
    return tuple(ranked[:_WORDS])


def words_of(text: str) -> set[str]:
    """The words of a text that say something, folded."""
    return set(re.findall(r"[^\W\d_]{4,20}", text.casefold()))

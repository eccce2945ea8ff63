"""How the ranking changes when a dimension or a metric is left out of the overall score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.buckets import Floats
from suites.analysis.overall import Levels


@dataclass(frozen=True, slots=True)
class Ablation:
    """The ranking without one dimension or metric, best first, with the scores in that order.

    `moved` are the targets at another rank. `tau` is Kendall's rank correlation with the full
    ranking, None of a single target. `sure` says that the new first is ahead of the old first by
    an interval that excludes 0.
    """

    without: str
    kind: str
    order: tuple[str, ...]
    scores: tuple[float, ...]
    moved: tuple[str, ...]
    tau: float | None
    sure: bool


def ablations(levels: Levels, alpha: float) -> tuple[Ablation, ...]:
    """Every dimension that has weight, and every metric that counts in one of these."""
    full = levels.overall()
    if full is None:
        return ()
    metrics = dict.fromkeys(p.metric for p in levels.parts if p.dimension in levels.weights)
    left_out: list[tuple[str, str]] = []
    if len(levels.weights) > 1:
        left_out += [("dimension", name) for name in levels.weights]
    left_out += [("metric", name) for name in metrics] if len(metrics) > 1 else []
    found = []
    for kind, name in left_out:
        scores = levels.overall(without=(name,))
        if scores is not None:
            found.append(_ablation(levels.targets, full, scores, kind, name, alpha))
    return tuple(found)


def order_of(scores: Floats) -> list[int]:
    """Targets from the highest score to the lowest; equal ones as they stand in the run."""
    return [int(at) for at in np.argsort(-scores, kind="stable")]


def _ablation(
    targets: Sequence[str], full: Floats, scores: Floats, kind: str, name: str, alpha: float
) -> Ablation:
    before = order_of(full[0])
    after = sorted(before, key=lambda at: -round(float(scores[0, at]), 9))  # ties stay as they were
    ahead = scores[1:, after[0]] - scores[1:, before[0]]
    return Ablation(
        name,
        kind,
        tuple(targets[at] for at in after),
        tuple(float(scores[0, at]) for at in after),
        tuple(targets[at] for at, was in zip(after, before, strict=True) if at != was),
        _kendall(before, after),
        after[0] != before[0] and float(np.quantile(ahead, alpha / 2)) > 0,
    )


def _kendall(before: Sequence[int], after: Sequence[int]) -> float | None:
    """Share of pairs in the same order less share in the other (Kendall 1938)."""
    place = {target: at for at, target in enumerate(after)}
    pairs = [(a, b) for i, a in enumerate(before) for b in before[i + 1 :]]
    agree = sum(1 if place[a] < place[b] else -1 for a, b in pairs)
    return agree / len(pairs) if pairs else None

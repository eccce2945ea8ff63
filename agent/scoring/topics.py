"""What a baseline's texts are about: centres near which they lie, and axes from topic to topic."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.buckets import BINS
from agent.catalog import AXES

# A centre for so many texts, and no more of them than this.
_TEXTS_A_CENTRE, _MOST_CENTRES, _ROUNDS = 10, 300, 10
# How far a baseline's own texts lie is told by texts that its centres were not made of: a fifth
# at a time. Of their distances a thousand quantiles are kept.
_PARTS, _QUANTILES = 5, 1001
# The share of a baseline that lies nearer, to this power: 1/13 in the mean while nothing is new.
_POWER = 12
# Distances of one text differ by less than this from run to run.
_ROUNDING = 1e-4
# A place on an axis is one of so many steps, which span so many standard deviations either way.
_STEPS, _REACH = 16, 2.5
# What the spread within topics gets added in every direction, in parts of its mean over them.
_RIDGE = 0.3

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Topics:
    """What a baseline is about: centres [centres, width] of its unit embeddings, quantiles of how
    far other texts of it lie from the nearest, its mean [width] and its axes [width, axes]."""

    centres: Floats
    quantiles: Floats
    middle: Floats
    axes: Floats

    @classmethod
    def fit(cls, rows: Floats) -> "Topics":
        """The topics of unit embeddings [texts, width]."""
        rows = rows[np.random.default_rng(0).permutation(len(rows))]
        part = np.arange(len(rows)) % _PARTS
        held = [_distance(rows[part == one], _fine(rows[part != one])) for one in range(_PARTS)]
        levels = np.linspace(0.0, 1.0, _QUANTILES)
        quantiles = np.quantile(np.concatenate(held), levels).astype(np.float32)
        middle = rows.mean(0, dtype=np.float64).astype(np.float32)
        return cls(_fine(rows), quantiles, middle, _axes(rows - middle))

    def novelty(self, rows: Floats) -> Floats:
        """How far unit embeddings [texts, width] lie out among the baseline's: 0 near, 1 beyond."""
        distances = _distance(rows, self.centres) - _ROUNDING
        nearer = np.searchsorted(self.quantiles, distances) / _QUANTILES
        scores: Floats = (nearer**_POWER).astype(np.float32)
        return scores

    def places(self, rows: Floats) -> NDArray[np.int64]:
        """Where unit embeddings lie on the axes [texts, axes], as bins of [0, 1] in whole steps;
        the baseline's mean is in the middle."""
        places = 0.5 + (rows - self.middle) @ self.axes / (2 * _REACH)
        steps: NDArray[np.int64] = np.rint(np.clip(places, 0.0, 1.0) * _STEPS).astype(np.int64)
        return steps * (BINS // _STEPS)


def _distance(rows: Floats, centres: Floats) -> Floats:
    nearest: Floats = 1 - (rows @ centres.T).max(1)
    return nearest


def _fine(rows: Floats) -> Floats:
    return _centres(rows, min(max(1, len(rows) // _TEXTS_A_CENTRE), _MOST_CENTRES))


def _centres(rows: Floats, count: int) -> Floats:
    """Spherical k-means (Dhillon and Modha 2001) from the first rows."""
    centres = rows[:count].copy()
    for _ in range(_ROUNDS):
        nearest = (rows @ centres.T).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, rows)
        sizes = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1e-12), centres)
    return centres


def _axes(rows: Floats) -> Floats:
    """Of centred rows the directions [width, axes] in which each coarse topic stands out most from
    the spread within topics (Fisher 1936), in standard deviations of the rows.

    2026-11-26: the principal axes took two to three times as many calls to show that a known
    domain of CLINC150 had grown, and the shares of the coarse topics themselves two.
    """
    units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    nearest = (units @ _centres(units, AXES).T).argmax(1)
    members = np.eye(AXES)[nearest]
    means = members.T @ rows / np.maximum(members.sum(0), 1.0)[:, None]
    within = rows - means[nearest]
    spread = within.T @ within / len(rows)
    ridge = max(float(np.trace(spread)) / len(spread) * _RIDGE, 1e-12)
    found = np.linalg.solve(spread + ridge * np.eye(len(spread)), means.T)
    scaled: Floats = (found / np.maximum((rows @ found).std(0), 1e-9)).astype(np.float32)
    return scaled

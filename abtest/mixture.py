"""Intervals and evidence for the mean of a bounded variable, from counts on its support.

The fixed-bet mixture (statistics.md 4.1; Waudby-Smith and Ramdas 2024, sec. 4): with bets C_j
fixed in advance, the capital against the mean m is

    K+_j(m) = prod_i (1 + C_j (x_i - m) / (m - lower)),  K-_j(m) the same from the upper end,
    E(m) = mean over j and both signs,

a supermartingale under the mean m, so P(E(m) ever reaches 1/alpha) <= alpha (Ville), at any
number of looks. Its logarithm is a sum over bins of count x constant: no order, no batch and no
partition of the events changes it. It is convex in m, so {m: E(m) < 1/alpha} is an interval.

A support may mix variables of one mean and several ranges (the arms of a split, the epochs of
its share): `lower` and `upper` then are arrays beside it.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agent.buckets import Floats

Bools = NDArray[np.bool_]
Side = Literal["both", "up", "down"]

BETS: Floats = np.geomspace(0.02, 0.9, 8)
# Newton's steps from a good guess; bisection takes over where they leave the bracket.
_STEPS, _TOLERANCE = 80, 1e-9
_LAST_STEP = 1e-4


def log_capital(
    support: ArrayLike, null: ArrayLike, lower: ArrayLike = 0.0, upper: ArrayLike = 1.0
) -> Floats:
    """What one event at each support point adds to the log-capital against the mean `null`.

    Shape [..., bins, bets]: first the bets that the mean is above the null, then those below it.
    """
    v, m = np.asarray(support, np.float64), np.asarray(null, np.float64)[..., None]
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        up, down = (v - low) / (m - low), (high - v) / (high - m)
        both = np.stack([up, down], -1)[..., None] * BETS + (1 - BETS)
        return np.log(both).reshape(*both.shape[:-2], -1)


def mixed(capital: Floats, side: Side = "both") -> Floats:
    """Log-evidence from log-capitals [..., bets]: the logarithm of their mean."""
    half = len(BETS)
    chosen = {"both": capital, "up": capital[..., :half], "down": capital[..., half:]}[side]
    peak = np.nan_to_num(chosen.max(-1, keepdims=True), posinf=0.0, neginf=0.0)
    with np.errstate(divide="ignore", over="ignore"):
        total: Floats = peak[..., 0] + np.log(np.exp(chosen - peak).mean(-1))
    return total


def log_evidence(
    support: ArrayLike,
    counts: ArrayLike,
    null: ArrayLike,
    lower: ArrayLike = 0.0,
    upper: ArrayLike = 1.0,
    side: Side = "both",
) -> Floats:
    """Log-evidence against the mean `null`, from counts [..., bins]; 0 without any event.

    With `side` "up" only that the mean is above the null, with "down" only that it is below.
    Raises ValueError for a null that is not within the range, and for counts that are none.
    """
    held = _checked(support, counts, lower, upper)
    at = np.asarray(null, np.float64)[..., None]
    inside = (at > np.asarray(lower)) & (at < np.asarray(upper))
    if not (inside | (held == 0)).all():
        raise ValueError("the null does not lie between the ends of the range")
    steps = log_capital(support, null, lower, upper)
    with np.errstate(invalid="ignore"):
        added = np.where(held[..., None] > 0, held[..., None] * steps, 0.0)
    return mixed(added.sum(-2), side)


def interval(
    support: ArrayLike,
    counts: ArrayLike,
    alpha: float = 0.05,
    lower: ArrayLike = 0.0,
    upper: ArrayLike = 1.0,
) -> tuple[Floats, Floats]:
    """The means that the counts [..., bins] do not speak against, valid at every look together.

    Both ends are NaN where every mean is refuted: the mean was not the same throughout. Raises
    ValueError for counts or a support that are none.
    """
    held = _checked(support, counts, lower, upper)
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} does not lie between 0 and 1")
    rows = np.atleast_2d(held)
    shape = (*rows.shape[:-1], rows.shape[-1])
    v, low, high = (
        np.broadcast_to(np.asarray(one, np.float64), shape).reshape(-1, shape[-1])
        for one in (support, lower, upper)
    )
    counted = rows.reshape(-1, shape[-1])
    ends = _Search(v, low, high, counted, float(np.log(1 / alpha))).ends()
    first, last = (end.reshape(held.shape[:-1]) for end in ends)
    return (first, last) if held.ndim > 1 else (first[()], last[()])


def _checked(support: ArrayLike, counts: ArrayLike, lower: ArrayLike, upper: ArrayLike) -> Floats:
    v, held = np.asarray(support, np.float64), np.asarray(counts, np.float64)
    if not v.ndim or not held.ndim or v.shape[-1] != held.shape[-1]:
        raise ValueError(f"counts of shape {held.shape} do not fit a support of shape {v.shape}")
    if not np.isfinite(held).all() or (held < 0).any():
        raise ValueError("a count is negative or not finite")
    if not ((v >= np.asarray(lower)) & (v <= np.asarray(upper))).all():
        raise ValueError("a support point lies outside the range")
    return held


class _Search:
    """Where log-evidence meets the threshold, for many rows of counts at once.

    2026-11-24: bisection alone took 40 evaluations an end; from the guess Newton takes five.
    """

    def __init__(
        self, v: Floats, low: Floats, high: Floats, counts: Floats, threshold: float
    ) -> None:
        there: Bools = counts > 0
        empty = ~np.asarray(there.any(1), np.bool_)
        self._floor = np.where(there | empty[:, None], low, -np.inf).max(1)
        self._ceiling = np.where(there | empty[:, None], high, np.inf).min(1)
        self._scale = self._ceiling - self._floor
        # The bins that a row uses, first: an empty one costs time for nothing.
        order = np.argsort(~there, axis=1, kind="stable")[:, : int(there.sum(1).max(initial=0))]
        self._v, self._low, self._high, self._c = (
            np.take_along_axis(one, order, 1) for one in (v, low, high, counts)
        )
        self._threshold = threshold
        self._n = np.maximum(counts.sum(1), 1e-300)
        mean = np.where(empty, (self._floor + self._ceiling) / 2, (counts * v).sum(1) / self._n)
        self._mean = np.clip(mean, self._floor, self._ceiling)
        narrower = (low < self._floor[:, None]) | (high > self._ceiling[:, None])
        self._several = (there & narrower).any(1)
        self._variance = (counts * (v - self._mean[:, None]) ** 2).sum(1) / self._n

    def ends(self) -> tuple[Floats, Floats]:
        """Both ends of every row."""
        inside, empty = self._inside()
        first, last = self._root(inside, self._floor), self._root(inside, self._ceiling)
        return np.where(empty, np.nan, first), np.where(empty, np.nan, last)

    def _excess(self, m: Floats) -> tuple[Floats, Floats]:
        """Log-evidence above the threshold, and its slope in m."""
        levels, slopes, at = [], [], m[:, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for over, span in (
                (self._v - self._low, at - self._low),
                (self._high - self._v, at - self._high),
            ):
                inner = BETS[:, None] * (over / np.abs(span))[:, None] + (1 - BETS[:, None])
                levels.append(self._sum(np.log(inner), self._c))
                # d/dm ln(1 - C + C r) = -(1 - (1 - C) / (1 - C + C r)) / span
                slopes.append(
                    (1 - BETS) * self._sum(1 / inner, self._c / span)
                    - np.where(self._c > 0, self._c / span, 0.0).sum(1)[:, None]
                )
        capital, slope = np.concatenate(levels, -1), np.concatenate(slopes, -1)
        level = mixed(capital)
        with np.errstate(invalid="ignore"):
            shares = np.exp(capital - level[:, None]) / capital.shape[-1]
            return level - self._threshold, (shares * slope).sum(-1)

    def _sum(self, terms: Floats, weights: Floats) -> Floats:
        summed: Floats = np.matmul(terms, weights[:, :, None])[:, :, 0]
        if np.isfinite(summed).all():
            return summed
        # An empty bin at the end of the range counts 0 times infinity.
        weights, there = np.where(self._c > 0, weights, 0.0), self._c[:, None] > 0
        careful: Floats = np.matmul(np.where(there, terms, 0.0), weights[:, :, None])[:, :, 0]
        return careful

    def _inside(self) -> tuple[Floats, Bools]:
        """A point inside each interval, and the rows that have none."""
        point, inner = self._mean, (self._mean > self._floor) & (self._mean < self._ceiling)
        middle = (self._floor + self._ceiling) / 2
        out = inner & (self._excess(np.where(inner, point, middle))[0] > 0)
        # The pooled mean of several ranges may lie outside the narrowest: it says nothing there.
        out |= ~inner & self._several
        if not out.any():
            return point, out
        a, b = self._floor, self._ceiling
        for _ in range(_STEPS):  # the slope of a convex function says where its lowest point is
            middle = (a + b) / 2
            rising = self._excess(middle)[1] > 0
            a, b = np.where(rising, a, middle), np.where(rising, middle, b)
        lowest = np.where(out, (a + b) / 2, point)
        return lowest, out & (self._excess(lowest)[0] > 0)

    def _root(self, inside: Floats, outer: Floats) -> Floats:
        """Between a point inside and the end of the range."""
        near, far, x = inside, outer, self._guess(inside, outer)
        for _ in range(_STEPS):
            excess, slope = self._excess(x)
            refuted = excess > 0
            near, far = np.where(refuted, near, x), np.where(refuted, x, far)
            with np.errstate(divide="ignore", invalid="ignore"):
                step = x - excess / slope
            between = (step - near) * (step - far) < 0
            new = np.where(between, step, (near + far) / 2)
            # What is left after a Newton step is its square.
            enough = np.where(between, _LAST_STEP * np.abs(new - inside), _TOLERANCE * self._scale)
            moved, x = np.abs(new - x) > np.maximum(enough, _TOLERANCE * self._scale), new
            if not moved.any():
                break
        # No point short of the range's end is refuted: the end is in.
        return np.where(np.abs(x - outer) <= 4 * _TOLERANCE * self._scale, outer, x)

    def _guess(self, inside: Floats, outer: Floats) -> Floats:
        """Where the best bet alone would refute, to second order in the bet."""
        reach = np.abs(outer - inside)
        with np.errstate(divide="ignore", invalid="ignore"):
            bets = BETS / np.maximum(reach, 1e-300)[:, None]
            gain = (self._threshold + np.log(2 * len(BETS))) / self._n[:, None] / bets
            away = (gain + bets * self._variance[:, None] / 2).min(1)
        guess: Floats = inside + np.sign(outer - inside) * np.clip(away, 0.0, reach / 2)
        return guess

"""Simulated experiments whose truth is known, decided by the product's own functions.

The set-ups are those of statistics.md 3: scores of a call are a shape of a normal number, twins
share .6 of it, 20,000 calls or pairs come in, and somebody looks after every 100. Only the loop
over panes is shortened here; `tests/flushed.py` has the long road, which must agree to 1e-9.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from abtest.contrast import GUESS
from abtest.mixture import log_capital, mixed
from abtest.samples import Frame, paired_frame, split_frame
from agent.buckets import BINS, FIXED, Floats, Ints, Keys, dither_keys, dithered_bins, fixed
from agent.experiments import PAIRED, WIN

Bools = NDArray[np.bool_]
Shape = Callable[[Floats], Floats]

UNITS, EACH, LOOKS = 20_000, 100, 200
CANDIDATE, SCORE = "wren", "response_relevance"
ALPHA = 0.05
LEVEL = math.log(1 / ALPHA)
TIME_OUT_S = 60.0
# The product's rule: a split is centred on the control's mean once that is known from 20 calls.
CENTRE_CALLS = 20
# How many of the worst answers arm B loses, and the share of a normal number that twins share.
LOST, SHARED = 0.02, 0.6


# Half a step of the table moves a score by 1e-4 at most, and the mean by less than 1e-7.
_STEPS, _FAR = 1 << 14, 8.0


@cache
def _quality_table() -> Floats:
    table: Floats = special.betaincinv(5, 2, special.ndtr(np.linspace(-_FAR, _FAR, _STEPS + 1)))
    return table


def quality(z: Floats) -> Floats:
    """Beta(5, 2)."""
    scores: Floats = _quality_table()[np.rint((z + _FAR) * (_STEPS / 2 / _FAR)).astype(np.int64)]
    return scores


def latency(z: Floats) -> Floats:
    """Lognormal, median 1.2 s, log-sd 1, clipped at the time-out and divided by it."""
    clipped: Floats = np.minimum(1.2 * np.exp(z) / TIME_OUT_S, 1.0)
    return clipped


def rare(z: Floats) -> Floats:
    """Bernoulli .002."""
    hit: Floats = (z > special.ndtri(1 - 0.002)).astype(np.float64)
    return hit


def twins(
    rng: np.random.Generator, n: int = UNITS, icc: float = 0.0, size: int = 1
) -> tuple[Floats, Floats]:
    """Normal numbers of n prompts answered by both arms, in sessions of `size`."""
    prompt, *own = (_clustered(rng, n, icc, size) for _ in range(3))
    a, b = (math.sqrt(SHARED) * prompt + math.sqrt(1 - SHARED) * one for one in own)
    return a, b


def _clustered(rng: np.random.Generator, n: int, icc: float, size: int) -> Floats:
    own = rng.standard_normal(n)
    if not icc:
        return own
    session = np.repeat(rng.standard_normal(n // size), size)
    return math.sqrt(icc) * session + math.sqrt(1 - icc) * own


def event_ids(rng: np.random.Generator, n: int) -> Keys:
    """What the dither of each event is drawn from."""
    return rng.integers(0, 1 << 63, n, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Part:
    """Events on one support: where on it each lies, and the look at which it is first seen."""

    frame: Frame
    places: Ints
    looks: Ints


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs and the look at which each counts; NaN is a call that failed, as the worst score."""

    events: Keys
    control: Floats
    candidate: Floats
    looks: Ints
    metric: str = SCORE
    null: float = 0.0

    def parts(self) -> list[Part]:
        """All have one support."""
        keys, size = dither_keys(self.events, f"{PAIRED}{CANDIDATE} {self.metric}"), BINS + 1
        a_lost, b_lost = np.isnan(self.control), np.isnan(self.candidate)
        places = dithered_bins(np.nan_to_num(self.candidate - self.control), keys, -1.0, 1.0)
        there = np.nan_to_num(np.where(a_lost, self.candidate, self.control))
        alone = dithered_bins(np.clip(there, 0.0, 1.0), keys, 0.0, 1.0)
        places = np.where(a_lost, size + alone, np.where(b_lost, 2 * size + alone, places))
        places = np.where(a_lost & b_lost, 3 * size, places)
        frame = paired_frame("high", "worst", not self.metric.endswith(WIN))
        return [Part(frame, places, self.looks)]


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of a split, `mine` those of the candidate, with (first look, share) of each epoch.

    The centre is what the product makes it, unless it is `known`.
    """

    events: Keys
    values: Floats
    mine: Bools
    looks: Ints
    shares: Sequence[tuple[int, float]]
    null: float = 0.0
    known: float | None = None

    def parts(self) -> list[Part]:
        """One support a stage: an epoch of the share, cut where the control's mean is known."""
        bins = dithered_bins(np.nan_to_num(self.values), dither_keys(self.events, SCORE), 0.0, 1.0)
        places = np.where(self.mine, BINS + 1, 0) + bins
        end = int(self.looks.max()) + 1
        control = np.bincount(self.looks[~self.mine], minlength=end).cumsum()
        settled = int(np.searchsorted(control, CENTRE_CALLS)) + 1
        edges = sorted({settled, *(first for first, _ in self.shares)})
        parts = []
        for first, last in zip(edges, [*edges[1:], end], strict=True):
            share = next(share for start, share in reversed(self.shares) if start <= first)
            frame = split_frame(share, self._centre(first, settled))
            here = (self.looks >= first) & (self.looks < last)
            parts.append(Part(frame, places[here], self.looks[here]))
        return parts

    def _centre(self, look: int, settled: int) -> float:
        if self.known is not None or look < settled:
            return GUESS if self.known is None else self.known
        before = self.values[~self.mine & (self.looks < look)]
        there = before[~np.isnan(before)]
        return min(max(sum(fixed(there)) / len(there) / FIXED, 0.001), 0.999)


Trial = Pairs | Calls
Draw = Callable[[np.random.Generator], Trial]


def evidence(trial: Trial) -> Floats:
    """Log-evidence against the null of a trial at every look."""
    looks = int(trial.looks.max()) + 1
    capital = sum(_by_look(part, trial.null, looks) for part in trial.parts())
    return mixed(np.cumsum(capital, 0))


def _by_look(part: Part, null: float, looks: int) -> Floats:
    frame, size = part.frame, len(part.frame.values)
    held = np.bincount(part.looks * size + part.places, minlength=looks * size)
    held = held.reshape(looks, size)
    used = np.flatnonzero(held.any(0))
    steps = log_capital(frame.values[used], null, frame.lower[used], frame.upper[used])
    # Not @: its threads would take both cores for a product this small.
    summed: Floats = np.einsum("lb,bk->lk", held[:, used].astype(np.float64), steps)
    return summed


def draws(draw: Draw, repetitions: int, seed: int) -> Iterator[Trial]:
    """Independent trials."""
    for repetition in range(repetitions):
        yield draw(np.random.default_rng((seed, repetition)))


def rate(draw: Draw, repetitions: int, seed: int) -> float:
    """How often the log-evidence ever reaches ln(1 / alpha)."""
    return stops(draw, repetitions, seed).searchsorted(math.inf) / repetitions


def stops(draw: Draw, repetitions: int, seed: int) -> Floats:
    """The looks after which trials decide, sorted; infinite where one does not."""
    found = []
    for trial in draws(draw, repetitions, seed):
        decided = np.flatnonzero(evidence(trial) >= LEVEL)
        found.append(float(decided[0]) + 1 if len(decided) else math.inf)
    return np.sort(np.array(found))


def in_order(n: int, each: int = EACH) -> Ints:
    """The look of each event, in the order in which they come."""
    return np.arange(n) // each


def paired(rng: np.random.Generator, shape: Shape, shift: float = 0.0) -> Pairs:
    """Pairs whose candidate scores `shift` more."""
    a, b = (shape(z) for z in twins(rng))
    return Pairs(event_ids(rng, UNITS), a, np.minimum(b + shift, 1.0), in_order(UNITS))


def wins(rng: np.random.Generator) -> Pairs:
    """Pairs, of which the faster answer wins."""
    a, b = twins(rng)
    won, ids = np.sign(a - b), event_ids(rng, UNITS)
    return Pairs(ids, np.zeros(UNITS), won, in_order(UNITS), "latency" + WIN)


def split(rng: np.random.Generator, shape: Shape, share: float, shift: float = 0.0) -> Calls:
    """Calls that fall on the candidate with this share."""
    mine, values = rng.random(UNITS) < share, shape(rng.standard_normal(UNITS))
    values = np.where(mine, np.minimum(values + shift, 1.0), values)
    return Calls(event_ids(rng, UNITS), values, mine, in_order(UNITS), [(0, share)])


def slow_arm(rng: np.random.Generator, admitted: str = "panes") -> Pairs:
    """Pairs at 20 a second, answered in 5 s by one arm and in 15 s by the other (medians; log-sd
    1, at most 120 s); of the answers to one prompt the worse take longer, with correlation -.6.

    Admitted by "panes" of 5 s in the order of their starts, in the order of their "completion",
    or by "hasty" panes, which close 5 s after their end and leave out what comes later.
    """
    prompt, *own = (rng.standard_normal(UNITS) for _ in range(3))
    a, b = (quality(math.sqrt(SHARED) * prompt + math.sqrt(1 - SHARED) * one) for one in own)
    starts = np.cumsum(rng.exponential(1 / 20, UNITS))
    took = [
        np.minimum(median * np.exp(-0.6 * one + 0.8 * rng.standard_normal(UNITS)), 120.0)
        for median, one in zip((5.0, 15.0), own, strict=True)
    ]
    done, ids = starts + np.maximum(*took), event_ids(rng, UNITS)
    looks, kept = (starts // 5).astype(np.int64), np.ones(UNITS, np.bool_)
    if admitted == "completion":
        looks[np.argsort(done)] = in_order(UNITS)
    elif admitted == "hasty":
        kept = done <= 5.0 * looks + 10.0
    return Pairs(ids[kept], a[kept], b[kept], looks[kept])


def ramp(rng: np.random.Generator, by_epoch: bool = True) -> Calls:
    """A canary of .01 that becomes .20 half way, while both arms lose a quarter of their quality;
    by epoch, or as if the average share had held throughout."""
    half = LOOKS // 2
    mine = rng.random(UNITS) < np.where(in_order(UNITS) < half, 0.01, 0.20)
    values = quality(rng.standard_normal(UNITS)) * np.linspace(1.0, 0.75, UNITS)
    shares = [(0, 0.01), (half, 0.20)] if by_epoch else [(0, 0.105)]
    return Calls(event_ids(rng, UNITS), values, mine, in_order(UNITS), shares)


def split_sessions(rng: np.random.Generator, by_unit: bool = True) -> Calls:
    """Sessions of 10 calls with ICC .3, each on one arm; by mean of a session or by call."""
    values, mine = quality(_clustered(rng, UNITS, 0.3, 10)), rng.random(UNITS // 10) < 0.5
    if by_unit:
        values, looks = values.reshape(-1, 10).mean(1), in_order(UNITS // 10, EACH // 10)
    else:
        mine, looks = np.repeat(mine, 10), in_order(UNITS)
    return Calls(event_ids(rng, len(values)), values, mine, looks, [(0, 0.5)])


def paired_sessions(rng: np.random.Generator, by_unit: bool = True) -> Pairs:
    """Sessions of 10 pairs, ICC .3 in the prompts and in either arm; the first or every pair."""
    every = slice(None, None, 10 if by_unit else 1)
    a, b = (quality(z)[every] for z in twins(rng, icc=0.3, size=10))
    return Pairs(event_ids(rng, len(a)), a, b, in_order(UNITS)[every])


def time_outs(rng: np.random.Generator, design: str, imputed: bool = True) -> Trial:
    """Arm B times out on its worst 2 %: counted as the worst score, which makes a difference that
    is known, or left out as if they had never been asked."""
    z = twins(rng) if design == "paired" else (rng.standard_normal(UNITS),) * 2
    mine, ids, looks = rng.random(UNITS) < 0.5, event_ids(rng, UNITS), in_order(UNITS)
    a, b = quality(z[0]), np.where(z[1] < special.ndtri(LOST), np.nan, quality(z[1]))
    null = lost_mean() if imputed else 0.0
    if design == "paired":
        kept = np.flatnonzero(imputed | ~np.isnan(b))
        return Pairs(ids[kept], a[kept], b[kept], looks[kept], null=null)
    values = np.where(mine, b, a)
    kept = np.flatnonzero(imputed | ~np.isnan(values))
    return Calls(ids[kept], values[kept], mine[kept], looks[kept], [(0, 0.5)], null)


def lost_mean() -> float:
    """What an arm's mean loses when its worst 2 % count as 0: -E[x; x < q]."""
    return -5 / 7 * float(special.betainc(6, 2, special.betaincinv(5, 2, LOST)))

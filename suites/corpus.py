"""Corpus BLEU as a function of sums: the counts of each item, and the score of any sum of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.buckets import Floats, Ints
from agent.record import UNASKED
from agent.scoring.overlap import bleu_counts
from suites.record import Outcome
from suites.values import units_of

_ORDERS = 4


def bleu_of(sums: Floats) -> Floats:
    """Corpus BLEU in [0, 1] from the sums of `bleu_counts` [..., 10].

    Papineni et al. 2002, sec. 2.3, with the exponential smoothing of mteval-v13a: an order without
    a match counts as half of the one before without (Chen and Cherry 2014, method 3).
    """
    said, wanted = sums[..., 0], sums[..., 1]
    right, total = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    with np.errstate(divide="ignore", invalid="ignore"):
        halves = np.cumsum((right == 0) & (total > 0), -1)
        precision = np.where(right > 0, right, 0.5**halves) / total
        penalty = np.where(said < wanted, np.exp(1 - wanted / said), 1.0)
        score = penalty * np.exp(np.log(precision).mean(-1))
    # Without 4-grams there is no precision of them, and BLEU is 0 by its definition.
    made: Floats = np.where((right.sum(-1) > 0) & (total > 0).all(-1), score, 0.0)
    return made


@dataclass(frozen=True, slots=True)
class Texts:
    """The n-gram counts of the items that have a reference, failed calls as they are and as if
    they had said it; `why` is "" for those that count."""

    worst: Floats
    best: Floats
    why: tuple[str, ...]
    units: Ints
    failed: int


def texts_of(outcome: Outcome, places: Sequence[int] | None = None) -> Texts:
    """The counts at these places of the run (all of them without any)."""
    chosen = range(len(outcome.calls)) if places is None else places
    calls = [outcome.calls[at] for at in chosen]
    why, worst, best = [], [], []
    for call in calls:
        missing = UNASKED if call is None else "" if call.reference else "no_reference"
        why.append(missing)
        wanted = (call.reference or "") if call is not None else ""
        said = (call.response or "") if call is not None and call.status == "ok" else ""
        worst.append(("", "") if missing else (said, wanted))
        best.append(("", "") if missing else (said if said.strip() else wanted, wanted))
    failed = sum(a != b for a, b in zip(worst, best, strict=True))
    low = bleu_counts(worst)
    high = low if not failed else bleu_counts(best)
    return Texts(low, high, tuple(why), units_of(calls), failed)

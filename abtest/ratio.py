"""Whether calls fell on the arms in the shares that were configured.

The sequential Dirichlet-multinomial test (Lindon and Malek, NeurIPS 2022, eq. 5), valid at every
look: a mixture over shares near the configured ones, whose likelihood ratio is a martingale.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agent.buckets import Floats

# The prior's weight in calls: both published implementations use it (statistics.md 2.3).
CONCENTRATION = 100.0
THRESHOLD = 0.001

_lgamma = np.vectorize(math.lgamma, otypes=[np.float64])


def log_imbalance(counts: ArrayLike, shares: Sequence[float]) -> Floats:
    """Log-evidence that counts [..., arms] were not drawn in these shares, which sum to 1."""
    n, p = np.asarray(counts, np.float64), np.asarray(shares, np.float64)
    a = CONCENTRATION * p
    prior = math.lgamma(CONCENTRATION) - _lgamma(a).sum()
    seen = _lgamma(a + n).sum(-1) - _lgamma(CONCENTRATION + n.sum(-1))
    evidence: Floats = prior + seen - (n * np.log(p)).sum(-1)
    return evidence


def p_value(log_evidence: float) -> float:
    """The always-valid p-value of the largest log-evidence that was seen."""
    return math.exp(min(0.0, -log_evidence))

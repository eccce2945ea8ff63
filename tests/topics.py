"""Traffic of CLINC150 in which a new topic appears: embedded once, drawn from by the pane."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.buckets import Floats, Ints
from agent.scoring import Options, novelty
from agent.scoring.engine import Engine
from agent.scoring.models import load_embedder
from agent.scoring.novelty import Topics
from agent.scoring.relevance import mean_embedding
from tests.drifting import counted, sample
from tests.test_real_pairs import rows
from watch.baseline import LESSON, hear, learn
from watch.budget import Budget
from watch.detector import Bands, Evidence, gains_of

PANE_S, PANE_CALLS = 10, 50


@dataclass(frozen=True)
class Embedded:
    """Texts by the domain that they are of: unit embeddings [texts, width]."""

    vectors: novelty.Floats
    domains: tuple[str, ...]

    def of(self, domain: str) -> novelty.Floats:
        """The texts of a domain."""
        mine: novelty.Floats = self.vectors[np.array(self.domains) == domain]
        return mine

    def others(self, domain: str, rng: np.random.Generator) -> novelty.Floats:
        """The texts of all other domains, in a random order."""
        found = self.vectors[np.array(self.domains) != domain]
        shuffled: novelty.Floats = rng.permutation(found)
        return shuffled


def embedded(every: int = 1) -> Embedded:
    """Every so many rows of CLINC150 as novelty sees them; skips where the data is absent."""
    some = rows("drift/clinc150")[::every]
    model = load_embedder(Options(device="cpu").source("novelty"))
    given = Engine().outputs(model, [one["text"] for one in some])
    vectors = np.stack([mean_embedding(one[:, len(model.labels) :]) for one in given])
    return Embedded(vectors, tuple(one["domain"] for one in some))


@dataclass(frozen=True)
class Pools:
    """Scores of texts that the basis was not made of: of its topics, and of a new one."""

    old: novelty.Floats
    new: novelty.Floats

    def panes(self, rng: np.random.Generator, series: int, share: float) -> Iterator[Floats]:
        """Counts [series, bins] of pane after pane, with a share of calls of the new topic."""
        while True:
            isnew = rng.random((series, PANE_CALLS)) < share
            drawn = (rng.choice(pool, isnew.shape) for pool in (self.new, self.old))
            yield counted(rng, np.where(isnew, *drawn))


def pools(data: Embedded, domain: str, basis: int, rng: np.random.Generator) -> Pools:
    """The scores against so many texts of the other domains."""
    others = data.others(domain, rng)
    topics = Topics.fit(others[:basis])
    return Pools(topics.novelty(others[basis:]), topics.novelty(data.of(domain)))


def learned(
    rng: np.random.Generator, pool: Pools, series: int, calls: int, budget: Budget
) -> Bands:
    """The bands after so many calls of the old topics."""
    lessons = np.zeros(series, LESSON)
    for at, counts in zip(range(calls // PANE_CALLS), pool.panes(rng, series, 0.0), strict=False):
        hear(lessons, at * PANE_S, counts)
    known = learn(lessons, budget.baseline_alpha)
    return Bands(known["lower"], known["upper"], known["design_effect"])


def alarms(
    rng: np.random.Generator, pool: Pools, within: Bands, budget: Budget, share: float, length: int
) -> tuple[Ints, Floats]:
    """How often each series rings in so many panes, and after how many calls at first (inf)."""
    everyone = np.arange(len(within.lower))
    evidence, found = Evidence.none(len(everyone)), np.zeros(len(everyone), np.int64)
    first = np.full(len(everyone), np.inf)
    panes = pool.panes(rng, len(everyone), share)
    for at, counts in zip(range(1, length + 1), panes, strict=False):
        evidence.see(at, gains_of(sample(counts), within), everyone)
        rung = np.flatnonzero(evidence.log_statistic(everyone) >= budget.log_threshold)
        found[rung] += 1
        first[rung] = np.minimum(first[rung], at * PANE_CALLS)
        evidence.forget(rung)
        if share and np.isfinite(first).all():
            break
    return found, first

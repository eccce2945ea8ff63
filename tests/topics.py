"""Traffic of CLINC150 in which a topic appears or grows: embedded once, drawn from by the pane."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.buckets import BINS, Floats, Ints
from agent.scoring import Options
from agent.scoring.engine import Engine
from agent.scoring.models import load_embedder
from agent.scoring.relevance import mean_embedding
from agent.scoring.topics import Floats as Vectors
from agent.scoring.topics import Topics
from tests.drifting import counted, sample
from tests.test_real_pairs import rows
from watch.baseline import LESSON, hear, learn
from watch.budget import Budget
from watch.detector import Bands, Evidence, gains_of

PANE_S, PANE_CALLS = 10, 50


@dataclass(frozen=True)
class Embedded:
    """Texts by the domain that they are of: unit embeddings [texts, width]."""

    vectors: Vectors
    domains: tuple[str, ...]

    def of(self, domain: str) -> Vectors:
        """The texts of a domain."""
        mine: Vectors = self.vectors[np.array(self.domains) == domain]
        return mine

    def others(self, domain: str, rng: np.random.Generator) -> Vectors:
        """The texts of all other domains, in a random order."""
        found = self.vectors[np.array(self.domains) != domain]
        shuffled: Vectors = rng.permutation(found)
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
    """Values [texts, views] of texts that the basis was not made of: of most of its topics, and of
    a new or growing one. A view is a series; what rings is any of them."""

    old: Floats
    new: Floats

    @property
    def views(self) -> int:
        """How many series watch the texts."""
        return int(self.old.shape[1])

    def panes(self, rng: np.random.Generator, series: int, share: float) -> Iterator[Floats]:
        """Counts [series x views, bins] of pane after pane, with a share of calls of the one."""
        while True:
            isnew = rng.random((series, PANE_CALLS)) < share
            drawn = (rng.choice(pool, isnew.shape) for pool in (self.new, self.old))
            values = np.where(isnew[:, :, None], *drawn)
            yield counted(rng, values.transpose(0, 2, 1).reshape(-1, PANE_CALLS))


def pools(data: Embedded, domain: str, basis: int, rng: np.random.Generator) -> Pools:
    """The scores against so many texts of the other domains."""
    others = data.others(domain, rng)
    topics = Topics.fit(others[:basis])
    return _novelty(topics, others[basis:], data.of(domain))


def _novelty(topics: Topics, old: Vectors, new: Vectors) -> Pools:
    return Pools(*(topics.novelty(one)[:, None].astype(np.float64) for one in (old, new)))


def known(data: Embedded, domain: str, basis: int, rng: np.random.Generator) -> tuple[Pools, Pools]:
    """Novelty, and the places on the axes, where a quarter of the basis was of the domain."""
    others, mine = data.others(domain, rng), rng.permutation(data.of(domain))
    part = basis // 4
    topics = Topics.fit(np.concatenate([mine[:part], others[: basis - part]]))
    rest = others[basis - part :], mine[part:]
    return _novelty(topics, *rest), Pools(*(topics.places(one) / BINS for one in rest))


def learned(
    rng: np.random.Generator, pool: Pools, series: int, calls: int, budget: Budget, share: float = 0
) -> Bands:
    """The bands after so many calls, with a share of the one topic."""
    lessons = np.zeros(series * pool.views, LESSON)
    for at, counts in zip(range(calls // PANE_CALLS), pool.panes(rng, series, share), strict=False):
        hear(lessons, at * PANE_S, counts)
    made = learn(lessons, budget.baseline_alpha)
    return Bands(made["lower"], made["upper"], made["design_effect"])


def alarms(
    rng: np.random.Generator, pool: Pools, within: Bands, budget: Budget, share: float, length: int
) -> tuple[Ints, Floats]:
    """How often each view rings in so many panes, and after how many calls any of a series did at
    first (inf)."""
    everyone = np.arange(len(within.lower))
    evidence, found = Evidence.none(len(everyone)), np.zeros(len(everyone), np.int64)
    first = np.full(len(everyone), np.inf)
    panes = pool.panes(rng, len(everyone) // pool.views, share)
    for at, counts in zip(range(1, length + 1), panes, strict=False):
        evidence.see(at, gains_of(sample(counts), within), everyone)
        rung = np.flatnonzero(evidence.log_statistic(everyone) >= budget.log_threshold)
        found[rung] += 1
        first[rung] = np.minimum(first[rung], at * PANE_CALLS)
        evidence.forget(rung)
        if share and np.isfinite(first.reshape(-1, pool.views).min(1)).all():
            break
    return found, first.reshape(-1, pool.views).min(1)

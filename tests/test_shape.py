"""Shapes, shares, missing values and volume, from pane rows to what rings."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from agent.buckets import BINS, log_buckets
from agent.drift import Drift
from agent.packing import open_row
from agent.panes import Group, Row
from agent.summaries import LogHistogram
from watch.advance import advance
from watch.budget import Budget
from watch.detector import Sample
from watch.lessons import Rules
from watch.sample import LOG_SPAN, Shares, on_grid, sample_of, to_grid
from watch.series import WHOLE, Name, PaneRow, Slots
from watch.shape import RARE, ranks, tails
from watch.state import Watch

HOUSE, CALLS = Group("s", "m", "production"), 50
RULES = Rules(
    Budget(1.0, 1000, 10), Drift(baseline_calls=5000, baseline_s=0.0), Shares(frozenset({"tenant"}))
)
Values = np.ndarray


def row(values: dict[str, Values], rng: np.random.Generator, missing: int = 0) -> Row:
    made = Row()
    n = 0
    for metric, some in values.items():
        n = len(some) + missing
        if metric.startswith("response_"):
            keys = rng.integers(0, 2**63, len(some)).astype(np.uint64)
            made.bounded(metric, 0, 1).update(np.clip(some, 0, 1), keys)
            made.bounded(metric, 0, 1).missing.add("absent", missing)
        else:
            held = made.summaries.setdefault(metric, LogHistogram())
            assert isinstance(held, LogHistogram)
            held.update(some)
    made.calls.add("ok", n)
    return made


class Watched:
    """A watch, its clock, and what rang with its view."""

    def __init__(self) -> None:
        self.watch, self.pane = Watch(Slots(1000)), 0
        self.rang: dict[tuple[str, str], int] = {}
        self.calls = 0

    def see(self, rows: dict[Group, Row], pane_s: int = 10) -> None:
        held = [PaneRow(group, open_row(one.to_bytes())) for group, one in rows.items()]
        sample = sample_of(held, self.watch.slots, {}, RULES.shares, pane_s)
        for one in advance(self.watch, self.pane, sample, RULES):
            if one.name.model == WHOLE:
                self.rang.setdefault((one.name.metric, one.name.view), self.calls)
        self.pane += pane_s
        self.calls += sum(one.calls.total() for group, one in rows.items() if not group.segment)


def walk(
    draw: Callable[[np.random.Generator], Values], metric: str, rng: np.random.Generator, n: int
) -> Iterator[dict[Group, Row]]:
    for _ in range(n):
        yield {HOUSE: row({metric: draw(rng)}, rng)}


def learned(metric: str, draw: Callable[[np.random.Generator], Values],
            rng: np.random.Generator) -> Watched:  # fmt: skip
    """A watch that knows the shapes of a metric."""
    made = Watched()
    for one in walk(draw, metric, rng, (1 + RARE) * 5000 // CALLS + 60):
        made.see(one)
    assert not made.rang
    made.calls = 0
    return made


def scores(rng: np.random.Generator) -> Values:
    return rng.normal(0.5, 0.1, CALLS)


def wider(rng: np.random.Generator) -> Values:
    return rng.normal(0.5, 0.1 * math.sqrt(2), CALLS)


def with_a_tail(rng: np.random.Generator) -> Values:
    return np.where(rng.random(CALLS) < 0.01, 0.05, scores(rng))


def seconds(rng: np.random.Generator) -> Values:
    return rng.lognormal(0.2, 0.5, CALLS)


@pytest.mark.parametrize(
    ("metric", "before", "after", "view", "calls"),
    [
        ("response_relevance", scores, wider, "spread", 4000),
        ("response_relevance", scores, with_a_tail, "tail", 20_000),
        ("latency", seconds, lambda rng: 1.2 * seconds(rng), "rank", 4000),
        ("latency", seconds, lambda rng: rng.lognormal(0.2, 0.71, CALLS), "spread", 4000),
    ],
)
def test_a_change_of_shape_alone_is_found(
    rng: np.random.Generator, metric: str, before: Callable[..., Values],
    after: Callable[..., Values], view: str, calls: int,
) -> None:  # fmt: skip
    watched = learned(metric, before, rng)
    for one in walk(after, metric, rng, calls // CALLS):
        watched.see(one)
    assert watched.rang.get((metric, view), math.inf) <= calls, watched.rang


def test_a_moved_middle_speaks_for_its_edges(rng: np.random.Generator) -> None:
    watched = learned("latency", seconds, rng)
    for one in walk(lambda rng: 2 * seconds(rng), "latency", rng, 100):
        watched.see(one)
    assert set(watched.rang) == {("latency", "rank")}


def test_a_share_that_moves_and_one_that_vanishes_are_found(rng: np.random.Generator) -> None:
    watched = Watched()

    def pane(share: float) -> dict[Group, Row]:
        n = rng.binomial(CALLS, share)
        rows = {HOUSE: row({"latency": seconds(rng)}, rng)}
        for tenant, size in (("a", n), ("b", CALLS - n)):
            if size:
                mine = HOUSE._replace(segment=f"tenant={tenant}")
                rows[mine] = row({"latency": seconds(rng)[:size]}, rng)
        return rows

    for _ in range(150):
        watched.see(pane(0.7))
    assert not watched.rang
    for _ in range(30):
        watched.see(pane(0.55))
    assert {("tenant=a", "share"), ("tenant=b", "share")} <= set(watched.rang)
    gone = Watched()
    for at in range(180):
        gone.see(pane(0.7 if at < 150 else 1.0))
    assert ("tenant=b", "share") in gone.rang


def test_values_that_go_missing_are_found_and_failures_are_not_missing(
    rng: np.random.Generator,
) -> None:
    watched = Watched()
    for at in range(150):
        watched.see({HOUSE: row({"response_relevance": scores(rng)}, rng, missing=at % 2)})
    assert not watched.rang
    for _ in range(20):
        watched.see({HOUSE: row({"response_relevance": scores(rng)[:35]}, rng, missing=15)})
    assert set(watched.rang) == {("response_relevance", "missing")}
    failing = Watched()
    for at in range(180):
        made = row({"response_relevance": scores(rng)[: 50 if at < 150 else 35]}, rng)
        made.bounded("response_relevance", 0, 1).missing.add("error", 0 if at < 150 else 15)
        failing.see({HOUSE: made})
    assert not failing.rang


def test_traffic_that_halves_is_found_after_a_week_was_learned(rng: np.random.Generator) -> None:
    watched = Watched()

    def hour(factor: float) -> dict[Group, Row]:
        day = 1 + 0.3 * math.sin(2 * math.pi * watched.pane / 86_400)
        made = Row()
        made.calls.add("ok", int(rng.poisson(3000 * factor * day)))
        return {HOUSE: made}

    for _ in range(24 * 21):
        watched.see(hour(1.0), 3600)
    assert not watched.rang
    for _ in range(24 * 14):
        watched.see(hour(0.25), 3600)
    assert set(watched.rang) == {("calls", "level")}


def test_ranks_and_tails_by_hand() -> None:
    counts = np.zeros((2, BINS + 1))
    counts[:, [10, 20, 30]] = 1000, 998, 2
    assert ranks(counts, np.zeros(3, int), np.array([10, 20, 30])).tolist() == [64, 192, 256]
    every = np.arange(BINS + 1)
    upper, lower = (tails(counts, np.array([False, True]), 0 * every + at, every) for at in (0, 1))
    assert (upper[30], upper[20], upper[31]) == (1, 0, 1)
    assert lower[:10].all() and not lower[10:].any()


def test_amounts_lie_on_their_grid() -> None:
    for metric, least in (("latency", 1e-3), ("tokens_out", 1.0), ("cost", 1e-6)):
        for x in (least * 3, least * 1e4):
            place = to_grid(np.log([x / least]))[0] / BINS
            assert least * math.exp(place * LOG_SPAN) == pytest.approx(x, rel=LOG_SPAN / BINS)
            packed = log_buckets(np.array([x])).astype(np.int16)
            assert on_grid(packed, metric)[0] == pytest.approx(place * BINS, abs=1)
    assert to_grid(np.array([-np.inf, 99.0])).tolist() == [0, BINS]
    made = Row()
    held = made.summaries.setdefault("latency", LogHistogram())
    assert isinstance(held, LogHistogram)
    held.update(np.array([0.0, 1.0]))
    made.calls.add("ok", 2)
    slots = Slots(9)
    one = PaneRow(HOUSE, open_row(made.to_bytes()))
    sample: Sample = sample_of([one], slots, {}, Shares(frozenset()), 10)
    at = slots.known(Name(*HOUSE, "latency", "", "rank"))
    assert sample.bins[sample.series == at].tolist() == [0, to_grid(np.log([1e3]))[0]]
    assert log_buckets(np.array([1.0]))[0] == 0

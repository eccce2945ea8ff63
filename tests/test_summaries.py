"""Summaries against numpy as the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.buckets import FIXED, dither_keys, run_sums
from agent.packing import pack_row, unpack_row
from agent.summaries import (
    BoundedHistogram,
    Counts,
    LogHistogram,
)


def keys(n: int, start: int = 0) -> np.ndarray:
    return dither_keys(np.arange(start, start + n, dtype=np.uint64), "test")


def test_mean_comes_from_the_sums_and_not_from_the_bins(rng: np.random.Generator) -> None:
    x = rng.beta(5, 2, 10_000)
    histogram = BoundedHistogram()
    histogram.update(x, keys(len(x)))
    assert histogram.mean() == pytest.approx(x.mean(), abs=1e-9)
    assert histogram.variance() == pytest.approx(x.var(), abs=1e-8)
    assert histogram.counts.sum() == len(x)
    binned = (histogram.support * histogram.counts).sum() / len(x)
    assert binned == pytest.approx(x.mean(), abs=1e-4)
    assert binned != pytest.approx(x.mean(), abs=1e-12)


def test_dither_is_unbiased_where_plain_rounding_is_not() -> None:
    x = np.full(200_000, 0.3 / 256)
    histogram = BoundedHistogram()
    histogram.update(x, keys(len(x)))
    share = histogram.counts[1] / len(x)
    assert share == pytest.approx(0.3, abs=0.005)


def test_ends_of_the_range_fall_on_the_outer_bins() -> None:
    histogram = BoundedHistogram(-1, 1)
    histogram.update([-1.0, 1.0, 1.0], keys(3))
    assert histogram.counts[0] == 1
    assert histogram.counts[256] == 2


@pytest.mark.parametrize("bad", [float("nan"), 1.0001, -0.1, float("inf")])
def test_a_bad_value_counts_nothing(bad: float) -> None:
    histogram = BoundedHistogram()
    with pytest.raises(ValueError):
        histogram.update([0.5, bad], keys(2))
    assert histogram.n == 0
    with pytest.raises(ValueError):
        LogHistogram().update([-1.0 if np.isfinite(bad) else bad])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=60), st.integers(1, 5))
def test_merging_parts_in_any_order_gives_the_bytes_of_the_whole(
    values: list[float], parts: int
) -> None:
    whole = BoundedHistogram()
    whole.update(values, keys(len(values)))
    merged = BoundedHistogram()
    for part in reversed(range(parts)):
        one = BoundedHistogram()
        one.update(values[part::parts], keys(len(values))[part::parts])
        merged.merge(BoundedHistogram.from_bytes(one.to_bytes()))
    assert merged.to_bytes() == whole.to_bytes()


def test_ranges_do_not_merge() -> None:
    with pytest.raises(ValueError):
        BoundedHistogram(0, 1).merge(BoundedHistogram(0, 2))


def test_quantiles_are_within_one_percent(rng: np.random.Generator) -> None:
    x = rng.lognormal(0.2, 1.5, 50_000)
    histogram = LogHistogram()
    for part in np.array_split(x, 32):
        one = LogHistogram()
        one.update(part)
        histogram.merge(one)
    for q in (0.5, 0.9, 0.99, 0.999):
        exact = np.quantile(x, q, method="inverted_cdf")
        assert histogram.quantile(q) == pytest.approx(exact, rel=0.011)
    assert histogram.mean() == pytest.approx(x.mean(), abs=1e-9)


def test_zero_and_huge_amounts_are_kept() -> None:
    histogram = LogHistogram()
    histogram.update([0.0, 1e12, 1e12])
    assert histogram.quantile(0.0) == 0.0
    assert histogram.quantile(1.0) == pytest.approx(1e12, rel=0.01)
    assert histogram.total_sq == 2 * int(1e24) * FIXED


def test_run_sums_do_not_overflow() -> None:
    values = np.array([1e15, 1e15, 0.25, 3.0])
    assert run_sums(values, np.array([0, 2])) == [2 * 10**15 * FIXED, int(3.25 * FIXED)]


def test_names_as_keys_give_the_same_bins_again() -> None:
    one, two = BoundedHistogram(), BoundedHistogram()
    one.update([0.301, 0.302], ["a", "b"])
    two.update([0.302, 0.301], ["b", "a"])
    assert one == two


def test_a_packed_row_comes_back_equal() -> None:
    score, latency = BoundedHistogram(), LogHistogram()
    score.update([0.1, 0.9], ["a", "b"])
    score.missing.add("no_response", 3)
    latency.update([1.5])
    counts, panels = Counts({"ok": 2, "error": 1}), Counts({"0a1b": 3})
    blob = pack_row({"s": score, "latency": latency}, counts, panels)
    summaries, *back = unpack_row(blob)
    assert summaries == {"s": score, "latency": latency}
    assert back == [counts, panels]
    assert blob == pack_row(dict(reversed(summaries.items())), *back)

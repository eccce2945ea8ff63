"""What asking took: quantiles with intervals, rates of the time that was spent, memory."""

import mmap
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from abtest.exact import binomial
from agent.record import Call
from suites.efficiency import measures
from suites.memory import Memory
from tests.waiting import wait_until


def asked(
    latencies: Sequence[float], at: Sequence[float] | None = None, **told: object
) -> list[Call]:
    """Calls that took so long, one after the other where nothing is said."""
    begins = np.concatenate([[0.0], np.cumsum(latencies)]) if at is None else np.asarray(at)
    return [
        Call(str(i), float(t), "m", latency_s=took, **told)  # type: ignore[arg-type]  # fields of a call
        for i, (t, took) in enumerate(zip(begins, latencies, strict=False))
    ]


def test_latencies_have_their_mean_and_quantiles() -> None:
    found = measures(asked([float(k) for k in range(1, 101)]))
    assert found["latency_mean_s"] == 50.5 and found["warm_up_calls"] == 0
    assert [found[f"latency_p{p}_s"] for p in (50, 95, 99)] == [50, 95, 99]
    # The ranks of David and Nagaraja 2003 for n = 100: 40 to 61.
    assert (found["latency_p50_lower_s"], found["latency_p50_upper_s"]) == (40, 61)
    assert "latency_p99_upper_s" not in found, "100 values say nothing of what lies above"
    assert "ttft_mean_s" not in found and "calls_per_s" not in found


def test_the_interval_of_a_quantile_holds_it_as_often_as_it_says() -> None:
    rng, held, true = np.random.default_rng(1), 0, float(np.exp(1.6448536))
    for _ in range(400):
        found = measures(asked(np.exp(rng.normal(size=200)).tolist()))
        upper = found.get("latency_p95_upper_s", np.inf)
        held += found["latency_p95_lower_s"] <= true <= upper
    assert held / 400 >= 0.94


def test_the_binomial_is_that_of_scipy() -> None:
    for n, share in ((1, 0.5), (40, 0.95), (3_000, 0.01)):
        assert binomial(n, share) == pytest.approx(stats.binom.pmf(np.arange(n + 1), n, share))


def test_rates_are_of_the_time_in_which_anything_was_asked() -> None:
    # Two at a time for 3 s, an hour's pause while the run was stopped, then one alone for 1 s.
    calls = asked([2, 2, 1, 1, 1], [0, 0, 2, 2, 3600], tokens_out=8)
    found = measures(calls, concurrency=2)
    assert found["calls_per_s"] == pytest.approx(5 / 4)
    assert found["tokens_out_per_s"] == pytest.approx(40 / 4)
    assert found["concurrency"] == 2 and found["concurrency_mean"] == pytest.approx(7 / 4)
    some = [*calls[:4], *asked([1], [3600])]
    assert "tokens_out_per_s" not in measures(some, concurrency=2)


def test_failed_calls_have_no_latency_and_take_time_all_the_same() -> None:
    lost = Call("x", 1.0, "m", status="timeout", latency_s=9.0)
    found = measures([*asked([1.0]), lost, None], concurrency=1)
    assert found["latency_mean_s"] == 1.0 and found["calls_per_s"] == pytest.approx(1 / 10)


def test_the_warm_up_is_left_out_where_there_is_enough_beside_it() -> None:
    slow = [30.0] * 4 + [1.0] * 16
    calls = asked(slow, tokens_out=3, ttft_s=0.5, cost_usd=0.01)
    warm = measures(calls, concurrency=4, warm_up=4)
    assert (warm["latency_mean_s"], warm["warm_up_calls"]) == (1.0, 4)
    assert warm["cost_usd"] == pytest.approx(0.2) and warm["calls_per_s"] == pytest.approx(1.0)
    assert warm["ttft_p50_s"] == 0.5 and warm["tpot_mean_s"] == pytest.approx(0.25)
    few = measures(calls[:15], concurrency=4, warm_up=4)
    assert few["warm_up_calls"] == 0 and few["latency_p95_s"] == 30.0


def test_without_calls_there_is_nothing_to_tell() -> None:
    assert measures([None, None], 4, 4) == {"warm_up_calls": 0, "concurrency": 4}


def test_the_peak_of_memory_is_that_of_what_ran() -> None:
    with Memory() as before:
        pass
    base = before.measures()["peak_cpu_bytes"]
    with Memory() as held, mmap.mmap(-1, 80 << 20) as block:  # what others freed cannot serve it
        np.frombuffer(block, np.uint8)[:] = 1
        # A machine that is fast has it and lets it go between two looks.
        wait_until(lambda: held.measures()["peak_cpu_bytes"] - base > 60 << 20)
    assert held.measures()["peak_cpu_bytes"] - base < 120 << 20
